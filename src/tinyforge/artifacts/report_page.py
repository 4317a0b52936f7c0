"""What stands on the report's page, in the order in which it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyforge.artifacts.plots import Line, Whisker, heat_map, line_chart, whisker_chart
from tinyforge.artifacts.report_findings import findings_of
from tinyforge.artifacts.words import (
    count_text,
    energy_text,
    flat,
    p_text,
    seconds_text,
    value_text,
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
    alone = evaluation is not None and not verdict["comparisons"]
    return {
        "report": report,
        "word": "Not compared" if alone else verdict["word"].capitalize(),
        "tone": {"better": "good", "not better": "bad"}.get(verdict["word"], "unsure"),
        "sentence": sentence[:1].upper() + sentence[1:],
        "glance": glance(report),
        "systems": systems(report),
        "metric_titles": [(name, kind["title"]) for name, kind in report["metrics"].items()],
        "primary": report["metrics"].get(verdict["metric"] or "", {}),
        "whisker_svg": _whiskers(report),
        "loss_svg": _losses(report["training"]),
        "metric_charts": _validation_metrics(report["training"]),
        "metric_meanings": _meanings(report),
        "confusion_svg": _confusion(evaluation),
        "confusions": evaluation["confusions"][:20] if evaluation else [],
        "label_rows": evaluation["labels"] if evaluation else [],
        "fold_labels": bool(evaluation) and len(evaluation["labels"]) > OPEN_LABEL_ROWS,
        **findings_of(report),
        "data": data_tables(report["data"]),
        "settings": flat(report["settings"]),
        "model": flat(report["model"]),
        "machine": flat(report["machine"]),
        "timings": [(name, seconds_text(value)) for name, value in report["timings"].items()],
        "energy": energy_text(report.get("energy")),
    }


def glance(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The answers that are wanted first: (question, answer)."""
    found = [
        ("Score", _score_line(report)),
        ("Gain", _gain_line(report)),
        ("How sure", _sure_line(report)),
        ("Where it fails", _fails_line(report)),
        ("What would help", next(iter(report["advice"]), "")),
        ("What it cost", _cost_line(report)),
    ]
    return [(question, answer) for question, answer in found if answer]


def _score_line(report: Mapping[str, Any]) -> str:
    metric, evaluation = report["verdict"]["metric"], report["evaluation"]
    score = evaluation["scores"].get(metric) if evaluation else None
    if not score:
        return ""
    kind, rows = report["metrics"][metric], evaluation["sample"]["rows"]
    lower = "" if kind["higher_is_better"] else ", lower is better"
    sure = f"95 % interval {score['interval']}{lower}"
    return f"{kind['title']} {score['text']} ({sure}) on {rows:,} rows"


def _gain_line(report: Mapping[str, Any]) -> str:
    verdict = report["verdict"]
    best = verdict.get("best_baseline")
    text = (verdict.get("texts") or {}).get(best)
    if not text:
        return ""
    title = report["baselines"][best]["title"]
    count = len(verdict["comparisons"])
    others = f", the strongest of {count} baselines" if count > 1 else ""
    unit = report["metrics"].get(verdict["metric"], {}).get("unit") or ""
    size, _, interval = text.partition(" ")
    return " ".join(filter(None, (size, unit, interval, f"over {title}{others}")))


def _sure_line(report: Mapping[str, Any]) -> str:
    verdict, evaluation = report["verdict"], report["evaluation"]
    if not evaluation or not verdict["comparisons"]:
        return ""
    groups = evaluation["sample"].get("groups", evaluation["sample"]["rows"])
    text = f"{groups:,} independent rows"
    p_value = verdict["comparisons"][0].get("p_value")
    if verdict["word"] == "better" and p_value is not None and p_value < 1:
        often = "less than once" if p_value < 0.001 else f"{1000 * p_value:.0f} times"
        return f"{text}; between equal systems chance does this {often} in 1,000"
    interval = (verdict.get("texts") or {}).get(verdict["best_baseline"], "").partition("(")[2]
    if interval:
        text += f"; the true gain lies between {interval.rstrip(')').replace(' to ', ' and ')}"
        text += " with 95 % certainty"
    return text


def _fails_line(report: Mapping[str, Any]) -> str:
    evaluation = report["evaluation"]
    slices = (report.get("findings") or {}).get("slices") or {}
    if slices.get("found"):
        worst = slices["found"][0]
        return (
            f"Rows {worst['name']}: {worst['inside_text']} on {worst['rows']:,} rows, "
            f"{worst['outside_text']} on the others"
        )
    if evaluation and evaluation["confusions"]:
        pair = evaluation["confusions"][0]
        return f"“{pair['true']}” answered as “{pair['answered']}” ({pair['rows']:,} rows)"
    return str(slices.get("sentence") or "")


