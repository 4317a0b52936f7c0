"""T5-small's architecture learns to reverse 4 to 16 words, beside two Trainer programs.

``tutorial`` is the program that tutorials teach, with its own batch, rate and padding; ``trainer``
is the Trainer at its best, with the same batch and rate as ours.
"""

from __future__ import annotations

from benchmarks.speed import compare, options, table


def main() -> None:
    """Compare."""
    flags = options.parser(__doc__)
    flags.add_argument("--steps", type=int, default=60, help="optimizer steps (60)")
    flags.add_argument("--batch", type=int, default=32, help="rows in a step (32)")
    flags.add_argument("--peers", nargs="+", default=["trainer", "tutorial"])
    chosen = options.parse(flags)
    steps, batch = (4, 8) if chosen.quick else (chosen.steps, chosen.batch)
    peers = {
        "trainer": compare.Peer("trainer", "trainer"),
        "tutorial": compare.Peer("tutorial", "tutorial", one_sided=True),
    }
    case = compare.Case(
        name="t5_short_pairs",
        variant="",
        title="T5-small architecture, short pairs",
        prepare={"rows": steps * batch, "held_out": 16 if chosen.quick else 200},
        learning={
            "batch": batch, "steps": steps, "learning_rate": 5e-4, "schedule": "constant",
        },
        peers=[peers[name] for name in chosen.peers],
        flags=["--task", "text2text"],
    )  # fmt: skip
    compare.finish(compare.compare(case, chosen), chosen, table.speed)


if __name__ == "__main__":
    main()
