"""Banking77 questions for a MiniLM classifier: an exported folder beside other ways to ask it.

All sides have the same weights, get texts and give labels, tokenizing included. Beside ours:
transformers' pipeline as it is by itself (a row at a time) and with 32 rows at a time; transformers
at its best (64 rows of like length), also in bfloat16; and a plain onnxruntime session that is fed
one row at a time, with the very graph that ours runs. A ratio counts if both sides give the labels
that transformers gives in float32 for ``SAME`` of the rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.speed import answer_rows, answer_table, answers, harness, options
from benchmarks.speed.answers import Rounds, Side

ROWS = 2_000
LEARNT = 3_000
SAME = {"fp32": 0.999, "int8": 0.97}
NOISE = 0.01
REFERENCE = "transformers best"


def main() -> None:
    """Compare."""
    flags = answers.parser(__doc__)
    flags.add_argument("--rows", type=int, default=ROWS, help=f"to answer ({ROWS:,})")
    flags.add_argument("--scheme", help="of our int8 export; default: the first that is tried")
    chosen = options.parse(flags)
    if chosen.quick:
        chosen.rows = 64
    answers.run_case(chosen, measure, answer_table.rows)


def measure(chosen: argparse.Namespace, place: Path, deadline: float) -> Iterator[dict[str, Any]]:
    """All sides in turn; the result after each round."""
    asked = {
        "case": "classifier", "precisions": ["int8"], "scheme": chosen.scheme,
        "rows": chosen.rows, "learnt": 300 if chosen.quick else LEARNT,
    }  # fmt: skip
    prepared = answers.prepared(asked, chosen, place)
    facts = harness.read_json(prepared / "facts.json")
    spec = {"prepared": str(prepared), "rows": str(prepared / "rows.jsonl")}
    for rounds in answers.take_turns(
        all_sides(), spec, chosen, place, deadline=deadline, told=told
    ):
        yield result_of(all_sides(), rounds, facts, chosen)


def all_sides() -> list[Side]:
    """Ours and the peers."""
    found = []
    for bits in ("int8", "fp32"):
        found.append(Side(f"ours {bits}", "our_answers", {"export": bits, "options": {}}, "", bits))
        found.append(
            Side(
                f"onnxruntime {bits}, row by row", "peers.plain_session", {"export": bits},
                "onnxruntime", bits,
            )
        )  # fmt: skip
    ways = {
        "transformers pipeline": ("pipeline", 1), "transformers pipeline 32": ("pipeline", 32),
        REFERENCE: ("best", 64), "transformers best bf16": ("half", 64),
    }  # fmt: skip
    return found + [
        Side(name, "peers.classifying", {"way": way, "batch": batch}, "",
             "" if way == "half" else "fp32")
        for name, (way, batch) in ways.items()
    ]  # fmt: skip


def told(run: dict[str, Any]) -> str:
    """A run in a few words."""
    return f"{rate(run):.1f} rows/s"


def rate(run: dict[str, Any]) -> float:
    """Rows a second."""
    return float(len(run["answers"]) / sum(run["seconds"]))


def same_label(one: str, other: str) -> tuple[int, int]:
    """Whether two answers are the same, of one."""
    return int(one == other), 1


def result_of(
    sides: list[Side], rounds: Rounds, facts: dict[str, Any], chosen: argparse.Namespace
) -> dict[str, Any]:
    """The result of the rounds so far."""
    same = answer_rows.agreement(rounds, REFERENCE, same_label)
    there = [side for side in sides if side.name in rounds.runs]
    title = f"MiniLM, {chosen.rows:,} questions of Banking77"
    return {
        **answers.document("answer_classify", "", title, rounds, chosen),
        "model": {"parameters": facts["parameters"]}, "schemes": facts["schemes"],
        "same_means": "labels as in float32",
        "figures": answer_rows.row_figures(there, rounds, rate, same),
        "comparisons": answer_rows.row_comparisons(there, rounds, rate, same, SAME, NOISE),
    }  # fmt: skip


if __name__ == "__main__":
    main()
