"""The page from which a user picks a variant of a model, and the card of the smaller model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyforge.artifacts.html import fill
from tinyforge.artifacts.scatter import Dot, scatter_chart
from tinyforge.artifacts.words import bytes_text, count_text, duration_text, flat, seconds_text

BUSY = 0.4
"""Cores in use elsewhere from which on speeds are not to be trusted."""

_TONES = {True: "good", False: "unsure"}


def render_pareto(report: Mapping[str, Any]) -> str:
    """The variants of a model as one HTML page that needs nothing else.

    Args:
        report: as ``recipes.compress_report.build`` makes it; plain JSON.
    """
    kind = report["metrics"][report["metric"]]
    way = "" if kind["higher_is_better"] else " (lower is better)"
    page = {
        "report": report,
        "word": report["pick"]["name"] or "None is as good",
        "tone": _TONES[report["pick"]["shown"]] if report["pick"]["name"] else "bad",
        "primary": kind,
        "glance": _glance(report),
        "points": [_shown(point) for point in report["points"]],
        "size_svg": _chart(report, "bytes", "size on disk, MB", kind["title"] + way),
        "speed_svg": _chart(report, "rate", report["unit"], kind["title"] + way),
        "cuts": cut_lines(report["cuts"]),
        "busy": _busy(report),
        "machine": flat(report["machine"]),
        "settings": flat(report["settings"]),
    }
    return fill("pareto.html.jinja", page)


def _glance(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    sample = report["sample"]
    found = [
        ("Judged on", f"{sample['rows']:,} rows, {report['held']}"),
        ("What was cut", "; ".join(cut_lines(report["cuts"])) or "nothing"),
    ]
    if report["recovery"]:
        found.append(("Recovery", report["recovery"]["sentence"]))
    vocabulary = report["cuts"].get("vocabulary")
    if vocabulary:
        found.append(("Unseen texts", vocabulary["sentence"]))
    return found


def cut_lines(cuts: Mapping[str, Any]) -> list[str]:
    """What was cut, one line for each kind."""
    lines = []
    for name, stack in cuts["layers"].items():
        stayed = ", ".join(str(number + 1) for number in stack["kept"])
        lines.append(f"{len(stack['kept'])} of {stack['had']} {name} stay: {stayed}")
    for part, title in (("units", "feed-forward units"), ("heads", "key-value heads")):
        if cuts[part]:
            lines.append(f"{cuts[part]['kept']:,} of {cuts[part]['had']:,} {title} of each layer")
    if cuts.get("vocabulary"):
        kept, had = cuts["vocabulary"]["kept"], cuts["vocabulary"]["had"]
        lines.append(f"{kept:,} of {had:,} tokens")
    if cuts["parameters"]["kept"] < cuts["parameters"]["had"]:
        kept, had = cuts["parameters"]["kept"], cuts["parameters"]["had"]
        lines.append(
            f"{count_text(kept)} of {count_text(had)} parameters in all ({kept / had:.0%})"
        )
    return lines


def _shown(point: Mapping[str, Any]) -> dict[str, Any]:
    rate, latency, found = point["rate"], point["latency"], point["difference"]
    return {
        **point,
        "size": bytes_text(point["bytes"]),
        "count": count_text(point["parameters"]),
        "speed": f"{rate['median']:,.0f}",
        "speed_range": f"{rate['low']:,.0f} to {rate['high']:,.0f}",
        "one": duration_text(latency["median"]),
        "one_range": f"{duration_text(latency['low'])} to {duration_text(latency['high'])}",
        "smaller_text": f"{point['smaller']:.1f}×",
        "faster_text": f"{point['faster']:.1f}×",
        "how": "the model as it was given" if not point["command"] else point["command"],
        "word": found["word"] if found else "",
    }


def _chart(report: Mapping[str, Any], x: str, x_title: str, y_title: str) -> str:
    scale = 100 if report["metrics"][report["metric"]].get("unit") == "points" else 1
    scale = 1 if report["metrics"][report["metric"]]["scale"] == "points" else scale
    dots = []
    for point in report["points"]:
        score = point["score"]
        if None in (score["value"], score["low"], score["high"]):
            continue
        place = point["bytes"] / 1e6 if x == "bytes" else point["rate"]["median"]
        span = (place, place) if x == "bytes" else (point["rate"]["low"], point["rate"]["high"])
        if place is None or None in span:
            continue
        dots.append(Dot(
            point["name"], place, scale * score["value"], span,
            (scale * score["low"], scale * score["high"]),
            "accent" if point["runtime"] == "ONNX" else "second",
            hollow=not point["front"], joined=point["front"],
        ))  # fmt: skip
    unit = ", %" if scale == 100 else ""
    return scatter_chart(dots, x_title=x_title, y_title=y_title + unit)


def _busy(report: Mapping[str, Any]) -> str:
    if report["busy"] < BUSY:
        return ""
    return (
        f"Other programs used about {report['busy']:.1f} cores when the speeds were measured: they "
        "are too low and too spread, and only large differences between them mean anything."
    )


def pareto_card(report: Mapping[str, Any]) -> str:
    """The README of the smaller model's folder."""
    name = Path(report["output_dir"]).name or "model"
    lines = [
        f"# {_plain(name)}", "",
        f"A smaller version of `{_plain(report['model'])}` for the task {report['task']}, made "
        "with TinyForge.", "", "## What was cut", "",
        *(f"- {line}" for line in cut_lines(report["cuts"]) or ["nothing"]), "",
    ]  # fmt: skip
    found = [point for point in report["points"] if point["name"] in ("full", "pruned")]
    lines += ["## What it costs", "", "| | size | parameters | quality | against the whole model |",
              "|---|---:|---:|---:|---|"]  # fmt: skip
    for point in found:
        difference = point["difference"]
        told = f"{difference['text']} ({difference['interval']})" if difference else ""
        lines.append(
            f"| {_plain(point['name'])} | {bytes_text(point['bytes'])} | "
            f"{count_text(point['parameters'])} | {point['score']['text']} | {told} |"
        )
    title = report["metrics"][report["metric"]]["title"]
    judged = f"{report['sample']['rows']:,} rows, {_plain(report['held'])}"
    lines += ["", f"Quality is {title} on {judged}; in brackets 95 % intervals of the "
              "difference.", ""]  # fmt: skip
    recovery, vocabulary = report["recovery"], report["cuts"].get("vocabulary")
    if recovery:
        lines += [f"{recovery['sentence']} It took {seconds_text(recovery['seconds'])}.", ""]
    if vocabulary:
        lines += [vocabulary["sentence"], ""]
    lines += [
        "## How to use it", "", "```python", "import tinyforge", "",
        f"model = tinyforge.load({name!r})", 'print(model.predict("your text").output)', "```", "",
        "It loads with plain `from_pretrained` too. All variants that were measured, with the "
        "command for each, are in `tinyforge/pareto.html`.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
