"""What the comparisons of judging share: our command and a peer's ways in turn, and what they say.

Seconds are those of answering and scoring, as each side's own clock has them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.speed import compare, figures, harness, machine, ours

Sides = dict[str, list[dict[str, float]]]


@dataclass(frozen=True)
class Judging:
    """What is judged, and beside what.

    Attributes:
        name: in the lines of progress.
        variant: of the result's file.
        title: for people.
        rows: how many are judged.
        prepare: the case that makes rows and weights.
        model: makes the model that all sides judge: from what a side is told, and a folder.
        peer: the peer's program.
        ways: of the peer.
        measure: the metric that must agree.
        said: the metric for people, in a sentence.
        same: how far its values may lie apart: what rounding turns over.
        settings: more of ``tinyforge evaluate``.
        told: more that the peer is told.
    """

    name: str
    variant: str
    title: str
    rows: int
    prepare: compare.Case
    model: Callable[[dict[str, Any], Path], Path]
    peer: str
    ways: tuple[str, ...]
    measure: str
    said: str
    same: float
    settings: tuple[str, ...] = ()
    told: dict[str, Any] = field(default_factory=dict)


def measure(what: Judging, chosen: argparse.Namespace) -> dict[str, Any]:
    """Both sides in turn."""
    sides: Sides = {"ours": [], **{way: [] for way in what.ways}}
    with harness.workplace() as place:
        facts = compare.prepare(what.prepare, chosen, place)
        spec = compare.specification(what.prepare, chosen, facts, place, seed=0) | what.told
        spec["model"] = str(what.model(spec, place))
        for number in range(chosen.repeat):
            sides["ours"].append(_ours(what, spec, place / f"ours-{number}.txt"))
            for way in what.ways:
                folder = place / f"{way}-{number}"
                ended = harness.run_program(
                    what.peer, {**spec, "way": way}, folder, threads=chosen.threads
                )
                found = harness.read_json(folder / "result.json")
                sides[way].append({**found, "peak_bytes": ended.peak_bytes})
            last = {name: round(runs[-1]["seconds"], 1) for name, runs in sides.items()}
            harness.say(f"{what.name} {number + 1}/{chosen.repeat}, seconds: {last}")
    rates = {name: [what.rows / run["seconds"] for run in runs] for name, runs in sides.items()}
    return {
        "format": compare.FORMAT, "case": "judging", "variant": what.variant, "title": what.title,
        "quick": chosen.quick, "machine": machine.describe(chosen.threads),
        "repeat": chosen.repeat, "rows": {"count": what.rows}, "measure": what.measure,
        "sides": sides,
        "rates": {name: figures.summary(values) for name, values in rates.items()},
        "comparisons": [_compared(what, way, sides, rates) for way in what.ways],
    }  # fmt: skip


def _compared(
    what: Judging, way: str, sides: Sides, rates: dict[str, list[float]]
) -> dict[str, Any]:
    apart = abs(sides["ours"][0][what.measure] - sides[way][0][what.measure])
    valid = apart <= what.same
    return {
        "peer": way,
        "speed": figures.ratios(rates["ours"], rates[way]),
        "valid": valid,
        "why_not": [] if valid else [f"{what.said} differs by {apart:.4g}"],
    }


def _ours(what: Judging, spec: dict[str, Any], answer: Path) -> dict[str, float]:
    """The command, with 100 resamples: the intervals are not what is compared."""
    words = [ours.executable(), "evaluate", spec["model"], spec["train"], "--json"]
    for setting in ("evaluate.bootstrap_samples=100", *what.settings):
        words += ["--set", setting]
    ended = harness.run(words, threads=spec["threads"], log=answer)
    told = next(line for line in reversed(answer.read_text().splitlines()) if line[:1] == "{")
    found = json.loads(told)
    return {
        "seconds": found["seconds"], what.measure: found["metrics"][what.measure],
        "wall_seconds": ended.seconds, "peak_bytes": ended.peak_bytes,
    }  # fmt: skip
