"""What ``tinyforge train`` says of good, useless and hardly tested models, on real data.

Every case is one command a user could type. Two cases know the right answer: a model that learns
random labels must not be called better, and one judged on a handful of rows cannot be called
anything.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.harness import say
from benchmarks.speed.ours import executable
from benchmarks.speed.rows import read

Row = dict[str, Any]
FEW = 200
"""Rows of the case that is too small; a tenth of them are the test."""


@dataclass(frozen=True)
class Case:
    """A run.

    Attributes:
        data: a path below the data folder, or what writes the rows to a new file.
        test: the same for an official test file; None: rows are split off.
        expected: the word that the verdict must be; None: any honest one.
    """

    name: str
    data: str | Callable[[Path, Path], None]
    flags: tuple[str, ...]
    test: str | Callable[[Path, Path], None] | None = None
    expected: str | None = None


def main() -> None:
    """Run the cases and print a table."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--data-folder", type=Path, default=Path("../shared/data"))
    flags.add_argument("--models-folder", type=Path, default=Path("../shared/models"))
    flags.add_argument("--cases", nargs="+", help="only these")
    flags.add_argument("--minutes", type=float, default=10, help="of training, at most (10)")
    flags.add_argument("--threads", type=int, default=2)
    flags.add_argument("--seed", type=int, default=0)
    chosen = flags.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="verdicts-") as place:
        for case in cases(chosen.models_folder):
            if chosen.cases and case.name not in chosen.cases:
                continue
            found.append(run(case, chosen, Path(place)))
            say(line(found[-1]))
    if chosen.json:
        sys.stdout.write(json.dumps({"seed": chosen.seed, "cases": found}) + "\n")
    else:
        sys.stdout.write("".join(line(one) + "\n" for one in found))
    if any(one["wrong"] for one in found):
        raise SystemExit(3)


def cases(models: Path) -> list[Case]:
    """All of them; the quick ones first."""
    auto = ("--model", "auto")
    t5 = ("--model", "scratch:t5-tiny", "--task", "text2text")
    trec = "cls/trec_train.jsonl.gz"
    only_coarse = ("--set", "data.output=coarse")
    return [
        Case("too small", few, (*auto, *only_coarse), expected="cannot tell"),
        Case("random labels", mixed_up, (*auto, *only_coarse), expected="not better"),
        Case("TREC, MiniLM", trec, (*auto, *only_coarse)),
        Case("SMS spam, MiniLM", "cls/sms_spam_train.jsonl.gz", auto),
        Case("Banking77, MiniLM", "cls/banking77_train.jsonl.gz", auto),
        Case(
            "GoEmotions, MiniLM", "cls/goemotions_train.jsonl.gz", auto,
            test="cls/goemotions_dev.jsonl.gz",
        ),
        Case("E2E, scratch T5", "t2t/e2e_devset.jsonl.gz", t5),
        Case("Multi30k en-de, scratch T5", pairs("train"), t5, test=pairs("test_2016_flickr")),
        Case(
            "stories260K, tuned on speeches", speeches,
            ("--model", str(models / "stories260K"), "--task", "language-model"),
        ),
    ]  # fmt: skip


def few(data: Path, target: Path) -> None:
    """So few rows that no test of them can tell anything."""
    rows = list(read(data / "cls/trec_train.jsonl.gz"))
    write(target, random.Random(0).sample(rows, FEW))


def mixed_up(data: Path, target: Path) -> None:
    """TREC's questions, each with another question's label."""
    rows = [dict(row) for row in read(data / "cls/trec_train.jsonl.gz")]
    labels = [row["coarse"] for row in rows]
    random.Random(0).shuffle(labels)
    write(target, ({**row, "coarse": label} for row, label in zip(rows, labels, strict=True)))


def pairs(split: str) -> Callable[[Path, Path], None]:
    """Image captions in English and German, line by line."""

    def prepare(data: Path, target: Path) -> None:
        texts = []
        for language in ("en", "de"):
            with gzip.open(data / f"t2t/multi30k/{split}.{language}.gz", "rt", "utf-8") as file:
                texts.append(file.read().splitlines())
        write(target, ({"input": a, "output": b} for a, b in zip(*texts, strict=True)))

    return prepare


def speeches(data: Path, target: Path) -> None:
    """Paragraphs of presidents' addresses, which no children's story is like."""
    import zipfile

    with zipfile.ZipFile(data / "raw/nltk_state_union.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".txt"))
        texts = [archive.read(name).decode("latin-1") for name in names]
    parts = [" ".join(part.split()) for text in texts for part in text.splitlines()]
    write(target, ({"text": part} for part in parts if len(part) > 200))


def write(target: Path, rows: Iterable[Row]) -> None:
    """JSON Lines."""
    target.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def run(case: Case, chosen: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Train, and read what the verdict is."""
    stem = "".join(letter if letter.isalnum() else "-" for letter in case.name)
    given = _file(case.data, chosen.data_folder, place / f"{stem}.jsonl")
    test = [] if case.test is None else [
        "--test", str(_file(case.test, chosen.data_folder, place / f"{stem}-test.jsonl"))
    ]  # fmt: skip
    words = [
        executable(), "train", str(given), *test, "--output", str(place / stem), "--json",
        "--max-minutes", str(chosen.minutes), "--seed", str(chosen.seed), *case.flags,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(chosen.threads)}
    started = time.monotonic()
    ended = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    if ended.returncode:
        last = ended.stderr.strip().splitlines()[-1:]
        raise SystemExit(f"{case.name}: {' '.join(words)}\nended with {ended.returncode}: {last}")
    report = json.loads((place / stem / "tinyforge" / "report.json").read_text(encoding="utf-8"))
    word = report["verdict"]["word"]
    return {
        "case": case.name,
        "verdict": word,
        "sentence": report["verdict"]["sentence"],
        "wrong": case.expected is not None and word != case.expected,
        "seconds": round(time.monotonic() - started, 1),
        "training_seconds": round(report["training"]["seconds"], 1),
        "metrics": report["metrics"],
    }


def _file(data: str | Callable[[Path, Path], None], folder: Path, target: Path) -> Path:
    if isinstance(data, str):
        return folder / data
    data(folder, target)
    return target


def line(found: dict[str, Any]) -> str:
    """One case, for people."""
    wrong = "  WRONG" if found["wrong"] else ""
    return f"{found['case']}: {found['sentence']} [{found['seconds']:.0f} s]{wrong}"


if __name__ == "__main__":
    main()
