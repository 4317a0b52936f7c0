"""``tinyforge evaluate`` beside a plain generate loop: T5-small's architecture reverses words.

TinyForge trains the model first, for some steps, so that answers end as answers do. Seconds are
those of answering and scoring on our side, of answering alone on the loop's; all sides write
greedily in float32, and their chrF must agree.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.speed import compare, figures, harness, machine, options, ours, table

SAME = 0.5
"""Points of chrF that may lie between the sides: words that rounding turns over."""
WAYS = ("plain", "best")
WRITTEN = 32
"""Tokens of an answer, at most."""


def main() -> None:
    """Compare."""
    flags = options.parser(__doc__)
    flags.add_argument("--steps", type=int, default=60, help="that the model learns (60)")
    chosen = options.parse(flags)
    compare.finish(measure(chosen), chosen, table.judging)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Both sides in turn."""
    rows = 60 if chosen.quick else 600
    case = compare.Case(
        name="t5_short_pairs", variant="", title="", learning={}, peers=(),
        prepare={"rows": rows, "held_out": 10},
    )  # fmt: skip
    sides: dict[str, list[dict[str, float]]] = {"ours": [], **{way: [] for way in WAYS}}
    with harness.workplace() as place:
        facts = compare.prepare(case, chosen, place)
        spec = compare.specification(case, chosen, facts, place, seed=0)
        spec |= {"written": WRITTEN, "model": str(trained(spec, chosen, place))}
        for number in range(chosen.repeat):
            sides["ours"].append(our_run(spec, place / f"ours-{number}.txt"))
            for way in WAYS:
                folder = place / f"{way}-{number}"
                ended = harness.run_program(
                    "peers.writing", {**spec, "way": way}, folder, threads=chosen.threads
                )
                found = harness.read_json(folder / "result.json")
                sides[way].append({**found, "peak_bytes": ended.peak_bytes})
            last = {name: round(runs[-1]["seconds"], 1) for name, runs in sides.items()}
            harness.say(f"judging_text {number + 1}/{chosen.repeat}, seconds: {last}")
    rates = {name: [rows / run["seconds"] for run in runs] for name, runs in sides.items()}
    return {
        "format": compare.FORMAT, "case": "judging", "variant": "text",
        "title": "Evaluating T5-small's architecture on word reversal", "quick": chosen.quick,
        "machine": machine.describe(chosen.threads), "repeat": chosen.repeat,
        "rows": {"count": rows}, "measure": "chrf", "sides": sides,
        "rates": {name: figures.summary(values) for name, values in rates.items()},
        "comparisons": [_compared(way, sides, rates) for way in WAYS],
    }  # fmt: skip


def trained(spec: dict[str, Any], chosen: argparse.Namespace, place: Path) -> Path:
    """The model that all sides judge."""
    folder = place / "trained"
    settings = {
        "data.validation_share": 0, "data.test_share": 0, "evaluate.baselines": "false",
        "train.max_steps": 4 if chosen.quick else chosen.steps, "train.threads": chosen.threads,
    }  # fmt: skip
    words = ours.command(
        Path(spec["train"]), folder, spec["model"], settings, "--task", "text2text"
    )
    harness.run(words, threads=chosen.threads, log=place / "trained.txt")
    return folder


def our_run(spec: dict[str, Any], answer: Path) -> dict[str, float]:
    """The command, with 100 resamples: the intervals are not what is compared."""
    words = [
        ours.executable(), "evaluate", spec["model"], spec["train"], "--json",
        "--set", "evaluate.bootstrap_samples=100",
        "--set", f"generate.max_new_tokens={spec['written']}",
    ]  # fmt: skip
    ended = harness.run(words, threads=spec["threads"], log=answer)
    told = next(line for line in reversed(answer.read_text().splitlines()) if line[:1] == "{")
    found = json.loads(told)
    return {
        "seconds": found["seconds"], "chrf": found["metrics"]["chrf"],
        "wall_seconds": ended.seconds, "peak_bytes": ended.peak_bytes,
    }  # fmt: skip


def _compared(
    way: str, sides: dict[str, list[dict[str, float]]], rates: dict[str, list[float]]
) -> dict[str, Any]:
    apart = abs(sides["ours"][0]["chrf"] - sides[way][0]["chrf"])
    return {
        "peer": way,
        "speed": figures.ratios(rates["ours"], rates[way]),
        "valid": apart <= SAME,
        "why_not": [] if apart <= SAME else [f"chrF differs by {apart:.1f}"],
    }


if __name__ == "__main__":
    main()
