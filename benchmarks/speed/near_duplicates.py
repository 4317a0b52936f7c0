"""Near-duplicates beside ``datasketch``: planted copies with 5 % of their words edited.

Both sides are one process on one core and read the same file. Ours checks every pair in the texts;
datasketch's candidates are taken as they come. Its shingles, hash and threshold are those with
which it is fastest at a recall of 0.99; at the first size every variant is shown. Sizes: 1, 4 and
16 times the documents.

Recall: of the planted pairs, those that the pairs found link. Precision: of the pairs found, those
that were planted or that share at least half of their three-word shingles.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import compare, figures, harness, machine, options, table
from benchmarks.speed.peers.shared_words import shared

DOCUMENTS = 2_500
SIZES = (1, 4, 16)
WANTED = 0.99
"""Recall and precision that a side must reach to be compared with."""

PEERS: dict[str, dict[str, Any]] = {
    # Shingle of words or characters and its size, threshold, and hash function.
    "words-3, sha1": {"shingle": "words", "size": 3, "threshold": 0.5, "hash": "sha1"},
    "words-3, xxhash": {"shingle": "words", "size": 3, "threshold": 0.5, "hash": "xxhash"},
    "words-5, xxhash": {"shingle": "words", "size": 5, "threshold": 0.4, "hash": "xxhash"},
    "words-1, xxhash": {"shingle": "words", "size": 1, "threshold": 0.7, "hash": "xxhash"},
    "characters-8, xxhash": {
        "shingle": "characters", "size": 8, "threshold": 0.6, "hash": "xxhash",
    },
}  # fmt: skip

USUAL = "words-3, xxhash"
"""Measured at every size, beside the one that is fastest at the first."""


def main() -> None:
    """Compare."""
    flags = options.parser(__doc__)
    flags.add_argument("--documents", type=int, default=DOCUMENTS, help="of the first size (2,500)")
    flags.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="times as many")
    flags.add_argument("--edit", choices=["words", "characters"], default="words")
    flags.add_argument(
        "--similarity", type=float, help="threshold of ours; the default setting where not given"
    )
    chosen = options.parse(flags)
    if chosen.quick:
        chosen.documents, chosen.sizes = 200, [1]
    compare.finish(measure(chosen), chosen, table.near_duplicates)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Each size: both sides in turn; all variants of the peer at the first, its best at others."""
    points: list[dict[str, Any]] = []
    peers = dict(PEERS)
    settings = {} if chosen.similarity is None else {"similarity": chosen.similarity}
    with harness.workplace() as place:
        for size in chosen.sizes:
            corpus = place / f"corpus-{size}"
            spec = {
                "data": str(chosen.data_folder), "documents": size * chosen.documents,
                "edit": chosen.edit, "seed": 1,
            }  # fmt: skip
            harness.run_program("planted", spec, corpus, threads=1)
            sides: dict[str, list[dict[str, float]]] = {"ours": [], **{p: [] for p in peers}}
            for number in range(chosen.repeat):
                for name, runs in sides.items():
                    folder = place / f"{size}-{number}-{name.replace(', ', '-')}"
                    runs.append(_run(name, corpus, folder, settings))
                harness.say(f"{size}x {number + 1}/{chosen.repeat}: {_told(sides)}")
            points.append(_point(size, corpus, sides))
            later = (points[-1]["best"], USUAL)
            peers = {name: spec for name, spec in PEERS.items() if name in later}
    return {
        "format": compare.FORMAT, "case": "near_duplicates",
        "variant": "" if chosen.edit == "words" else chosen.edit,
        "title": f"Near-duplicates, planted copies with 5 % of the {chosen.edit} edited",
        "quick": chosen.quick, "machine": machine.describe(1), "repeat": chosen.repeat,
        "points": points,
    }  # fmt: skip


def _run(name: str, corpus: Path, folder: Path, settings: dict[str, Any]) -> dict[str, float]:
    if name == "ours":
        program, spec = "our_duplicates", {"settings": settings}
    else:
        program, spec = "peers.datasketch_lsh", {**PEERS[name], "values": 128}
    ended = harness.run_program(program, {**spec, "corpus": str(corpus)}, folder, threads=1)
    found = harness.read_json(folder / "result.json")
    return {
        **found, "peak_bytes": ended.peak_bytes, "wall_seconds": ended.seconds,
        **_quality(corpus, np.load(folder / "pairs.npy")),
    }  # fmt: skip


def _quality(corpus: Path, pairs: np.ndarray[Any, Any]) -> dict[str, float]:
    planted = set(map(tuple, np.load(corpus / "planted.npy").tolist()))
    found = set(map(tuple, pairs.tolist()))
    others = sorted(found - planted)
    right = sum(value >= 0.5 for value in shared(corpus, others))
    root = _components(found)
    linked = sum(root.get(one, one) == root.get(other, other) for one, other in planted)
    return {
        "recall": linked / len(planted),
        "precision": (len(planted & found) + right) / max(1, len(found)),
        "pairs": len(found),
    }


def _components(pairs: Iterable[tuple[int, ...]]) -> dict[int, int]:
    """The smallest number of each document's cluster, for those in a pair."""
    root: dict[int, int] = {}

    def top(number: int) -> int:
        while root.setdefault(number, number) != number:
            number = root[number]
        return number

    for one, other in sorted(pairs):
        low, high = sorted((top(one), top(other)))
        root[high] = low
    return {number: top(number) for number in list(root)}


def _point(size: int, corpus: Path, sides: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    offsets = np.load(corpus / "offsets.npy")
    seconds = {name: [run["seconds"] for run in runs] for name, runs in sides.items()}
    comparisons = []
    for name, runs in sides.items():
        if name == "ours":
            continue
        why = _why_not("ours", sides["ours"]) + _why_not(name, runs)
        comparisons.append(
            {
                "peer": name, "speed": figures.ratios(seconds[name], seconds["ours"]),
                "valid": not why, "why_not": why,
            }
        )  # fmt: skip
    counted = [one for one in comparisons if one["valid"]]
    fastest = min(counted, key=lambda one: one["speed"]["ratio"], default=None)
    return {
        "size": size, "documents": len(offsets) - 1, "bytes": int(offsets[-1]), "sides": sides,
        "seconds": {name: figures.summary(values) for name, values in seconds.items()},
        "comparisons": comparisons, "best": fastest["peer"] if fastest else None,
    }  # fmt: skip


def _why_not(name: str, runs: list[dict[str, float]]) -> list[str]:
    return [
        f"{name}: {measure} {min(run[measure] for run in runs):.4f}"
        for measure in ("recall", "precision")
        if min(run[measure] for run in runs) < WANTED
    ]


def _told(sides: dict[str, list[dict[str, float]]]) -> dict[str, str]:
    return {
        name: f"{runs[-1]['seconds']:.2f} s, recall {runs[-1]['recall']:.4f}, "
        f"precision {runs[-1]['precision']:.4f}"
        for name, runs in sides.items()
    }


if __name__ == "__main__":
    main()
