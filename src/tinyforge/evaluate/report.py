"""Everything about a run in one plain dictionary, the content of ``report.json``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tinyforge.artifacts.report import summary as summary
from tinyforge.evaluate.advice import advise
from tinyforge.evaluate.baselines import TITLES
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.verdict import Verdict
from tinyforge.evaluate.wording import change_text, value_text
from tinyforge.metrics import METRICS
from tinyforge.records.scores import Score

FORMAT = 1
"""Raised whenever a key of the report changes its meaning."""

_MATRIX_LABELS = 100
_PAIRS = 50


def build_report(
    *,
    task: str,
    output_dir: str,
    model: Mapping[str, Any],
    settings: Mapping[str, Any],
    data: Mapping[str, Any],
    training: Mapping[str, Any],
    evaluation: Evaluation | None,
    baselines: Mapping[str, Evaluation],
    verdict: Verdict,
    timings: Mapping[str, float],
    machine: Mapping[str, Any],
    findings: Mapping[str, Any] | None = None,
    energy: Mapping[str, Any] | None = None,
    reasons: Sequence[str] = (),
    command: str = "",
) -> dict[str, Any]:
    """Put a run together, JSON-ready: no NaN, no infinity (both become null), no odd types.

    Args:
        model: ``name`` and whatever else is known (parameters, family, pretrained, ...).
        data: the data report; shown as it is.
        training: ``steps``, ``examples``, ``tokens``, ``seconds``, ``best_step``,
            ``stopped_because``, ``events`` and ``history``:
            ``{"train": [{"step", "loss"}, ...], "validation": [{"step", "loss", ...}, ...]}``.
        evaluation: None where there were no test rows.
        timings: seconds by stage; ``total`` is the whole run.
        machine: processor, threads, versions.
        findings: where the model fails and how sure the judgement is, as ``findings`` says it.
        energy: electricity used: ``joules``, ``watt_hours``, ``measured`` and ``how``.
        reasons: why every open choice was made as it was.
        command: how to run it again.
    """
    report: dict[str, Any] = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "output_dir": output_dir,
        "task": task,
        "verdict": dataclasses.asdict(verdict) | {"texts": _difference_texts(verdict)},
        "advice": advise(
            evaluation, verdict, model=model, data=data, training=training, findings=findings
        ),
        "metrics": metrics_of([evaluation, *baselines.values()]),
        "evaluation": None if evaluation is None else describe(evaluation),
        "baselines": {name: _baseline(name, other) for name, other in baselines.items()},
        "findings": dict(findings or {}),
        "model": dict(model),
        "data": dict(data),
        "training": dict(training),
        "settings": dict(settings),
        "reasons": list(reasons),
        "timings": dict(timings),
        "energy": None if energy is None else dict(energy),
        "machine": dict(machine),
        "command": command,
    }
    report["result"] = _result(report)
    plain: dict[str, Any] = to_plain(report)
    return plain


def describe(evaluation: Evaluation) -> dict[str, Any]:
    """One evaluation as plain data; what ``tinyforge evaluate --json`` prints."""
    confusion = evaluation.confusion
    return {
        **_scored(evaluation),
        "task": evaluation.task,
        "multi_label": evaluation.multi_label,
        "primary": dataclasses.asdict(evaluation.primary),
        "sample": dataclasses.asdict(evaluation.sample),
        "model": evaluation.model,
        "signatures": evaluation.signatures,
        "labels": [dataclasses.asdict(row) for row in evaluation.label_table],
        "reliability": [dataclasses.asdict(group) for group in evaluation.reliability],
        "confusion": None
        if confusion is None or len(confusion.labels) > _MATRIX_LABELS
        else {"labels": confusion.labels, "counts": confusion.counts.tolist()},
        "confusions": []
        if confusion is None
        else [
            {"true": true, "answered": answered, "rows": rows}
            for true, answered, rows in confusion.pairs(_PAIRS)
        ],
        "mistakes": [dataclasses.asdict(mistake) for mistake in evaluation.mistakes],
    }


def to_plain(value: Any) -> Any:
    """The same as JSON types only: dictionaries with text keys, lists, text, finite numbers."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {to_plain(str(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain(dataclasses.asdict(value))
    if hasattr(value, "tolist"):  # a NumPy number or array
        return to_plain(value.tolist())
    return to_plain(str(value))


def metrics_of(evaluations: Sequence[Evaluation | None]) -> dict[str, dict[str, Any]]:
    """What each metric in some evaluations is, in the order in which they come."""
    names = dict.fromkeys(
        name for scored in evaluations if scored is not None for name in scored.scores
    )
    return {
        name: {
            "title": METRICS[name].title,
            "definition": METRICS[name].definition,
            "higher_is_better": METRICS[name].higher_is_better,
            "scale": METRICS[name].scale,
            "unit": "points" if METRICS[name].proportion or METRICS[name].scale == "points" else "",
        }
        for name in names
    }


def _baseline(name: str, evaluation: Evaluation) -> dict[str, Any]:
    return {"title": TITLES.get(name, name)} | _scored(evaluation)


def _scored(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "name": evaluation.name,
        "scores": {name: _score(score) for name, score in evaluation.scores.items()},
        "notes": evaluation.notes,
        "seconds": evaluation.seconds,
        "fit_seconds": evaluation.fit_seconds,
        "seconds_per_1000_rows": evaluation.seconds_per_1000_rows,
        "parameters": evaluation.parameters,
        "size_bytes": evaluation.size_bytes,
    }


def _score(score: Score) -> dict[str, Any]:
    low, high = value_text(score.name, score.low), value_text(score.name, score.high)
    return {
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "rows": score.rows,
        "text": value_text(score.name, score.value),
        "interval": f"{low} to {high}",
    }


def _difference_texts(verdict: Verdict) -> dict[str, str]:
    """Baseline -> how this model differs from it, in words."""
    if verdict.metric is None:
        return {}
    metric = verdict.metric
    return {
        comparison.name: f"{change_text(metric, comparison.difference)} "
        f"({change_text(metric, comparison.low)} to {change_text(metric, comparison.high)})"
        for comparison in verdict.comparisons
    }


def _result(report: Mapping[str, Any]) -> dict[str, Any]:
    """The flat object that ``tinyforge train --json`` prints."""
    training, evaluation = report["training"], report["evaluation"]
    seconds = float(training.get("seconds") or 0.0)
    examples, tokens = training.get("examples") or 0, training.get("tokens") or 0
    return {
        "output_dir": report["output_dir"],
        "task": report["task"],
        "model": report["model"].get("name"),
        "steps": training.get("steps"),
        "train_examples": training.get("train_examples", examples),
        "seconds": report["timings"].get("total", seconds),
        "examples_per_second": examples / seconds if seconds else None,
        "tokens_per_second": tokens / seconds if seconds else None,
        "metrics": {} if evaluation is None else _values(evaluation),
        "primary_metric": report["verdict"]["metric"],
        "verdict": report["verdict"]["word"],
        "sentence": report["verdict"]["sentence"],
        "baselines": {name: _values(other) for name, other in report["baselines"].items()},
    }


def _values(scored: Mapping[str, Any]) -> dict[str, float]:
    return {name: score["value"] for name, score in scored["scores"].items()}
