"""A comparison of several models as plain data: what ``tinyforge compare --json`` prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.pairs import Pair, Ranking
from tinyforge.evaluate.report import describe, metrics_of, to_plain
from tinyforge.evaluate.wording import change_text
from tinyforge.records.examples import Example

FORMAT = 1
SHOWN = 50
"""Changed rows of each kind that are shown for a pair of models."""

_EXCERPT = 1_000


def build_comparison(
    evaluations: Mapping[str, Evaluation],
    ranking: Ranking,
    examples: Sequence[Example],
    *,
    costs: Mapping[str, Mapping[str, Any]],
    data: Mapping[str, Any],
    machine: Mapping[str, Any],
    command: str = "",
) -> dict[str, Any]:
    """Put a comparison together, JSON-ready.

    Args:
        evaluations: name -> evaluation on the same rows, in the user's order.
        examples: the rows that were handed to every evaluation.
        costs: name -> what it takes to let the model answer.
        data: the data report.
    """
    first = next(iter(evaluations))
    anyone = evaluations[first]
    plain: dict[str, Any] = to_plain(
        {
            "format": FORMAT,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "task": anyone.task,
            "metric": ranking.metric,
            "primary": dataclasses.asdict(anyone.primary),
            "sample": dataclasses.asdict(anyone.sample),
            "verdict": ranking.word,
            "sentence": ranking.sentence,
            "best": ranking.best,
            "order": ranking.order,
            "metrics": metrics_of(list(evaluations.values())),
            "models": [
                {
                    **describe(evaluation),
                    "name": name,
                    "rank": ranking.ranks[name],
                    "cost": costs.get(name),
                }
                for name, evaluation in evaluations.items()
            ],
            "pairs": [
                _pair(pair, evaluations, examples, ranking.metric, rows=pair.before == first)
                for pair in ranking.pairs
            ],
            "data": data,
            "machine": machine,
            "command": command,
        }
    )
    return plain


def changed_rows(
    pair: Pair,
    evaluations: Mapping[str, Evaluation],
    examples: Sequence[Example],
    *,
    most: int | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows that one of two models answers better than the other, with both answers.

    Rows that were lost come first. Every answer carries the hash of the model that gave it.

    Args:
        most: rows of each kind, at most.
    """
    before, after = evaluations[pair.before], evaluations[pair.after]
    for change, rows in (("lost", pair.flips.lost), ("gained", pair.flips.gained)):
        for row in rows[:most]:
            example = examples[int(before.rows[row])]
            yield {
                "change": change,
                "source": str(example.source),
                "input": _excerpt(example.input),
                "expected": _excerpt(_expected(example)),
                "before": _answer(before, int(row)),
                "after": _answer(after, int(row)),
            }


def _pair(
    pair: Pair,
    evaluations: Mapping[str, Evaluation],
    examples: Sequence[Example],
    metric: str,
    *,
    rows: bool,
) -> dict[str, Any]:
    found, flips = pair.comparison, pair.flips
    low, high = change_text(metric, found.low), change_text(metric, found.high)
    return {
        "before": pair.before,
        "after": pair.after,
        "word": pair.word,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "text": change_text(metric, found.difference),
        "interval": f"{low} to {high}",
        "p_value": pair.p_value,
        "adjusted_p": pair.adjusted_p,
        "flips": {
            "right_or_wrong": flips.right_or_wrong,
            "gained": len(flips.gained),
            "lost": len(flips.lost),
            "same": flips.same,
            "both_right": flips.both_right,
            "both_wrong": flips.both_wrong,
            "rewritten": flips.rewritten,
            "p_value": flips.p_value,
            "test": "McNemar, exact" if flips.right_or_wrong else "sign test, exact",
        },
        "rows": list(changed_rows(pair, evaluations, examples, most=SHOWN)) if rows else [],
    }


def _answer(evaluation: Evaluation, row: int) -> dict[str, Any]:
    given = evaluation.predictions[row] if len(evaluation.predictions) else None
    return {
        "output": None if given is None else _excerpt(given.output),
        "confidence": None if given is None else given.confidence,
        "quality": float(evaluation.quality[row]),
        "model": evaluation.model if given is None else given.model,
    }


def _expected(example: Example) -> str:
    if example.labels is not None:
        return ", ".join(example.labels)
    return example.output or ""


def _excerpt(text: str) -> str:
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"
