"""``tinyforge prepare`` beside datatrove's own local pipeline: clean and deduplicate, two workers.

Both mend encodings, apply the rules of Gopher, C4 and FineWeb, mask e-mail and IP addresses and
drop near-duplicates from the same JSON Lines files; ours also finds repeated lines and passages,
writes its ledger and its report. datatrove's bands are as many as find the planted copies. It keeps
fewer documents: its Gopher filter counts punctuation marks as words, so that more look odd to it.

datatrove runs in a Python of its own, since it pins other versions:

    python -m venv PEER && PEER/bin/pip install "datatrove[io,processing]" spacy
    python -m benchmarks.speed.prepare_throughput --peer-python PEER/bin/python
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import compare, figures, harness, machine, options, ours, table

DOCUMENTS = 2_500
SIZES = (1, 4, 16)
FILES = 4
WANTED = 0.99
"""Recall of planted copies that a side must reach to be compared with."""

BANDS = {"n_grams": 3, "buckets": 32, "rows": 4}
"""Of datatrove: finds a pair of similarity 0.75 with probability 0.99999."""

CLEANING = {
    # What datatrove's steps do, and no more.
    "clean.recipe": "web",
    "clean.identify_language": "false",
    "clean.personal_kinds": "[email, ip]",
}


def main() -> None:
    """Compare."""
    flags = options.parser(__doc__)
    flags.add_argument("--peer-python", help="the Python that datatrove is installed for")
    flags.add_argument("--documents", type=int, default=DOCUMENTS, help="of the first size (2,500)")
    flags.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="times as many")
    chosen = options.parse(flags)
    if chosen.quick:
        chosen.documents, chosen.sizes = 200, [1]
    compare.finish(measure(chosen), chosen, table.prepare_throughput)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Both sides in turn, for each size."""
    points = []
    names = ["ours", "datatrove"] if chosen.peer_python else ["ours"]
    with harness.workplace() as place:
        for size in chosen.sizes:
            corpus = place / f"corpus-{size}"
            _make(chosen, size * chosen.documents, corpus)
            sides: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
            for number in range(chosen.repeat):
                for name, runs in sides.items():
                    folder = place / f"{size}-{number}-{name}"
                    run = _ours if name == "ours" else _datatrove
                    runs.append(run(corpus, folder, chosen))
                last = {
                    name: f"{runs[-1]['seconds']:.1f} s, {runs[-1]['kept']:,} kept, "
                    f"recall {runs[-1]['recall']:.4f}"
                    for name, runs in sides.items()
                }
                harness.say(f"{size}x {number + 1}/{chosen.repeat}: {last}")
            points.append(_point(size, corpus, sides))
    return {
        "format": compare.FORMAT, "case": "prepare_throughput", "variant": "",
        "title": "Cleaning and deduplicating, two workers", "quick": chosen.quick,
        "machine": machine.describe(chosen.threads), "repeat": chosen.repeat, "points": points,
    }  # fmt: skip


def _make(chosen: argparse.Namespace, documents: int, corpus: Path) -> None:
    """The flat file of ``planted``, as JSON Lines in several files."""
    spec = {"data": str(chosen.data_folder), "documents": documents, "edit": "words", "seed": 1}
    harness.run_program("planted", spec, corpus, threads=1)
    offsets = np.load(corpus / "offsets.npy").tolist()
    rows = corpus / "rows"
    rows.mkdir()
    count = len(offsets) - 1
    with (corpus / "texts.bin").open("rb") as texts:
        for file in range(FILES):
            with (rows / f"{file}.jsonl").open("w", encoding="utf-8") as out:
                for number in range(file * count // FILES, (file + 1) * count // FILES):
                    text = texts.read(offsets[number + 1] - offsets[number]).decode()
                    out.write(json.dumps({"id": str(number), "text": text}) + "\n")


def _ours(corpus: Path, folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    settings = [part for name, value in CLEANING.items() for part in ("--set", f"{name}={value}")]
    output = folder / "out"
    words = [
        ours.executable(), "prepare", str(corpus / "rows"), "--output", str(output),
        "--set", f"workers={chosen.threads}", *settings,
    ]  # fmt: skip
    ended = harness.run(words, threads=1, log=folder / "log.txt")
    report = harness.read_json(output / "tinyforge" / "report.json")
    kept = _kept_by_us(output)
    return {
        "seconds": ended.seconds, "peak_bytes": ended.peak_bytes, "kept": len(kept),
        "stages": report.get("seconds", {}), "recall": _recall(corpus, kept),
    }  # fmt: skip


def _kept_by_us(output: Path) -> set[int]:
    import pyarrow.parquet as pq

    found: set[int] = set()
    for path in sorted(output.glob("*/*.parquet")):
        if path.parent.name in ("train", "validation", "test"):
            for meta in pq.read_table(path, columns=["meta"])["meta"].to_pylist():
                found.add(int(json.loads(meta)["id"]))
    return found


def _datatrove(corpus: Path, folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    spec = {"corpus": str(corpus / "rows"), "workers": chosen.threads, "files": FILES, **BANDS}
    command = harness.program("peers.datatrove_pipeline", spec, folder)
    ended = harness.run([chosen.peer_python, *command[1:]], threads=1, log=folder / "log.txt")
    result = harness.read_json(folder / "result.json")
    kept = set()
    for path in sorted((folder / "out").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            kept |= {int(json.loads(line)["id"]) for line in file}
    return {
        "seconds": ended.seconds, "peak_bytes": ended.peak_bytes, "kept": len(kept),
        "stages": result["stages"], "recall": _recall(corpus, kept),
    }  # fmt: skip


def _recall(corpus: Path, kept: Iterable[int]) -> float:
    """The share of planted pairs of which no more than one is kept."""
    there = set(kept)
    pairs = np.load(corpus / "planted.npy").tolist()
    return 1 - sum(one in there and other in there for one, other in pairs) / len(pairs)


def _point(size: int, corpus: Path, sides: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    offsets = np.load(corpus / "offsets.npy")
    seconds = {name: [run["seconds"] for run in runs] for name, runs in sides.items()}
    why = [
        f"{name}: recall {min(run['recall'] for run in runs):.4f}"
        for name, runs in sides.items()
        if min(run["recall"] for run in runs) < WANTED
    ]
    return {
        "size": size, "documents": len(offsets) - 1, "bytes": int(offsets[-1]), "sides": sides,
        "seconds": {name: figures.summary(values) for name, values in seconds.items()},
        "comparisons": [
            {
                "peer": name, "speed": figures.ratios(values, seconds["ours"]),
                "valid": not why, "why_not": why,
            }
            for name, values in seconds.items()
            if name != "ours"
        ],
    }  # fmt: skip


if __name__ == "__main__":
    main()
