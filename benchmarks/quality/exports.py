"""What making a model smaller costs: size, speed and score of every precision, on real data.

A model is trained, exported at each precision by ``tinyforge export``, gate included, and every
exported folder is scored by ``tinyforge evaluate`` on rows that neither training nor the gate has
seen. With ``--pages`` also ``tinyforge compress`` draws its page over pruned and quantized variants
of the same model.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality.verdicts import Row, speeches, write
from benchmarks.speed.harness import say
from benchmarks.speed.ours import executable
from benchmarks.speed.rows import read, without_repeats
from benchmarks.speed.table import MIB, rows_of

PRECISIONS = ("fp32", "fp16", "int8", "int4", "auto")
HELD = 1_000
"""Rows kept for the scores."""

REFUSED = 3
"""The exit code of a gate that nothing passed."""


@dataclass(frozen=True)
class Case:
    """A model to make smaller.

    Attributes:
        data: a file below the data folder; empty: State of the Union speeches.
        flags: of ``tinyforge train``.
        model: the model's folder below the models' folder; empty: named by the flags.
    """

    name: str
    data: str
    flags: tuple[str, ...]
    model: str = ""


CASES = (
    Case("banking77", "cls/banking77_train.jsonl.gz", ("--model", "auto")),
    Case(
        "e2e", "t2t/e2e_devset.jsonl.gz", ("--model", "scratch:t5-tiny", "--task", "text2text")
    ),
    Case("speeches", "", ("--task", "language-model"), model="stories260K"),
)  # fmt: skip


def main() -> None:
    """Train, export and score; a table for each case."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--data-folder", type=Path, default=Path("../shared/data"))
    flags.add_argument("--models-folder", type=Path, default=Path("../shared/models"))
    flags.add_argument("--cases", nargs="+", default=[case.name for case in CASES])
    flags.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    flags.add_argument("--minutes", type=float, default=3.0, help="of training, at most (3)")
    flags.add_argument("--max-drop", default="0.5%", help="that the gate allows (0.5%%)")
    flags.add_argument("--pages", type=Path, help="where tinyforge compress leaves its pages")
    flags.add_argument("--threads", type=int, default=2)
    flags.add_argument("--seed", type=int, default=0)
    chosen = flags.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="exports-") as place:
        for case in CASES:
            if case.name in chosen.cases:
                found.append(measure(case, chosen, Path(place) / case.name))
                if not chosen.json:
                    sys.stdout.write(table(found[-1]) + "\n\n")
                    sys.stdout.flush()
    if chosen.json:
        sys.stdout.write(json.dumps({"seed": chosen.seed, "cases": found}) + "\n")


def measure(case: Case, chosen: argparse.Namespace, place: Path) -> dict[str, Any]:
    """One case."""
    place.mkdir()
    train, held = split(case, chosen, place)
    model = [] if not case.model else ["--model", str(chosen.models_folder / case.model)]
    run = place / "run"
    command(
        "train", train, "--output", run, "--max-minutes", chosen.minutes, "--seed", chosen.seed,
        *model, *case.flags, chosen=chosen,
    )  # fmt: skip
    rows = [{"precision": "as trained", **scored(run, held, chosen), **size(run)}]
    for precision in chosen.precisions:
        folder = place / precision
        started = time.monotonic()
        code = command(
            "export", run, "--output", folder, "--precision", precision, "--max-drop",
            chosen.max_drop, chosen=chosen, allowed=(0, REFUSED),
        )["code"]  # fmt: skip
        seconds = time.monotonic() - started
        if code == REFUSED:
            rows.append({"precision": precision, "refused": True, "export_seconds": seconds})
            continue
        record = json.loads((folder / "tinyforge" / "export.json").read_text("utf-8"))
        rows.append(
            {
                "precision": precision, "scheme": record["scheme"].get("name", ""),
                "export_seconds": seconds, **scored(folder, held, chosen), **size(folder),
            }
        )  # fmt: skip
        say(f"{case.name} {precision}: {rows[-1]}")
    if chosen.pages:
        page(case, run, held, chosen, place)
    return {"case": case.name, "held": HELD, "max_drop": chosen.max_drop, "rows": rows}


