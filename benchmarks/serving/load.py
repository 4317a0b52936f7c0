"""Throughput and latency under 1, 8, 64 and 256 clients: ours beside other servers, in one run.

Each client keeps one connection and asks again as soon as it has its answer. Short questions to a
classifier (MiniLM, 77 labels), and answers of 64 tokens from a Llama with random weights. All sides
have the weights of one Hugging Face folder, one after the other on the same cores:

- ``ours``: ``tinyforge serve`` with the export, in float32 and in 8 bits. The classifier's 8 bits
  have passed the export's gate, so that they answer as well as the float32 of the others;
- ``plain``: FastAPI around a transformers pipeline (``plain_app.py``);
- ``transformers serve`` (float32; it has no route for classifiers);
- ``llama-cpp-python`` and ``llama.cpp server`` with llama.cpp's file of 8 bits.

Overload: more clients than a server of ours with 32 places takes. Those of one kind ask again at
once where they are refused: nearly all of them wait for a refusal all the time, so that by Little's
law they wait as long as it takes to refuse all of them once. Those of the other kind wait as long
as ``Retry-After`` says, as OpenAI's client does.

A latency is that of a whole answer, the time to the first token that of a stream's first piece.
What was still open at the end counts with the time it had taken. Refusals (429, 503) and broken
connections are counted apart. It exits with 1 if ours broke a connection, gave a server error, or
wrote another number of tokens than asked for.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving import prepare, servers
from benchmarks.serving.figures import percentile, save, say
from benchmarks.speed import harness, machine

TOKENS = 64
QUESTIONS = [
    "where is my card", "why was I charged twice", "how do I top up my account",
    "the exchange rate is wrong", "I want to close my account", "my transfer has not arrived",
    "can I get a second card", "what is the limit for cash",
]  # fmt: skip
AGAIN = ("at once", "as told")
"""When clients ask again that were refused: at once, or as the server's ``Retry-After`` says."""
PROMPTS = [f"Question {number}: {text}? Answer:" for number, text in enumerate(QUESTIONS)]


@dataclass(frozen=True)
class Side:
    """A server.

    Attributes:
        case: ``classify`` or ``write``.
        bits: of its weights.
        words: the command, with ``{port}``.
        asked: the body's fields beside the text.
    """

    name: str
    case: str
    bits: str
    words: tuple[str, ...]
    asked: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    ready: str = "/health"

    @property
    def ours(self) -> bool:
        """Whether it is TinyForge."""
        return self.name.startswith("ours")

    def bodies(self) -> list[dict[str, Any]]:
        """What its clients ask."""
        if self.case == "classify":
            return [{"input": text, **self.asked} for text in QUESTIONS]
        return [{"prompt": text, "max_tokens": TOKENS, **self.asked} for text in PROMPTS]


STREAM = {"temperature": 0, "stream": True}
USAGE = {"stream_options": {"include_usage": True}}


def all_sides(place: Path, threads: int) -> tuple[list[Side], dict[str, str]]:
    """The sides that are there; and why others are not."""
    found = sorted([*own_sides(place), *peers(place, str(threads))], key=lambda side: side.case)
    lacking = {}
    if not (place / "labels/int8").is_dir():
        refused = place / "labels" / prepare.REFUSED
        why = "there are no rows to judge it on: --data-folder"
        lacking["ours int8, classify"] = refused.read_text("utf-8") if refused.is_file() else why
    if not servers.llama_server():
        lacking["llama.cpp server, write"] = "there is no llama-server"
    return [side for side in found if f"{side.name}, {side.case}" not in lacking], lacking


def own_sides(place: Path) -> list[Side]:
    """TinyForge."""

    def words(model: str) -> tuple[str, ...]:
        found = servers.tinyforge(place / model, 0)
        return tuple("{port}" if each == "0" else each for each in found)

    writing = {**STREAM, **USAGE}
    return [
        Side("ours fp32", "classify", "fp32", words("labels/fp32")),
        Side("ours int8", "classify", "int8", words("labels/int8")),
        Side("ours int8", "write", "int8", words("writer/int8"), {"model": "int8", **writing}),
        Side("ours fp32", "write", "fp32", words("writer/fp32"), {"model": "fp32", **writing}),
    ]


