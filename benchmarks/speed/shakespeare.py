"""How soon two cores reach nanoGPT's result of one graphics card: 1.4697 on tinyshakespeare."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.speed import compare, harness, machine, options, table

PUBLISHED = 1.4697
"""nanoGPT's best validation loss with its recipe for one A100: 3 minutes, 10.65 M weights."""


def main() -> None:
    """Learn, once for each seed."""
    flags = options.parser(__doc__)
    flags.set_defaults(repeat=1)
    flags.add_argument(
        "--characters", type=int, default=11_500_000, help="read in all, with repeats (11500000)"
    )
    chosen = options.parse(flags)
    compare.finish(measure(chosen), chosen, table.challenge)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """The runs, one seed after the other."""
    text = Path(chosen.data_folder) / "raw/tinyshakespeare.txt"
    if not text.is_file():
        raise SystemExit(f"{text} is not there; say where the data are with --data-folder")
    sizes = {"width": 64, "layers": 1} if chosen.quick else {}
    runs = []
    with harness.workplace() as place:
        for seed in range(chosen.repeat):
            spec = {
                "text": str(text), "seed": seed, "threads": chosen.threads, "sizes": sizes,
                "characters": 12 * 8_192 if chosen.quick else chosen.characters,
                "held": 2_000 if chosen.quick else None,
            }  # fmt: skip
            folder = place / f"seed-{seed}"
            ended = harness.run_program("learn_shakespeare", spec, folder, threads=chosen.threads)
            found = harness.read_json(folder / "result.json")
            runs.append({**found, "wall_seconds": ended.seconds, "peak_bytes": ended.peak_bytes})
            harness.say(
                f"shakespeare {seed + 1}/{chosen.repeat}: {found['loss']:.4f} after "
                f"{found['seconds'] / 60:.1f} min"
            )
    return {
        "format": compare.FORMAT, "case": "shakespeare", "variant": "",
        "title": "Shakespeare challenge: nanoGPT's loss on one graphics card, on two cores",
        "quick": chosen.quick, "machine": machine.describe(chosen.threads),
        "repeat": chosen.repeat, "published_loss": PUBLISHED, "sides": {"ours": runs},
        "comparisons": [],
    }  # fmt: skip


if __name__ == "__main__":
    main()
