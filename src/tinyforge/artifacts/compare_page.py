"""The page of a comparison of several models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinyforge.artifacts.html import fill
from tinyforge.artifacts.plots import Whisker, whisker_chart
from tinyforge.artifacts.words import bytes_text, count_text, duration_text, flat, p_text

_TONES = {"better": "good", "worse": "bad", "alike": "unsure", "cannot tell": "unsure"}


def render_comparison(report: Mapping[str, Any]) -> str:
    """A comparison as one HTML page that needs nothing else.

    Args:
        report: as ``evaluate.compared.build_comparison`` makes it; plain JSON.
    """
    models = {model["name"]: model for model in report["models"]}
    ordered = [models[name] for name in report["order"]]
    first = report["models"][0]["name"]
    _, _, sentence = report["sentence"].partition(": ")
    page = {
        "report": report,
        "word": report["verdict"].capitalize(),
        "tone": _TONES.get(report["verdict"], "unsure"),
        "sentence": sentence,
        "first": first,
        "primary": report["metrics"][report["metric"]],
        "glance": _glance(report),
        "models": [{**model, **_cost(model.get("cost"))} for model in ordered],
        "metric_titles": [(name, kind["title"]) for name, kind in report["metrics"].items()],
        "metric_meanings": [
            (kind["title"], f"{kind['definition']}; "
             f"{'higher' if kind['higher_is_better'] else 'lower'} is better")
            for kind in report["metrics"].values()
        ],
        "whisker_svg": _whiskers(report, ordered, first),
        "shown": [pair for pair in report["pairs"] if pair["before"] == first],
        "machine": flat(report["machine"]),
    }  # fmt: skip
    return fill("compare.html.jinja", page)


def _glance(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    first = report["models"][0]["name"]
    rival = next(name for name in report["order"] if name != first)
    pair = next(p for p in report["pairs"] if (p["before"], p["after"]) == (first, rival))
    flips = pair["flips"]
    gained, lost = ("now right", "now wrong") if flips["right_or_wrong"] else ("better", "worse")
    unit = f" {kind['unit']}" if (kind := report["metrics"][report["metric"]]).get("unit") else ""
    costs = {model["name"]: model["cost"] for model in report["models"] if model.get("cost")}
    found = [
        ("Difference", f"{pair['text']}{unit} ({pair['interval']}) for {rival} over {first}"),
        ("How sure", f"p {_p(pair['adjusted_p'])} (randomisation test"
         + (", Holm's correction for all pairs)" if len(report["pairs"]) > 1 else ")")
         + f"; {report['sample']['groups']:,} independent rows"),
        ("What changed", f"{flips['gained']:,} rows {gained}, {flips['lost']:,} {lost}, "
         f"{flips['same']:,} as before ({flips['test']}: p {_p(flips['p_value'])})"),
    ]  # fmt: skip
    if {first, rival} <= set(costs):
        mine, theirs = costs[rival], costs[first]
        found.append((
            "At what cost",
            f"{duration_text(mine['speed']['median'])} a row against "
            f"{duration_text(theirs['speed']['median'])}, {bytes_text(mine['disk_bytes'])} on disk "
            f"against {bytes_text(theirs['disk_bytes'])}, {bytes_text(mine['peak_memory'])} of "
            f"memory against {bytes_text(theirs['peak_memory'])}",
        ))  # fmt: skip
    if report["best"]:
        found.append(("Best of all", report["best"]))
    return found


def _p(value: float) -> str:
    text = p_text(value)
    return text if text.startswith("<") else f"= {text}"


def _cost(cost: Mapping[str, Any] | None) -> dict[str, str]:
    if not cost:
        return dict.fromkeys(("parameters", "disk", "median", "p95", "rate", "memory"), "–")
    return {
        "parameters": count_text(cost["parameters"]),
        "disk": bytes_text(cost["disk_bytes"]),
        "median": duration_text(cost["speed"]["median"]),
        "p95": duration_text(cost["speed"]["p95"]),
        "rate": f"{cost['speed']['rows_per_second']:,.0f}",
        "memory": bytes_text(cost["peak_memory"]),
    }


def _whiskers(report: Mapping[str, Any], models: list[Mapping[str, Any]], first: str) -> str:
    rows = []
    for model in models:
        score = model["scores"].get(report["metric"])
        if score and None not in (score["value"], score["low"], score["high"]):
            colour = "second" if model["name"] == first else "accent"
            rows.append(Whisker(model["name"], score["value"], score["low"], score["high"],
                                score["text"], colour))  # fmt: skip
    kind = report["metrics"][report["metric"]]
    way = "higher is better" if kind["higher_is_better"] else "lower is better"
    return whisker_chart(rows, title=f"{kind['title']} with 95 % interval ({way})")
