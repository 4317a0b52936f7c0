"""Seconds from a process's start to the end of its first optimizer step, MiniLM on SMS spam.

TinyForge runs as a user would start it, with its checks, splits and measured first steps; the
peer is the shortest Trainer program. Files are in the disk's cache on both sides: each side runs
once before it counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.speed import compare, figures, harness, machine, options, ours, table

BATCH = 32


def main() -> None:
    """Compare."""
    chosen = options.parse(options.parser(__doc__))
    compare.finish(measure(chosen), chosen, table.seconds)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Both sides in turn."""
    rows = 100 if chosen.quick else 3_200
    case = compare.Case(
        name="classify", variant="", title="", learning={}, peers=(),
        prepare={
            "name": "sms_spam", "model": "minilm", "shots": 0, "rows": rows, "held_out": 10,
        },
    )  # fmt: skip
    sides: dict[str, list[float]] = {"ours": [], "trainer": []}
    with harness.workplace() as place:
        compare.prepare(case, chosen, place)
        for number in range(chosen.repeat + 1):
            found = {
                "ours": our_start(place, place / f"ours-{number}", chosen),
                "trainer": peer_start(place, place / f"trainer-{number}", chosen),
            }
            for name, seconds in found.items():
                if number or chosen.quick:
                    sides[name].append(seconds)
            harness.say(f"start: {found}")
            if chosen.quick:
                break
    return {
        "format": compare.FORMAT, "case": "start", "variant": "",
        "title": "Start to the first step, MiniLM on SMS spam", "quick": chosen.quick,
        "machine": machine.describe(chosen.threads), "repeat": chosen.repeat,
        "rows": {"count": rows},
        "sides": {name: figures.summary(values) for name, values in sides.items()},
        "comparisons": [
            {
                "peer": "trainer",
                "speed": figures.ratios(sides["trainer"], sides["ours"]),
                "valid": True,
                "why_not": [],
            }
        ],
    }  # fmt: skip


def our_start(place: Path, folder: Path, chosen: argparse.Namespace) -> float:
    """Until the first step stands in the run's record."""
    output = folder / "model"
    metrics = output / "tinyforge" / "metrics.jsonl"
    settings = {"train.batch_size": BATCH, "train.threads": chosen.threads}
    words = ours.command(
        place / "train.jsonl", output, str(place / "model"), settings, "--task", "classify"
    )
    return harness.until(
        words, lambda: _ends_a_step(metrics), threads=chosen.threads, log=folder / "log.txt"
    )


def _ends_a_step(metrics: Path) -> bool:
    return metrics.is_file() and b'"step":1,' in metrics.read_bytes()[:200]


def peer_start(place: Path, folder: Path, chosen: argparse.Namespace) -> float:
    """Until its callback has written a file."""
    spec = {
        "train": str(place / "train.jsonl"), "model": str(place / "model"), "batch": BATCH,
    }  # fmt: skip
    words = harness.program("peers.first_step", spec, folder)
    return harness.until(
        words, (folder / "first-step").is_file, threads=chosen.threads, log=folder / "log.txt"
    )


if __name__ == "__main__":
    main()
