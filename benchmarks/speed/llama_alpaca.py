"""A Llama of GPT-2's size learns Alpaca's answers, whole or by LoRA.

Beside TRL's SFTTrainer, and the plain Trainer on the same rows: which of the two is faster on a
processor depends on the version, and the faster one is the peer to beat.
"""

from __future__ import annotations

import argparse

from benchmarks.speed import compare, options, table

RANK = 16


def main() -> None:
    """Compare."""
    flags = options.parser(__doc__)
    flags.add_argument("--lora", action="store_true", help="train low-rank adapters only")
    flags.add_argument("--vocabulary", type=int, default=32_000, help="of the model (32000)")
    flags.add_argument("--steps", type=int, default=20, help="optimizer steps (20)")
    flags.add_argument("--batch", type=int, default=8, help="rows in a step (8)")
    flags.add_argument("--peers", nargs="+", default=["trl", "trainer"], choices=["trl", "trainer"])
    chosen = options.parse(flags)
    case = llama(chosen, vocabulary=chosen.vocabulary)
    compare.finish(compare.compare(case, chosen), chosen, table.speed)


def llama(chosen: argparse.Namespace, *, vocabulary: int) -> compare.Case:
    """The case; the memory case uses it too."""
    steps, batch = (4, 4) if chosen.quick else (chosen.steps, chosen.batch)
    lora = getattr(chosen, "lora", False)
    size = "" if vocabulary == 32_000 else f"vocabulary-{vocabulary}"
    peers = {
        "trl": compare.Peer("trl", "trl_sft"),
        "trainer": compare.Peer("trainer", "trainer"),
    }
    return compare.Case(
        name="llama_alpaca",
        variant="-".join(filter(None, ["lora" if lora else "full", size])),
        title="Llama of GPT-2's size, Alpaca" + (", LoRA" if lora else ""),
        prepare={
            "rows": steps * batch, "held_out": 8 if chosen.quick else 64, "vocabulary": vocabulary,
        },
        learning={
            "batch": batch, "steps": steps, "learning_rate": 1e-3 if lora else 3e-4,
            "schedule": "constant",
        },
        peers=[peers[name] for name in chosen.peers],
        flags=["--task", "instruct", "--set", "train.pack=false", *(["--lora"] if lora else [])],
        dropped=2,
        rank=RANK if lora else None,
    )  # fmt: skip


if __name__ == "__main__":
    main()