def split(case: Case, chosen: argparse.Namespace, place: Path) -> tuple[Path, Path]:
    """Rows to train on, and held ones, with no text in both."""
    if case.data:
        rows: list[Row] = list(read(chosen.data_folder / case.data))  # type: ignore[arg-type]
        key = "text" if "text" in rows[0] else "mr"
        grouped = without_repeats(rows, key) if key == "text" else rows
    else:
        speeches(chosen.data_folder, place / "all.jsonl")
        lines = (place / "all.jsonl").read_text("utf-8").splitlines()
        grouped, key = without_repeats([json.loads(line) for line in lines], "text"), "text"
    names = sorted({row[key] for row in grouped})
    random.Random(chosen.seed).shuffle(names)
    share = max(1, round(len(names) * min(0.2, HELD / len(grouped))))
    apart = set(names[:share])
    files = (place / "train.jsonl", place / "held.jsonl")
    write(files[0], (row for row in grouped if row[key] not in apart))
    write(files[1], [row for row in grouped if row[key] in apart][:HELD])
    return files


def scored(model: Path, held: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """The headline metric with its interval, and rows a second, loading left out."""
    started = time.monotonic()
    found = command(
        "evaluate", model, held, "--json", "--set", "evaluate.label_errors=false", chosen=chosen
    )["answer"]  # fmt: skip
    name = found["primary"]["name"]
    score = found["scores"][name]
    return {
        "metric": name, "value": score["value"], "low": score["low"], "high": score["high"],
        "rows_per_second": found["sample"]["rows"] / found["seconds"],
        "wall_seconds": time.monotonic() - started,
    }  # fmt: skip


def size(folder: Path) -> dict[str, int]:
    """Bytes of the weights."""
    endings = (".safetensors", ".onnx", ".data")
    return {"bytes": sum(p.stat().st_size for p in folder.iterdir() if p.suffix in endings)}


def page(case: Case, run: Path, held: Path, chosen: argparse.Namespace, place: Path) -> None:
    """The page of ``tinyforge compress``, kept."""
    output = place / "compressed"
    command("compress", run, "--test", held, "--output", output, "--prune", 0.3, chosen=chosen)
    for path in (output / "tinyforge").glob("pareto*.html"):
        chosen.pages.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, chosen.pages / f"{case.name}-{path.name}")


def command(
    verb: str, *words: Any, chosen: argparse.Namespace, allowed: Sequence[int] = (0,)
) -> dict[str, Any]:
    """Run ``tinyforge``; its exit code, and the JSON object it printed last, if any."""
    line = [executable(), verb, *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(chosen.threads)}
    ended = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    if ended.returncode not in allowed:
        last = ended.stderr.strip().splitlines()[-3:]
        raise SystemExit(f"{' '.join(line)}\nended with {ended.returncode}: {last}")
    objects = [text for text in ended.stdout.splitlines() if text[:1] == "{"]
    return {"code": ended.returncode, "answer": json.loads(objects[-1]) if objects else None}


def table(found: dict[str, Any]) -> str:
    """One case, for people."""
    lines = []
    for row in found["rows"]:
        if row.get("refused"):
            lines.append([row["precision"], "refused", "", "", "", f"{row['export_seconds']:.0f}"])
            continue
        lines.append(
            [
                row["precision"], row.get("scheme", ""), f"{row['bytes'] / MIB:.1f}",
                f"{row['metric']} {row['value']:.4f} ({row['low']:.4f} to {row['high']:.4f})",
                f"{row['rows_per_second']:.1f}", f"{row.get('export_seconds', 0):.0f}",
            ]
        )  # fmt: skip
    header = ("precision", "scheme", "MiB", "score", "rows/s", "seconds to export")
    return f"**{found['case']}**\n\n" + rows_of(header, lines)


if __name__ == "__main__":
    main()
