"""T5-small's architecture learns to reverse 4 to 16 words, beside one of two Trainer programs.

``trainer`` is the Trainer at its best, with the same batch, rate and optimizer as ours.
``tutorial`` is the program that tutorials teach, with its own batch, rate and padding; ours then
sets itself, as it would for anybody, because the question is which program to use.
"""

from __future__ import annotations

from benchmarks.speed import compare, options, table

OWN = {
    # What TinyForge chooses for an untrained T5 of this size; None: its own default.
    "train.optimizer": "muon", "train.learning_rate": 0.01, "train.rest_learning_rate": 0.05,
    "train.schedule": "cosine", "train.warmup_share": None, "train.beta2": None,
}  # fmt: skip


def main() -> None:
    """Compare."""
    flags = options.parser(__doc__)
    flags.add_argument("--steps", type=int, default=60, help="optimizer steps (60)")
    flags.add_argument("--batch", type=int, default=32, help="rows in a step (32)")
    flags.add_argument("--peer", default="trainer", choices=["trainer", "tutorial"])
    chosen = options.parse(flags)
    steps, batch = (4, 8) if chosen.quick else (chosen.steps, chosen.batch)
    tutorial = chosen.peer == "tutorial"
    case = compare.Case(
        name="t5_short_pairs",
        variant="tutorial" if tutorial else "",
        title="T5-small architecture, short pairs" + (", tutorial" if tutorial else ""),
        prepare={"rows": steps * batch, "held_out": 16 if chosen.quick else 200},
        learning={
            "batch": batch, "steps": steps, "learning_rate": 5e-4, "schedule": "constant",
        },
        peers=[compare.Peer(chosen.peer, chosen.peer, one_sided=tutorial)],
        flags=["--task", "text2text"],
        ours=OWN if tutorial else {},
    )  # fmt: skip
    compare.finish(compare.compare(case, chosen), chosen, table.speed)


if __name__ == "__main__":
    main()
