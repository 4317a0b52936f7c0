"""32 rows for T5-small: an exported folder beside transformers and CTranslate2.

TinyForge first trains T5-small's architecture for some steps to write words backwards, so that
answers end as answers do; all sides have these weights: int8 with us and with CTranslate2, float32
and bfloat16 with transformers. All write greedily, tokenizing included, 32 rows at a time, several
times. A ratio counts if both sides give (nearly) the answers that transformers gives in float32:
``SAME`` of the words at their places, and of two sides in int8 ours no fewer, within ``NOISE``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.speed import answer_rows, answer_table, answers, compare, figures, harness, options
from benchmarks.speed.answers import Rounds, Side
from benchmarks.speed.judging_text import trained

BATCH = 32
BATCHES = 5
WRITTEN = 32
"""Tokens of an answer, at most."""

SAME = {"fp32": 0.999, "int8": 0.9}
NOISE = 0.03
REFERENCE = "transformers fp32"


def main() -> None:
    """Compare."""
    flags = answers.parser(__doc__)
    flags.add_argument("--steps", type=int, default=150, help="that the model learns (150)")
    flags.add_argument("--scheme", help="of our export; default: the first that is tried")
    chosen = options.parse(flags)
    answers.run_case(chosen, measure, answer_table.rows)


def measure(chosen: argparse.Namespace, place: Path, deadline: float) -> Iterator[dict[str, Any]]:
    """All sides in turn; the result after each round."""
    prepared = prepare(chosen, place)
    facts = harness.read_json(prepared / "facts.json")
    spec = {
        "prepared": str(prepared), "written": WRITTEN, "batch": BATCH,
        "rows": str(prepared / "rows.jsonl"),
    }  # fmt: skip
    sides = [
        Side("ours int8", "our_answers", {"export": "int8", "options": own_options()}, bits="int8"),
        Side("ours fp32", "our_answers", {"export": "fp32", "options": own_options()}, bits="fp32"),
        Side(REFERENCE, "peers.writing_batches", {"dtype": "fp32"}, bits="fp32"),
        Side("transformers bf16", "peers.writing_batches", {"dtype": "bf16"}),
        Side(
            "CTranslate2 int8", "peers.ctranslate", {"type": "int8"}, needs="ctranslate2",
            bits="int8",
        ),
    ]  # fmt: skip
    for rounds in answers.take_turns(sides, spec, chosen, place, deadline=deadline, told=told):
        yield result_of(sides, rounds, facts, chosen)


def own_options() -> dict[str, Any]:
    """How ``predict`` is called."""
    return {"max_new_tokens": WRITTEN, "batch_size": BATCH}


def prepare(chosen: argparse.Namespace, place: Path) -> Path:
    """The trained model's exports; trained anew unless they are there."""
    if chosen.prepared and (chosen.prepared / "facts.json").is_file():
        return Path(chosen.prepared.resolve())
    rows = 320 if chosen.quick else max(32 * chosen.steps, 1_000)
    case = compare.Case(
        name="t5_short_pairs", variant="", title="", learning={}, peers=(),
        prepare={"rows": rows, "held_out": BATCH * BATCHES + 100},
    )  # fmt: skip
    facts = compare.prepare(case, chosen, place)
    spec = compare.specification(case, chosen, facts, place, seed=0)
    asked = {
        "case": "t5", "precisions": ["int8"], "scheme": chosen.scheme, "rows": spec["held"],
        "batch": BATCH, "batches": BATCHES, "trained": str(trained(spec, chosen, place)),
    }  # fmt: skip
    return answers.prepared(asked, chosen, place)


def told(run: dict[str, Any]) -> str:
    """A run in a few words."""
    return f"{rate(run):.1f} rows/s"


def rate(run: dict[str, Any]) -> float:
    """Rows a second of the median batch."""
    return BATCH / figures.summary(run["seconds"])["median"]


def result_of(
    sides: list[Side], rounds: Rounds, facts: dict[str, Any], chosen: argparse.Namespace
) -> dict[str, Any]:
    """The result of the rounds so far."""
    same = answer_rows.agreement(rounds, REFERENCE, words_in_place)
    there = [side for side in sides if side.name in rounds.runs]
    return {
        **answers.document("answer_t5", "", f"T5-small, {BATCH} rows at a time", rounds, chosen),
        "model": {"parameters": facts["parameters"]}, "schemes": facts["schemes"],
        "same_means": "words as in float32", "figures": answer_rows.row_figures(there, rounds, rate,
                                                                            same),
        "comparisons": answer_rows.row_comparisons(there, rounds, rate, same, SAME, NOISE),
    }  # fmt: skip


def words_in_place(one: str, other: str) -> tuple[int, int]:
    """How many words of two answers are the same at their place, and how many there are."""
    a, b = one.split(), other.split()
    return sum(x == y for x, y in zip(a, b, strict=False)), max(len(a), len(b))


if __name__ == "__main__":
    main()
