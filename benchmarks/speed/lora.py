"""LoRA beside training all weights: what learns, memory, speed, files and score (tutorial 4).

``python -m benchmarks.speed.lora --write`` puts the table into the tutorial, between its markers.
Every run is a fresh ``tinyforge train``. Memory is the largest resident size of the whole process,
speed that of the steps alone, without the first ones. The score is MiniLM's on rows of Banking77
that were held out; the two larger models start with new weights, which cost as much as trained ones
and could not be scored.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed import harness, machine, options, ours, rows, table

BEGIN, END = "<!-- begin: benchmarks.speed.lora -->", "<!-- end: benchmarks.speed.lora -->"
PAGE = harness.ROOT / "docs" / "tutorials" / "04_understanding_lora.md"
HELD = 1_000
FIRST = 4
"""Steps that are not timed."""


@dataclass(frozen=True)
class Case:
    """A model, and the ranks of adapters that are tried on it; 0 is training all weights."""

    title: str
    model: str
    task: str
    ranks: Sequence[int]
    scored: bool = False


CASES = (
    Case("MiniLM", "minilm", "classify", (0, 4, 16, 64), scored=True),
    Case("DistilBERT's size", "distilbert", "classify", (0, 16)),
    Case("GPT-2's size (Llama)", "llama", "instruct", (0, 16)),
)


def main() -> None:
    """Measure, and print or write the table."""
    flags = options.parser(__doc__)
    flags.add_argument("--steps", type=int, default=20, help="steps of a timed run (20)")
    flags.add_argument(
        "--score-steps", type=int, default=500, help="of a scored run (500); 0: none"
    )
    flags.add_argument("--batch", type=int, default=16, help="rows in a step (16)")
    flags.add_argument("--write", action="store_true", help="write the table into the tutorial")
    flags.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    chosen = options.parse(flags)
    if chosen.make:
        make(chosen.make[0], Path(chosen.make[1]), chosen.data_folder, quick=chosen.quick)
        return
    text = render(measure(chosen))
    if chosen.write and not chosen.quick:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", "utf-8")
    sys.stdout.write(text + "\n")


def make(name: str, folder: Path, data: Path, *, quick: bool) -> None:
    """In a process of its own: a model to start from."""
    from benchmarks.speed import models

    if name == "minilm":
        models.minilm(folder)
    elif name == "distilbert":
        models.distilbert_size(folder, quick=quick)
    else:
        texts = (text for row in rows.alpaca(data) for text in row.values())
        models.llama(folder, texts, vocabulary=32_000, quick=quick)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Every model with every rank; the median of ``--repeat`` runs, which take turns."""
    found = []
    with harness.workplace() as place:
        learnt, held = _rows(place, chosen)
        for case in CASES[:1] if chosen.quick else CASES:
            model = place / case.model
            quick = ["--quick"] if chosen.quick else []
            made = harness.module(
                "lora", "--make", case.model, str(model), "--data-folder", str(chosen.data_folder)
            )
            harness.run([*made, *quick], threads=chosen.threads, log=place / "make.txt")
            runs: dict[int, list[dict[str, Any]]] = {rank: [] for rank in case.ranks}
            for number in range(chosen.repeat):
                for rank in case.ranks:
                    output = place / f"{case.model}-{rank}-{number}"
                    timed = _timed(case, rank, model, learnt[case.task], output, chosen)
                    harness.say(f"{case.title}, rank {rank or 'none'}, round {number + 1}: {timed}")
                    runs[rank].append(timed)
            for rank in case.ranks:
                entry = _median(runs[rank]) | {"model": case.title, "rank": rank, "score": None}
                if case.scored and chosen.score_steps:
                    harness.say(f"{case.title}, rank {rank or 'none'}, scored")
                    output = place / f"{case.model}-{rank}-scored"
                    entry["score"] = _score(rank, model, learnt[case.task], held, output, chosen)
                found.append(entry)
    return {
        "machine": machine.describe(chosen.threads), "repeat": chosen.repeat, "runs": found,
        "batch": chosen.batch, "score_steps": chosen.score_steps, "held_out": HELD,
    }  # fmt: skip


