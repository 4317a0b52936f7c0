"""``tinyforge evaluate`` beside a plain generate loop: T5-small's architecture reverses words.

TinyForge trains the model first, for some steps, so that answers end as answers do. Seconds are
those of answering and scoring on our side, of answering alone on the loop's; all sides write
greedily in float32, and their chrF must agree.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.speed import compare, harness, judged, options, ours, table

WRITTEN = 32
"""Tokens of an answer, at most."""


def main() -> None:
    """Compare."""
    flags = options.parser(__doc__)
    flags.add_argument("--steps", type=int, default=60, help="that the model learns (60)")
    chosen = options.parse(flags)
    rows = 60 if chosen.quick else 600
    case = compare.Case(
        name="t5_short_pairs", variant="", title="", learning={}, peers=(),
        prepare={"rows": rows, "held_out": 10},
    )  # fmt: skip
    what = judged.Judging(
        name="judging_text", variant="text",
        title="Evaluating T5-small's architecture on word reversal", rows=rows, prepare=case,
        model=lambda spec, place: trained(spec, chosen, place), peer="peers.writing",
        ways=("plain", "best"), measure="chrf", said="chrF", same=0.5,
        settings=(f"generate.max_new_tokens={WRITTEN}",), told={"written": WRITTEN},
    )  # fmt: skip
    compare.finish(judged.measure(what, chosen), chosen, table.judging)


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


if __name__ == "__main__":
    main()