def _cost_line(report: Mapping[str, Any]) -> str:
    evaluation, parts = report["evaluation"], []
    if report["timings"].get("total") is not None:
        parts.append(f"{seconds_text(report['timings']['total'])} in all")
    parts.append(energy_text(report.get("energy")))
    rows = (report["data"].get("split") or {}).get("train")
    if rows and report["training"].get("steps") is not None:
        parts.append(f"{rows:,} training rows")
    if report["model"].get("parameters"):
        parts.append(f"{count_text(report['model']['parameters'])} parameters")
    if evaluation and evaluation["seconds"]:
        speed = evaluation["sample"]["rows"] / evaluation["seconds"]
        parts.append(f"answers {speed:,.0f} rows/s here" if speed >= 10 else
                     f"answers {speed:.2g} rows/s here")  # fmt: skip
    return ", ".join(part for part in parts if part)


def systems(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """This model and its baselines, the best baseline first; all with the same metrics."""
    evaluation, verdict = report["evaluation"], report["verdict"]
    found = []
    if evaluation:
        us = {"title": "this model", "ours": True, "difference": "", "p": ""}
        found.append({**evaluation, **us})
    order = [comparison["name"] for comparison in verdict["comparisons"]]
    names = order + [name for name in report["baselines"] if name not in order]
    judged = {comparison["name"]: comparison for comparison in verdict["comparisons"]}
    rows = evaluation["sample"]["rows"] if evaluation else None
    for name in names:
        other = report["baselines"][name]
        difference = verdict.get("texts", {}).get(name, "")
        common = judged.get(name, {}).get("rows")
        if rows is not None and common is not None and common < rows:
            difference += f", on {common:,} rows"
        p_value = judged.get(name, {}).get("p_value")
        tested = None if p_value is None or p_value >= 1 else p_value
        found.append({**other, "ours": False, "difference": difference, "p": p_text(tested)})
    ours = found[0]["notes"] if evaluation else []
    for system in found:
        if not system["ours"]:
            system["notes"] = [note for note in system["notes"] if note not in ours]
        system["time"] = seconds_text((system["seconds"] or 0) + (system["fit_seconds"] or 0))
    return found


def data_tables(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data report as: ``counts`` (name, value), ``tables`` (title, rows), ``notes``."""
    counts = [(_NAMES.get(key, key.replace("_", " ")), value_text(value))
              for key, value in data.items()
              if isinstance(value, int | float | str) and value != ""]  # fmt: skip
    tables: list[tuple[str, list[tuple[str, str]]]] = []
    for title, key in (("Split", "split"), ("Rejected, by reason", "reasons")):
        if data.get(key):
            tables.append((title, [(name, value_text(v)) for name, v in data[key].items()]))
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


def _meanings(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    signatures = (report["evaluation"] or {}).get("signatures") or {}
    found = []
    for name, kind in report["metrics"].items():
        way = "higher" if kind["higher_is_better"] else "lower"
        signature = f"; {signatures[name]}" if signatures.get(name) else ""
        found.append((kind["title"], f"{kind['definition']}; {way} is better{signature}"))
    return found


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    return [
        (float(row["step"]), float(row[key]))
        for row in rows
        if isinstance(row.get(key), int | float) and row.get("step") is not None
    ]


def _losses(training: Mapping[str, Any]) -> str:
    history = training.get("history") or {}
    held = _points(history.get("validation") or [], "loss")
    lines = [
        Line("training", _points(history.get("train") or [], "loss"), "second", dashed=True),
        Line("validation", held, "accent", dots=True),
    ]
    return line_chart(lines, x_title="step", y_title="loss", mark=_best(training))


def _validation_metrics(training: Mapping[str, Any]) -> list[dict[str, str]]:
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
        charts.append({"title": name.replace("_", " "), "svg": chart})
    return charts


def _best(training: Mapping[str, Any]) -> tuple[float, str] | None:
    step = training.get("best_step")
    return None if step is None else (float(step), f"best: step {step:,}")


def _confusion(evaluation: Mapping[str, Any] | None) -> str:
    matrix = evaluation["confusion"] if evaluation else None
    if not matrix or not 2 <= len(matrix["labels"]) <= HEAT_MAP_LABELS:
        return ""
    return heat_map(matrix["labels"], matrix["counts"])
