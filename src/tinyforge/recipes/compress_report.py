"""What was measured of all variants as plain data, and which one to take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tinyforge.artifacts.words import bytes_text
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.pairs import Pair, rank
from tinyforge.evaluate.report import metrics_of, to_plain
from tinyforge.evaluate.run import GENERATING
from tinyforge.evaluate.verdict import Comparison, compare
from tinyforge.evaluate.wording import change_text, interval_text, value_text
from tinyforge.metrics import METRICS
from tinyforge.recipes.compress_measure import Measured
from tinyforge.recipes.compress_rows import Material
from tinyforge.recipes.machine import describe_machine

FORMAT = 1
Point = dict[str, Any]


def build(
    measured: Sequence[Measured],
    material: Material,
    *,
    model: str,
    output_dir: str,
    cuts: Mapping[str, Any],
    recovery: Mapping[str, Any] | None,
    busy: float,
    notes: Sequence[str],
    command: str,
) -> dict[str, Any]:
    """The page's content, JSON-ready.

    Args:
        measured: the whole model in PyTorch first; what the others are shown against.
        cuts: what was cut, as ``CutModel.to_json`` gives it.
        recovery: as ``describe_recovery`` gives it; None: there was none.
        busy: cores that other programs used while the speeds were measured.
    """
    evaluations = {each.variant.name: each.evaluation for each in measured}
    first = measured[0]
    pairs: dict[str, Pair] = {}
    if len(measured) > 1:
        ranking = rank(evaluations)
        pairs = {p.after: p for p in ranking.pairs if p.before == first.variant.name}
    points = [_point(each, first, pairs.get(each.variant.name)) for each in measured]
    _mark_front(points)
    metric = METRICS[first.evaluation.primary.name]
    report = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": model, "output_dir": output_dir, "task": first.evaluation.task,
        "metric": metric.name, "metrics": metrics_of([first.evaluation]),
        "primary": asdict(first.evaluation.primary), "sample": asdict(first.evaluation.sample),
        "unit": unit_of(first.evaluation.task), "held": material.held,
        "points": points, "pick": pick(points, metric.name, material.settings.pareto.max_drop),
        "rounds": material.settings.pareto.rounds, "busy": busy,
        "cuts": dict(cuts), "recovery": None if recovery is None else dict(recovery),
        "notes": list(notes), "data": material.dataset.report.as_dict(),
        "settings": material.settings.model_dump(mode="json"),
        "machine": describe_machine(), "command": command,
    }  # fmt: skip
    plain: dict[str, Any] = to_plain(report)
    return plain


def unit_of(task: str) -> str:
    """What a rate counts."""
    written = task in (*GENERATING, "language-model")
    return "tokens/s, one answer at a time" if written else "rows/s"


def _point(each: Measured, first: Measured, pair: Pair | None) -> Point:
    variant, score = each.variant, each.evaluation.headline
    if score is None:
        raise ValueError(f"{variant.name} has no value for the headline metric")
    low, high = value_text(score.name, score.low), value_text(score.name, score.high)
    size, rate = variant.disk_bytes, _spread(each.rates)
    return {
        "name": variant.name, "origin": variant.origin, "runtime": variant.runtime,
        "precision": variant.precision, "scheme": variant.scheme, "command": variant.command,
        "parameters": variant.parameters, "bytes": size, "rate": rate,
        "latency": _spread(each.latencies),
        "smaller": first.variant.disk_bytes / max(size, 1),
        "faster": rate["median"] / max(_spread(first.rates)["median"], 1e-9),
        "score": {"value": score.value, "low": score.low, "high": score.high,
                  "text": value_text(score.name, score.value), "interval": f"{low} to {high}"},
        "difference": None if pair is None else _difference(pair, score.name),
        "notes": each.evaluation.notes,
    }  # fmt: skip


def _spread(values: Sequence[float]) -> dict[str, Any]:
    """The median of the rounds, the lowest and the highest."""
    median = float(np.median(values)) if values else math.nan
    return {"median": median, "low": min(values, default=median),
            "high": max(values, default=median), "rounds": list(values)}  # fmt: skip


def _difference(pair: Pair, metric: str) -> dict[str, Any]:
    found = pair.comparison
    low, high = change_text(metric, found.low), change_text(metric, found.high)
    return {
        "value": found.difference, "low": found.low, "high": found.high, "word": pair.word,
        "text": change_text(metric, found.difference), "interval": f"{low} to {high}",
        "p": pair.adjusted_p, "gained": len(pair.flips.gained), "lost": len(pair.flips.lost),
    }  # fmt: skip


def _mark_front(points: Sequence[Point]) -> None:
    """Which points no other one beats in size, speed and quality together."""
    for point in points:
        point["front"] = not any(_beats(other, point) for other in points if other is not point)


def _beats(one: Point, other: Point) -> bool:
    gains = (
        other["bytes"] - one["bytes"],
        one["rate"]["median"] - other["rate"]["median"],
        _gain(one) - _gain(other),
    )
    return all(gain >= 0 for gain in gains) and any(gain > 0 for gain in gains)


def _gain(point: Point) -> float:
    """How much better than the whole model, whichever way the metric goes."""
    return 0.0 if point["difference"] is None else float(point["difference"]["value"])


def pick(points: Sequence[Point], metric: str, max_drop: float) -> dict[str, Any]:
    """The smallest variant that is shown to keep the quality within the allowed drop.

    Args:
        points: the whole model first.
        max_drop: in percent of the metric's scale.
    """
    kind = METRICS[metric]
    allowed = max_drop if kind.scale == "points" else max_drop / 100
    if kind.scale == "free":
        allowed *= abs(points[0]["score"]["value"])
    others = sorted((p for p in points[1:]), key=lambda point: point["bytes"])
    held = [p for p in others if p["difference"]["low"] >= -allowed]
    seems = [p for p in others if p["difference"]["value"] >= -allowed]
    limit = change_text(metric, allowed).lstrip("+") + (
        " points" if kind.proportion or kind.scale == "points" else ""
    )
    if held:
        chosen = held[0]
        sentence = (
            f"{chosen['name']} is the smallest that was shown to lose no more than {limit}: "
            f"{_said(chosen, metric)}."
        )
        return {"name": chosen["name"], "shown": True, "sentence": sentence}
    if seems:
        chosen = seems[0]
        sentence = (
            f"None was shown to lose no more than {limit}: the intervals are too wide, and more "
            f"held-out rows would narrow them. The smallest that seems to: {chosen['name']}, "
            f"{_said(chosen, metric)}."
        )
        return {"name": chosen["name"], "shown": False, "sentence": sentence}
    return {
        "name": None, "shown": False,
        "sentence": f"None keeps within {limit} of the whole model.",
    }  # fmt: skip


def _said(point: Point, metric: str) -> str:
    found = point["difference"]
    return (
        f"{bytes_text(point['bytes'])}, {point['smaller']:.1f} times smaller and "
        f"{point['faster']:.1f} times as fast as the whole model in PyTorch "
        f"({interval_text(metric, found['value'], found['low'], found['high'])})"
    )


def describe_recovery(
    whole: Evaluation,
    before: Evaluation,
    after: Evaluation,
    *,
    steps: int,
    seconds: float,
    kept: bool,
) -> dict[str, Any]:
    """Whether the training after the cut won anything back, on the test rows.

    Args:
        kept: whether its weights are used.
    """  # fmt: skip
    name = whole.primary.name
    gain = compare(after, before, before.name, always=True)
    lost, left = _change(whole, before), _change(whole, after)
    return {
        "steps": steps, "seconds": seconds, "kept": kept,
        "whole": _text(whole), "before": _text(before), "after": _text(after),
        "gain": gain.difference, "low": gain.low, "high": gain.high,
        "helped": kept and gain.beaten, "harmed": gain.behind,
        "sentence": _recovery_sentence(name, gain, lost, left, steps, kept),
    }  # fmt: skip


def _recovery_sentence(
    name: str, gain: Comparison, lost: float, left: float, steps: int, kept: bool
) -> str:
    told = interval_text(name, gain.difference, gain.low, gain.high)
    if not kept:
        return (
            f"Recovery training of {steps:,} steps did not help on the validation rows, so the "
            "model is as it was after the cut."
        )
    start = f"Recovery training of {steps:,} steps"
    if gain.beaten:
        share = f", {gain.difference / -lost:.0%} of what the cut had cost" if lost < 0 else ""
        end = f"; {change_text(name, left)} is left to the whole model" if left < 0 else ""
        return f"{start} won back quality{share} ({told}){end}."
    if gain.behind:
        return f"{start} made the model worse on the test rows ({told})."
    return f"{start} was not shown to help ({told})."


def _change(whole: Evaluation, other: Evaluation) -> float:
    """How much better than the whole model, below zero: worse."""
    return compare(other, whole, whole.name).difference


def _text(evaluation: Evaluation) -> str:
    score = evaluation.headline
    return "–" if score is None else value_text(score.name, score.value)
