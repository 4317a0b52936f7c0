"""What stands on the report's page, in the order in which it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyforge.artifacts.plots import (
    Line,
    Whisker,
    heat_map,
    line_chart,
    number,
    whisker_chart,
)

HEAT_MAP_LABELS = 25
OPEN_LABEL_ROWS = 30
"""A longer table of labels is folded away."""

_NAMES = {
    "read": "rows read",
    "kept": "rows kept",
    "rejected": "rows rejected",
    "duplicate_inputs": "rows whose input stood in an earlier row",
    "duplicate_rows": "rows that repeat an earlier row",
    "near_duplicates": "near-duplicate rows",
}


def page_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of the page's template; texts are not escaped yet, ``*_svg`` are markup."""
    verdict, evaluation = report["verdict"], report["evaluation"]
    _, _, sentence = verdict["sentence"].partition(": ")
    return {
        "report": report,
        "word": verdict["word"].capitalize(),
        "tone": {"better": "good", "not better": "bad"}.get(verdict["word"], "unsure"),
        "sentence": sentence[:1].upper() + sentence[1:],
        "facts": facts(report),
        "systems": systems(report),
        "metric_titles": [(name, kind["title"]) for name, kind in report["metrics"].items()],
        "primary": report["metrics"].get(verdict["metric"] or "", {}),
        "whisker_svg": _whiskers(report),
        "loss_svg": _losses(report["training"]),
        "metric_svgs": _validation_metrics(report["training"]),
        "confusion_svg": _confusion(evaluation),
        "confusions": evaluation["confusions"][:20] if evaluation else [],
        "label_rows": evaluation["labels"] if evaluation else [],
        "fold_labels": bool(evaluation) and len(evaluation["labels"]) > OPEN_LABEL_ROWS,
        "mistakes": evaluation["mistakes"] if evaluation else [],
        "data": data_tables(report["data"]),
        "settings": flat(report["settings"]),
        "model": flat(report["model"]),
        "machine": flat(report["machine"]),
        "timings": [(name, seconds_text(value)) for name, value in report["timings"].items()],
    }


def facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The few numbers at the top: (value, what it is)."""
    training, evaluation = report["training"], report["evaluation"]
    found = []
    if evaluation and report["verdict"]["metric"] in evaluation["scores"]:
        metric = report["verdict"]["metric"]
        score = evaluation["scores"][metric]
        found.append((score["text"], report["metrics"][metric]["title"].lower()))
        found.append((f"{evaluation['sample']['rows']:,}", "unseen test rows"))
    rows = (report["data"].get("split") or {}).get("train")
    if rows is not None:
        found.append((f"{rows:,}", "training rows"))
    if training.get("steps") is not None:
        found.append((f"{training['steps']:,}", "training steps"))
    if report["timings"].get("total") is not None:
        found.append((seconds_text(report["timings"]["total"]), "in all"))
    if report["model"].get("parameters"):
        found.append((_count(report["model"]["parameters"]), "parameters"))
    return found


def systems(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """This model and its baselines, the best baseline first; all with the same metrics."""
    evaluation, verdict = report["evaluation"], report["verdict"]
    found = []
    if evaluation:
        found.append({"title": "this model", "ours": True, "difference": "", **evaluation})
    order = [comparison["name"] for comparison in verdict["comparisons"]]
    names = order + [name for name in report["baselines"] if name not in order]
    for name in names:
        other = report["baselines"][name]
        difference = verdict.get("texts", {}).get(name, "")
        found.append({**other, "ours": False, "difference": difference})
    for system in found:
        system["time"] = seconds_text((system["seconds"] or 0) + (system["fit_seconds"] or 0))
    return found


def data_tables(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data report as: ``counts`` (name, value), ``tables`` (title, rows), ``notes``."""
    counts = [(_NAMES.get(key, key.replace("_", " ")), _value(value)) for key, value in data.items()
              if isinstance(value, int | float | str) and value != ""]  # fmt: skip
    tables: list[tuple[str, list[tuple[str, str]]]] = []
    for title, key in (("Split", "split"), ("Rejected, by reason", "reasons")):
        if data.get(key):
            tables.append((title, [(name, _value(value)) for name, value in data[key].items()]))
    files = data.get("files") or []
    if files:
        rows = [
            (f"{row['source']} ({row['part']})", f"{row['kept']:,} of {row['read']:,} rows kept")
            for row in files
        ]
        tables.append(("Files", rows))
    conflicts = (data.get("conflicts") or {}).get("examples") or []
    if conflicts:
        rows = [
            (str(row.get("input", ""))[:200], ", ".join(map(str, row.get("labels", ()))))
            for row in conflicts
        ]
        tables.append(("Same input, different labels", rows))
    return {"counts": counts, "tables": tables, "notes": list(data.get("notes") or ())}


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (``train.learning_rate``, value)."""
    found = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found += flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", _value(value)))
    return found


def seconds_text(seconds: float) -> str:
    """``0.4 s``, ``75 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "–"
    return str(value) or "–"


def _count(value: int) -> str:
    for size, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.1f} {name}"
    return str(value)


def _whiskers(report: Mapping[str, Any]) -> str:
    metric = report["verdict"]["metric"]
    rows = []
    for system in systems(report):
        score = system["scores"].get(metric)
        if score and None not in (score["value"], score["low"], score["high"]):
            colour = "accent" if system["ours"] else "second"
            rows.append(
                Whisker(system["title"], score["value"], score["low"], score["high"],
                        score["text"], colour)
            )  # fmt: skip
    if not rows:
        return ""
    kind = report["metrics"][metric]
    way = "higher is better" if kind["higher_is_better"] else "lower is better"
    return whisker_chart(rows, title=f"{kind['title']} with 95 % interval ({way})")


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    return [
        (float(row["step"]), float(row[key]))
        for row in rows
        if isinstance(row.get(key), int | float) and row.get("step") is not None
    ]


def _losses(training: Mapping[str, Any]) -> str:
    history = training.get("history") or {}
    lines = [
        Line("training", _points(history.get("train") or [], "loss"), "second"),
        Line("validation", _points(history.get("validation") or [], "loss"), "accent", dots=True),
    ]
    return line_chart(lines, x_title="step", y_title="loss", mark=_best(training))


def _validation_metrics(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = (training.get("history") or {}).get("validation") or []
    names = dict.fromkeys(
        key
        for row in rows
        for key, value in row.items()
        if key not in ("step", "loss", "time", "seconds", "epoch", "best")
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    )
    charts = []
    for name in names:
        line = Line(name.replace("_", " "), _points(rows, name), "accent", dots=True)
        chart = line_chart([line], x_title="step", y_title=name, mark=_best(training))
        charts.append((name.replace("_", " "), chart))
    return charts


def _best(training: Mapping[str, Any]) -> tuple[float, str] | None:
    step = training.get("best_step")
    return None if step is None else (float(step), f"best: step {step:,}")


def _confusion(evaluation: Mapping[str, Any] | None) -> str:
    matrix = evaluation["confusion"] if evaluation else None
    if not matrix or not 2 <= len(matrix["labels"]) <= HEAT_MAP_LABELS:
        return ""
    return heat_map(matrix["labels"], matrix["counts"])
