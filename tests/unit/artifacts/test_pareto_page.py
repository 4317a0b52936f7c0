"""The page of variants to choose from, its plot, and the card of the smaller model."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from report_fakes import EVIL, Page

from tinyforge.artifacts.pareto_page import cut_lines, pareto_card, render_pareto
from tinyforge.artifacts.scatter import Dot, scatter_chart


def spread(median: float) -> dict[str, Any]:
    return {"median": median, "low": 0.9 * median, "high": 1.2 * median, "rounds": [median]}


def point(name: str, size: int, change: float | None, **more: Any) -> dict[str, Any]:
    difference = None
    if change is not None:
        difference = {
            "value": change, "low": change - 0.01, "high": change + 0.01, "word": "cannot tell",
            "text": f"{100 * change:+.1f}", "interval": "−1.2 to +0.8", "p": 0.4, "gained": 3,
            "lost": 5,
        }  # fmt: skip
    return {
        "name": name, "origin": "full", "runtime": "PyTorch", "precision": "fp32", "scheme": "",
        "command": "", "parameters": 22_700_000, "bytes": size, "rate": spread(200.0),
        "latency": spread(0.004), "smaller": 90e6 / size, "faster": 1.5,
        "score": {"value": 0.93, "low": 0.91, "high": 0.95, "text": "93.0 %",
                  "interval": "91.0 % to 95.0 %"},
        "difference": difference, "notes": [], "front": True, **more,
    }  # fmt: skip


REPORT: dict[str, Any] = {
    "format": 1, "created": "2025-01-02T03:04:05+00:00", "model": EVIL, "output_dir": "out/small",
    "task": "classify", "metric": "accuracy",
    "metrics": {"accuracy": {"title": "Accuracy", "definition": "share right",
                             "higher_is_better": True, "scale": "share", "unit": "points"}},
    "primary": {"name": "accuracy", "why": "x"},
    "sample": {"rows": 1000, "groups": 990, "draws": 2000}, "unit": "rows/s", "held": EVIL,
    "points": [point("full", 90_000_000, None), point(EVIL, 60_000_000, -0.002, command=EVIL),
               point("full, int8", 23_000_000, -0.004, runtime="ONNX", precision="int8",
                     scheme="dynamic", front=False)],
    "pick": {"name": "full, int8", "shown": True, "sentence": f"{EVIL} is the smallest."},
    "rounds": 5, "busy": 0.0,
    "cuts": {"layers": {"encoder layers": {"had": 6, "kept": [0, 2, 5]}},
             "units": {"had": 1536, "kept": 768}, "heads": {"had": 8, "kept": 6},
             "notes": [EVIL],
             "vocabulary": {"had": 30_522, "kept": 9_000, "sentence": "The vocabulary sentence.",
                            "unseen": {}},
             "parameters": {"had": 22_700_000, "kept": 12_000_000}},
    "recovery": {"steps": 300, "seconds": 60.0, "kept": True, "whole": "93.0 %",
                 "before": "40.0 %", "after": "92.0 %", "helped": True,
                 "sentence": "The recovery sentence."},
    "notes": [EVIL], "data": {}, "settings": {"prune": {"share": 0.5}},
    "machine": {"threads": 2}, "command": EVIL,
}  # fmt: skip


def test_the_page_is_safe_and_shows_the_facts() -> None:
    text = render_pareto(REPORT)
    page = Page(text)
    assert "<script" not in text
    assert not {"script", "img", "iframe", "link", "object"} & set(page.tags)
    for fact in (
        "The recovery sentence.", "The vocabulary sentence.", "768 of 1,536", "6 of 8 key-value",
        "3 of 6 encoder layers stay: 1, 3, 6", "9,000 of 30,522 tokens", "23.0 MB", "93.0 %",
        "cannot tell", "3 rows better, 5 worse", "−1.2 to +0.8", "180 to 240", "the model as it",
        "12.0 M of 22.7 M parameters in all (53%)", "prune.share",
    ):  # fmt: skip
        assert fact in text, fact
    assert text.count("<svg") == 2


def test_a_busy_machine_is_told() -> None:
    assert "Other programs used about 1.5 cores" in render_pareto({**REPORT, "busy": 1.5})
    assert "Other programs" not in render_pareto(REPORT)


def test_nothing_cut_and_nothing_picked_is_said() -> None:
    report = copy.deepcopy(REPORT)
    report["cuts"] = {"layers": {}, "units": {}, "heads": {}, "notes": [], "vocabulary": None,
                      "parameters": {"had": 5, "kept": 5}}  # fmt: skip
    report["recovery"] = None
    report["pick"] = {"name": None, "shown": False, "sentence": "None keeps within 0.5 points."}
    text = render_pareto(report)
    assert cut_lines(report["cuts"]) == []
    assert "None is as good" in text
    assert 'class="verdict bad"' in text


def test_the_card_says_what_it_is_and_what_it_cost() -> None:
    text = pareto_card(REPORT)
    assert text.startswith("# small\n")
    assert "<script" not in text
    assert "The recovery sentence. It took 60 s." in text
    assert "tinyforge.load('small')" in text
    assert "| full | 90.0 MB |" in text


def test_points_stand_where_they_belong() -> None:
    left = Dot("left", 10.0, 90.0, (9.0, 11.0), (88.0, 92.0), "accent", joined=True)
    right = Dot("right", 100.0, 95.0, (90.0, 110.0), (94.0, 96.0), "second", joined=True)
    chart = scatter_chart([left, right], x_title="size", y_title="Accuracy")
    assert 'aria-label="Accuracy over size: left 90 at 10; right 95 at 100"' in chart
    places = [float(part.split('"')[0]) for part in chart.split('cx="')[1:]]
    heights = [float(part.split('"')[0]) for part in chart.split('cy="')[1:]]
    assert places[0] < places[1]
    assert heights[0] > heights[1], "higher is better, and up"
    assert 'class="mark"' in chart


def test_labels_do_not_lie_upon_each_other() -> None:
    dots = [Dot(f"point {i}", 10.0, 90.0, (10.0, 10.0), (89.0, 91.0), "accent") for i in range(4)]
    chart = scatter_chart(dots, x_title="x", y_title="y")
    lines = [part for part in chart.split("<text ")[1:] if ">point " in part]
    heights = sorted(float(line.split('y="')[1].split('"')[0]) for line in lines)
    assert all(b - a >= 14 for a, b in itertools.pairwise(heights))


def test_no_points_give_no_chart() -> None:
    assert scatter_chart([], x_title="x", y_title="y") == ""
    broken = Dot("nan", float("nan"), 1.0, (1.0, 1.0), (1.0, 1.0), "accent")
    assert scatter_chart([broken], x_title="x", y_title="y") == ""
