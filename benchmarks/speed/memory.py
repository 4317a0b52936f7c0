"""Peak memory of a few steps of the Llama, by the size of its vocabulary, beside the Trainer."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.speed import compare, harness, machine, options, table
from benchmarks.speed.llama_alpaca import llama

VOCABULARIES = (32_000, 64_000, 128_000)
STATE_BYTES = 16
"""A weight, its gradient and AdamW's two values, 4 bytes each: what no float32 training is
without."""


def main() -> None:
    """Compare."""
    flags = options.parser(__doc__)
    flags.add_argument("--steps", type=int, default=4, help="optimizer steps (4)")
    flags.add_argument("--batch", type=int, default=8, help="rows in a step (8)")
    flags.add_argument("--peers", nargs="+", default=["trainer"], choices=["trl", "trainer"])
    flags.add_argument("--vocabularies", type=int, nargs="+", default=list(VOCABULARIES))
    chosen = options.parse(flags)
    compare.finish(measure(chosen), chosen, table.memory)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """One comparison for each vocabulary."""
    points = []
    for vocabulary in chosen.vocabularies[:1] if chosen.quick else chosen.vocabularies:
        harness.say(f"vocabulary {vocabulary:,}")
        found = compare.compare(llama(chosen, vocabulary=vocabulary), chosen)
        points.append(
            {
                "vocabulary": vocabulary,
                "parameters": found["model"]["parameters"],
                "state_bytes": found["model"]["parameters"] * STATE_BYTES,
                "sides": {name: side["peak_bytes"] for name, side in found["sides"].items()},
                "comparisons": [
                    {key: one[key] for key in ("peer", "memory", "valid", "why_not")}
                    for one in found["comparisons"]
                ],
            }
        )
    return {
        "format": compare.FORMAT, "case": "memory", "variant": "",
        "title": "Peak memory by vocabulary, Llama of GPT-2's size", "quick": chosen.quick,
        "machine": machine.describe(chosen.threads), "repeat": chosen.repeat,
        "batch": chosen.batch, "points": points,
    }  # fmt: skip


if __name__ == "__main__":
    main()
