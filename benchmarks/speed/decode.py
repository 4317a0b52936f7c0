"""One stream of tokens: an exported decoder beside transformers' generate and llama.cpp.

A Llama of GPT-2's size with random weights writes greedily after Alpaca's questions, int4 and int8
with us and with llama.cpp (Q4_0 and Q8_0 of the same weights), bfloat16 with transformers. Tokens a
second are those between the first and the last token of an answer.

A ratio counts if both sides' logits are the model's (``answers.LIMITS``; of two sides with weights
of so many bits ours may err no more than 1.25 times as much), all tokens were written, and the
float32 export writes the very tokens that transformers does.

The share of memory bandwidth: bytes of the weights that a step reads, and of its cache, times
tokens a second, over what one operation reads from memory in the same round (``bandwidth.py``).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.speed import answer_table, answers, figures, harness, options
from benchmarks.speed.answers import Rounds, Run, Side

PRECISIONS = ("int4", "int8")
NEW = 128
"""Tokens of an answer."""

ANSWERS = 3
"""Answers in a run."""


def main() -> None:
    """Compare."""
    flags = answers.parser(__doc__)
    flags.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    flags.add_argument("--scheme", help="of our export; default: the one named as the precision")
    chosen = options.parse(flags)
    answers.run_case(chosen, measure, answer_table.decode)


def measure(chosen: argparse.Namespace, place: Any, deadline: float) -> Iterator[dict[str, Any]]:
    """All sides in turn; the result after each round."""
    asked = {"case": "decoder", "precisions": chosen.precisions, "scheme": chosen.scheme}
    prepared = answers.prepared(asked, chosen, place)
    facts = harness.read_json(prepared / "facts.json")
    spec = {
        "prepared": str(prepared), "new": 16 if chosen.quick else NEW,
        "prompts": harness.read_json(prepared / "prompts.json")[:ANSWERS],
    }  # fmt: skip
    sides = all_sides(chosen.precisions)
    turns = answers.take_turns(
        sides, spec, chosen, place, deadline=deadline, told=told, extra="bandwidth"
    )
    for rounds in turns:
        yield result_of(sides, rounds, facts, spec["new"], chosen)


def all_sides(precisions: list[str]) -> list[Side]:
    """Ours and the peers, those of one precision together."""
    found = []
    for number, bits in enumerate(precisions):
        found.append(Side(f"ours {bits}", "our_decode", {"precision": bits, "checks": not number}))
        found += [
            Side(
                f"{name} {bits}", "peers.llama_one", {"precision": bits, "way": way},
                needs="llama_cpp", bits=bits,
            )
            for name, way in (("llama.cpp", "c"), ("llama-cpp-python", "python"))
        ]  # fmt: skip
    return [*found, Side("transformers bf16", "peers.generating", {"dtype": "bf16"})]


def rate(run: Run) -> float:
    """Tokens a second between the first and the last token; the median answer's."""
    return statistics.median((len(one) - 1) / (one[-1] - one[0]) for one in run["answers"])


def first(run: Run) -> float:
    """Seconds to the first token; the median answer's."""
    return statistics.median(one[0] for one in run["answers"])


def told(run: Run) -> str:
    """A run in a few words."""
    return f"{rate(run):.1f} tokens/s, first after {first(run):.3f} s, {run['fidelity']}"


def result_of(
    sides: list[Side], rounds: Rounds, facts: dict[str, Any], new: int, chosen: argparse.Namespace
) -> dict[str, Any]:
    """The result of the rounds so far."""
    there = [side for side in sides if side.name in rounds.runs]
    comparisons = [
        answers.compared(ours, peer, rounds, rate, why_not(ours, peer, rounds, new))
        for ours in there
        if ours.ours
        for peer in there
        if not peer.ours and peer.bits in ("", ours.spec["precision"])
    ]
    figured = {
        side.name: {
            "tokens_per_second": figures.summary([rate(run) for run in rounds.runs[side.name]]),
            "first_seconds": figures.summary([first(run) for run in rounds.runs[side.name]]),
            "peak_bytes": figures.summary([run["peak_bytes"] for run in rounds.runs[side.name]]),
            "size_bytes": rounds.runs[side.name][0].get("size_bytes"),
            "fidelity": rounds.runs[side.name][0]["fidelity"],
            **bandwidth(rounds, side.name),
        }
        for side in there
    }
    return {
        **answers.document("decode", "", "One stream, Llama of GPT-2's size", rounds, chosen),
        "model": {"parameters": facts["parameters"]},
        "schemes": facts["schemes"], "new": new, "figures": figured, "comparisons": comparisons,
    }  # fmt: skip


def why_not(ours: Side, peer: Side, rounds: Rounds, new: int) -> list[str]:
    """Reasons why a ratio does not count."""
    why = answers.same_model(ours, peer, rounds, ours.spec["precision"])
    for side in (ours, peer):
        lengths = {len(one) for run in rounds.runs[side.name] for one in run["answers"]}
        if lengths != {new}:
            why.append(f"{side.name} wrote {sorted(lengths)} tokens instead of {new}")
    unlike = {
        reason for runs in rounds.runs.values() for run in runs for reason in run.get("unlike", ())
    }
    return [*why, *(f"float32 export, {reason}" for reason in sorted(unlike))]


def bandwidth(rounds: Rounds, name: str) -> dict[str, Any]:
    """The share of the read rate that a side's steps reach; nothing where bytes are not known."""
    runs = rounds.runs[name]
    if "bytes_per_token" not in runs[0]:
        return {}
    shares = [
        run["bytes_per_token"] * rate(run) / extra["read"]
        for run, extra in zip(runs, rounds.extras, strict=True)
    ]
    return {"bytes_per_token": runs[0]["bytes_per_token"], "read_share": figures.summary(shares)}


if __name__ == "__main__":
    main()
