"""``tinyforge evaluate`` beside ``Trainer.predict``: MiniLM's answers to Banking77's questions.

Seconds are those of answering: on our side with reading and tokenizing the rows, which the Trainer
has behind it when its clock starts. The classifier's head is random; all must give it the same
accuracy. Ours answers in float32, as the model does when it is used.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.speed import compare, figures, harness, machine, options, ours, table

SAME = 0.005
"""Accuracies may differ by so much: answers that rounding turns over."""
WAYS = ("plain", "best", "half")
"""Of the Trainer; see ``peers/evaluating.py``."""


def main() -> None:
    """Compare."""
    chosen = options.parse(options.parser(__doc__))
    compare.finish(measure(chosen), chosen, table.judging)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Both sides in turn."""
    rows = 100 if chosen.quick else 8_000
    case = compare.Case(
        name="classify", variant="", title="", learning={}, peers=(),
        prepare={
            "name": "banking77", "model": "minilm", "shots": 0, "rows": rows, "held_out": 10,
        },
    )  # fmt: skip
    sides: dict[str, list[dict[str, float]]] = {"ours": [], **{way: [] for way in WAYS}}
    with harness.workplace() as place:
        facts = compare.prepare(case, chosen, place)
        spec = compare.specification(case, chosen, facts, place, seed=0)
        harness.run_program("peers.classifier", spec, place / "saved", threads=chosen.threads)
        spec["model"] = str(place / "saved" / "model")
        for number in range(chosen.repeat):
            sides["ours"].append(our_run(spec, place / f"ours-{number}.txt"))
            for way in WAYS:
                told, folder = {**spec, "way": way}, place / f"{way}-{number}"
                ended = harness.run_program(
                    "peers.evaluating", told, folder, threads=chosen.threads
                )
                found = harness.read_json(folder / "result.json")
                sides[way].append({**found, "peak_bytes": ended.peak_bytes})
            last = {name: round(runs[-1]["seconds"], 1) for name, runs in sides.items()}
            harness.say(f"judging {number + 1}/{chosen.repeat}, seconds: {last}")
    rates = {name: [rows / run["seconds"] for run in runs] for name, runs in sides.items()}
    return {
        "format": compare.FORMAT, "case": "judging", "variant": "",
        "title": "Evaluating MiniLM on Banking77", "quick": chosen.quick,
        "machine": machine.describe(chosen.threads), "repeat": chosen.repeat,
        "rows": {"count": rows}, "sides": sides,
        "rates": {name: figures.summary(values) for name, values in rates.items()},
        "comparisons": [_compared(way, sides, rates) for way in WAYS],
    }  # fmt: skip


def _compared(
    way: str, sides: dict[str, list[dict[str, float]]], rates: dict[str, list[float]]
) -> dict[str, Any]:
    apart = abs(sides["ours"][0]["accuracy"] - sides[way][0]["accuracy"])
    return {
        "peer": way,
        "speed": figures.ratios(rates["ours"], rates[way]),
        "valid": apart <= SAME,
        "why_not": [] if apart <= SAME else [f"accuracies differ by {apart:.4f}"],
    }


def our_run(spec: dict[str, Any], answer: Path) -> dict[str, float]:
    """The command, with 100 resamples: the intervals are not what is compared."""
    words = [
        ours.executable(), "evaluate", spec["model"], spec["train"], "--json",
        "--set", "evaluate.bootstrap_samples=100",
    ]  # fmt: skip
    ended = harness.run(words, threads=spec["threads"], log=answer)
    told = next(line for line in reversed(answer.read_text().splitlines()) if line[:1] == "{")
    found = json.loads(told)
    return {
        "seconds": found["seconds"], "accuracy": found["metrics"]["accuracy"],
        "wall_seconds": ended.seconds, "peak_bytes": ended.peak_bytes,
    }  # fmt: skip


if __name__ == "__main__":
    main()