def _rows(place: Path, chosen: argparse.Namespace) -> tuple[dict[str, Path], Path]:
    questions = rows.without_repeats(rows.classification(chosen.data_folder, "banking77"), "text")
    questions = rows.shuffled(questions, 0)
    files = {
        "held": questions[:HELD],
        "classify": questions[HELD:],
        "instruct": rows.alpaca(chosen.data_folder)[:1_000],
    }
    paths = {}
    for name, part in files.items():
        paths[name] = place / f"{name}.jsonl"
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in part)
        paths[name].write_text("".join(lines), encoding="utf-8")
    return paths, paths["held"]


def _command(
    rank: int, task: str, model: Path, data: Path, output: Path, steps: int,
    chosen: argparse.Namespace,
) -> list[str]:  # fmt: skip
    settings: dict[str, Any] = {
        "data.validation_share": 0, "evaluate.baselines": "false", "data.near_duplicate": 1,
        "data.max_length": 128, "data.allow_cut": "true", "train.batch_size": chosen.batch,
        "train.max_steps": steps, "train.threads": chosen.threads,
    }  # fmt: skip
    adapters = ["--lora"] if rank else []
    if rank:
        settings |= {"lora.r": rank, "lora.alpha": 2 * rank}
    return ours.command(data, output, str(model), settings, "--task", task, *adapters)


def _timed(
    case: Case, rank: int, model: Path, data: Path, output: Path, chosen: argparse.Namespace
) -> dict[str, Any]:
    steps = FIRST + 2 if chosen.quick else chosen.steps
    command = _command(rank, case.task, model, data, output, steps, chosen)
    ended = harness.run(
        [*command, "--set", "data.test_share=0"], threads=chosen.threads,
        log=output.with_suffix(".txt"),
    )  # fmt: skip
    timed = ours.read_run(output)["steps"][FIRST:]
    file = (
        output / "adapter" / "adapter_model.safetensors" if rank else output / "model.safetensors"
    )
    return {
        "peak_bytes": ended.peak_bytes,
        "rate": sum(step["examples"] for step in timed) / sum(step["seconds"] for step in timed),
        "file_bytes": file.stat().st_size,
        "learnt": numbers_in(file),
    }


def _score(
    rank: int, model: Path, data: Path, held: Path, output: Path, chosen: argparse.Namespace
) -> float:
    steps = 5 if chosen.quick else chosen.score_steps
    command = _command(rank, "classify", model, data, output, steps, chosen)
    harness.run(
        [*command, "--test", str(held)], threads=chosen.threads, log=output.with_suffix(".txt")
    )
    report = harness.read_json(output / "tinyforge" / "report.json")
    return float(report["result"]["metrics"]["accuracy"])


def _median(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def numbers_in(file: Path) -> int:
    """How many numbers a safetensors file holds, from its header."""
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    total = 0
    for name, entry in header.items():
        if name != "__metadata__":
            size = 1
            for length in entry["shape"]:
                size *= length
            total += size
    return total


def render(found: dict[str, Any]) -> str:
    """The table, and the sentence that says what it was measured on."""
    header = (
        "model", "what learns", "numbers that learn", "memory", "examples/s", "file learnt",
        "right of held-out rows",
    )  # fmt: skip
    lines = []
    for run in found["runs"]:
        lines.append(
            [
                run["model"],
                f"LoRA, r = {run['rank']}" if run["rank"] else "all weights",
                f"{run['learnt'] / 1e6:,.2f} M",
                f"{run['peak_bytes'] / 2**20:,.0f} MiB",
                f"{run['rate']:,.1f}",
                f"{run['file_bytes'] / 2**20:,.1f} MiB",
                "" if run["score"] is None else f"{100 * run['score']:.1f} %",
            ]
        )
    scored = (
        f"; the score after {found['score_steps']} steps, on {found['held_out']:,} held-out "
        "questions of Banking77 (77 intents)"
    )
    about = (
        f"Batches of {found['batch']} rows; the median of {found['repeat']} runs"
        f"{scored if found['score_steps'] else ''}. {table.machine(found)}"
    )
    return f"{table.rows_of(header, lines)}\n\n{about}"


if __name__ == "__main__":
    main()