def peers(place: Path, threads: str) -> list[Side]:
    """All others."""
    writer = place / "writer"
    uvicorn = (
        sys.executable, "-m", "uvicorn", "benchmarks.serving.plain_app:app", "--port", "{port}",
        "--log-level", "error",
    )  # fmt: skip
    hugging = (
        str(Path(sys.executable).with_name("transformers")), "serve", str(writer / "model"),
        "--port", "{port}", "--dtype", "float32", "--log-level", "error",
    )  # fmt: skip
    package = (
        sys.executable, "-m", "llama_cpp.server", "--model", str(writer / "int8.gguf"),
        "--port", "{port}", "--n_ctx", "1024", "--n_threads", threads, "--n_threads_batch",
        threads, "--interrupt_requests", "false", "--verbose", "false",
    )  # fmt: skip
    own = (
        str(servers.llama_server()), "--model", str(writer / "int8.gguf"), "--ctx-size",
        str(32 * 256), "--parallel", "32", "--cont-batching", "--threads", threads,
        "--threads-batch", threads, "--threads-http", "2", "--host", "127.0.0.1", "--port",
        "{port}", "--log-disable",
    )  # fmt: skip

    def plain(case: str, task: str, model: Path) -> Side:
        environment = {"PLAIN_TASK": task, "PLAIN_MODEL": str(model)}
        return Side("plain", case, "fp32", uvicorn, environment=environment)

    return [
        plain("classify", "text-classification", place / "labels/model"),
        Side("llama-cpp-python", "write", "int8", package, STREAM, ready="/v1/models"),
        Side("llama.cpp server", "write", "int8", own, {**STREAM, **USAGE}),
        Side("transformers serve", "write", "fp32", hugging,
             {"model": str(writer / "model"), **STREAM}),
        plain("write", "text-generation", writer / "model"),
    ]  # fmt: skip


def measure(side: Side, chosen: argparse.Namespace, place: Path) -> list[dict[str, Any]]:
    """All numbers of clients against one side."""
    port = servers.free_port()
    words = [word.replace("{port}", str(port)) for word in side.words]
    path = "/predict" if side.case == "classify" else "/v1/completions"
    rows = []
    with servers.running(
        words, port=port, place=place, ready=side.ready, threads=chosen.threads,
        environment=side.environment,
    ) as server:  # fmt: skip
        for clients in chosen.clients:
            spec = {
                "port": port, "path": path, "bodies": side.bodies(), "clients": clients,
                "seconds": chosen.seconds,
            }  # fmt: skip
            begin = len(server.sizes)
            found = asked(spec)
            sizes = [size for _, size in server.sizes[begin:]] or [server.memory()]
            row = {
                "case": side.case, "side": side.name, "bits": side.bits, "clients": clients,
                **told(found, side), "memory_peak": max(sizes), "memory_end": sizes[-1],
            }  # fmt: skip
            rows.append(row)
            say(line(row))
    return rows


def asked(spec: dict[str, Any]) -> dict[str, Any]:
    """What the client program has seen."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving.client"], input=json.dumps(spec),
        capture_output=True, text=True, cwd=harness.ROOT,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-800:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def told(found: dict[str, Any], side: Side) -> dict[str, Any]:
    """A run in figures."""
    seen, took = found["seen"], found["took"]
    good = [each for each in seen if each["whole"] and each["status"] == 200]
    cut = [each for each in seen if each["why"] == "cut"]
    refused = [each for each in seen if each["whole"] and each["status"] in (429, 503)]
    streamed = side.case == "write" and side.asked.get("stream", False)
    seconds = [each["seconds"] for each in good + cut]
    first = [each["first"] for each in good + cut]
    counted = [each for each in good if each["tokens"]]
    return {
        "answers": len(good), "cut": len(cut), "refused": len(refused),
        "failed": len(seen) - len(good) - len(cut) - len(refused),
        "other_length": sum(each["tokens"] != TOKENS for each in counted) if streamed else 0,
        "answers_per_second": len(good) / took,
        "tokens_per_second": TOKENS * len(good) / took if side.case == "write" else None,
        **{f"p{p}": percentile(seconds, p) for p in (50, 95, 99)},
        **{f"first_p{p}": percentile(first, p) if streamed else None for p in (50, 95, 99)},
        **{f"refused_p{p}": percentile([each["seconds"] for each in refused], p) for p in (50, 99)},
        "refused_per_second": len(refused) / took,
        "client_share": found["client_seconds"] / took,
    }  # fmt: skip


def line(row: dict[str, Any]) -> str:
    """A row in words."""
    first = "" if row["first_p50"] is None else f", first {row['first_p50']:.3f} s"
    if row["p50"] is None:
        return f"{row['case']:8} {row['side']:18} {row['clients']:4} clients: no answer"
    return (
        f"{row['case']:8} {row['side']:18} {row['clients']:4} clients: "
        f"{row['answers_per_second']:8.2f}/s, p50 {row['p50']:.3f} p95 {row['p95']:.3f} "
        f"p99 {row['p99']:.3f} s{first}, {row['refused']} refused, {row['failed']} failed, "
        f"{row['cut']} cut, {row['memory_peak'] / 2**20:.0f} MiB"
    )


def overload(chosen: argparse.Namespace, place: Path) -> list[dict[str, Any]]:
    """More than ours takes, with a short queue: how fast it says no, to each kind of clients."""
    clients = max(chosen.clients)
    side = Side("ours int8", "write", "int8", (), {"model": "int8", "temperature": 0})
    rows = []
    for kind in AGAIN:
        port = servers.free_port()
        words = servers.tinyforge(
            place / "writer/int8", port, "max_waiting=16", "parallel_texts=16"
        )
        with servers.running(words, port=port, place=place, threads=chosen.threads):
            spec = {"port": port, "path": "/v1/completions", "bodies": side.bodies(),
                    "clients": clients, "seconds": chosen.seconds, "refused": kind}  # fmt: skip
            found = told(asked(spec), side)
        rows.append({"clients": clients, "ask_again": kind, **found})
        p50, p99 = (1e3 * (found[f"refused_p{p}"] or 0) for p in (50, 99))
        say(f"overload: {clients} clients that ask again {kind}, 32 places: {found['refused']} "
            f"refused, {found['refused_per_second']:.0f}/s, p50 {p50:.1f} p99 {p99:.1f} ms; "
            f"{found['answers_per_second']:.2f} answers/s, {found['failed']} failed")  # fmt: skip
    return rows


def gate_of(folder: Path) -> str:
    """What the export's gate said; empty where there is no such export."""
    path = folder / "tinyforge/gate.json"
    return str(json.loads(path.read_text("utf-8"))["sentence"]) if path.is_file() else ""


def ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours over each peer: of like bits, and for those with float32 also ours with 8."""
    found = []
    for mine in (row for row in rows if row["side"].startswith("ours")):
        for peer in rows:
            same = all(mine[key] == peer[key] for key in ("case", "clients"))
            if not same or peer["side"].startswith("ours") or not peer["answers_per_second"]:
                continue
            if mine["bits"] == peer["bits"] or mine["bits"] == "int8":
                found.append({
                    "case": mine["case"], "clients": mine["clients"], "ours": mine["side"],
                    "peer": peer["side"], "peer_bits": peer["bits"],
                    "throughput": mine["answers_per_second"] / peer["answers_per_second"],
                    "p99": peer["p99"] / mine["p99"] if mine["p99"] else None,
                })  # fmt: skip
    return found


def main() -> int:
    """Measure all."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64, 256])
    flags.add_argument("--seconds", type=float, default=10.0, help="of each measurement (10)")
    flags.add_argument("--threads", type=int, default=2, help="of every server (2)")
    flags.add_argument("--size", choices=("small", "gpt2"), default="small", help="of the writer")
    flags.add_argument("--sides", nargs="+", help="only these")
    flags.add_argument("--case", choices=("classify", "write"), help="only this")
    flags.add_argument("--prepared", type=Path, help="keep the models here for other runs")
    flags.add_argument("--data-folder", type=Path, default=Path("../shared/data"))
    flags.add_argument("--quick", action="store_true", help="tiny models: does it run at all?")
    flags.add_argument("--json", action="store_true", help="print the whole result as JSON")
    flags.add_argument("--save", action="store_true", help="keep the result in results/")
    chosen = flags.parse_args()
    if chosen.quick:
        chosen.clients, chosen.seconds, chosen.size = [1, 8], 2.0, "quick"
    with tempfile.TemporaryDirectory(prefix="tinyforge-load-") as name:
        place = chosen.prepared or Path(name)
        words = [
            sys.executable, "-m", "benchmarks.serving.prepare", str(place), chosen.size, "labels",
            "writer", "--data-folder", str(chosen.data_folder.resolve()),
        ]  # fmt: skip
        harness.run(words, threads=chosen.threads, log=Path(name) / "prepare.txt")
        sides, lacking = all_sides(place, chosen.threads)
        rows: list[dict[str, Any]] = []
        for side in sides:
            if (chosen.sides and side.name not in chosen.sides) or (
                chosen.case and side.case != chosen.case
            ):
                continue
            try:
                rows += measure(side, chosen, Path(name))
            except RuntimeError as error:
                if side.ours:
                    raise
                lacking[f"{side.name}, {side.case}"] = str(error)
                say(f"left out: {side.name}: {error}")
        over = overload(chosen, place) if not chosen.sides and chosen.case != "classify" else []
        gate = gate_of(place / "labels/int8")
    result = {
        "benchmark": "serving.load", "size": chosen.size, "seconds": chosen.seconds,
        "tokens": TOKENS, "machine": machine.describe(chosen.threads), "rows": rows,
        "ratios": ratios(rows),
        "overload": over, "left_out": lacking, "gate_of_labels_int8": gate,
    }  # fmt: skip
    for each in result["ratios"]:
        say(f"{each['case']:8} {each['clients']:4} clients: {each['ours']} over {each['peer']} "
            f"({each['peer_bits']}): {each['throughput']:.2f} x throughput")  # fmt: skip
    save("load", result, chosen)
    bad = [r for r in rows if r["side"].startswith("ours") and (r["failed"] or r["other_length"])]
    for row in bad:
        say(f"FAILED: {line(row)}, {row['other_length']} of another length")
    return 1 if bad or any(row["failed"] for row in over) else 0


if __name__ == "__main__":
    sys.exit(main())
