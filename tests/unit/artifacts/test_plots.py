"""Plots as text, and values in words."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tinyforge.artifacts.plots import Line, Whisker, heat_map, line_chart, ticks, whisker_chart
from tinyforge.artifacts.words import (
    bytes_text,
    count_text,
    duration_text,
    energy_text,
    p_text,
    seconds_text,
)


def test_line_chart_thins_long_lines_and_skips_holes() -> None:
    points = [(float(i), 1.0 + i % 2) for i in range(10_000)]
    svg = line_chart([Line("a", points, "accent")], x_title="x", y_title="y")
    assert svg.count("L") < 500
    ET.fromstring(svg)
    assert line_chart([Line("a", [(1, float("nan"))], "accent")], x_title="x", y_title="y") == ""
    one = line_chart([Line("a", [(1, 2)], "accent")], x_title="x", y_title="y", mark=(9, "m"))
    ET.fromstring(one)


def test_plots_bear_odd_values() -> None:
    assert whisker_chart([Whisker("a", float("inf"), 0, 1, "", "accent")], title="t") == ""
    ET.fromstring(whisker_chart([Whisker("a", 1, 1, 1, "1", "accent")], title="t"))
    assert heat_map([], []) == ""


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.89, 0.951, [0.88, 0.9, 0.92, 0.94, 0.96]),
     (5, 5, [5, 5.1, 5.2, 5.3, 5.4, 5.5])],
)  # fmt: skip
def test_ticks_are_round_and_span_the_values(
    low: float, high: float, expected: list[float]
) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_both_ends_of_an_interval_are_inside_the_chart() -> None:
    line = Line("a", [(0, 0.5), (1, 0.6)], "accent", spans=[(0, 0.1, 0.9), (1, 0.2, 1.0)])
    svg = ET.fromstring(line_chart([line], x_title="x", y_title="y"))
    name = "{http://www.w3.org/2000/svg}"
    spans = [path.attrib["d"] for path in svg.findall(f"{name}path[@class='whisker']")]
    heights = [float(end) for d in spans for end in d.split(" ")[1].split("V")]
    assert len(spans) == 2
    assert all(30 <= height <= 238 for height in heights)
    assert "a from 0.5 at 0 to 0.6 at 1" in svg.attrib["aria-label"]


def test_a_reference_line_is_drawn_where_it_belongs() -> None:
    rows = [Whisker("a", -1.0, -1.5, -0.5, "x", "bad")]
    svg = ET.fromstring(whisker_chart(rows, title="t", reference=(0.0, "none")))
    assert "none" in "".join(svg.itertext())
    assert svg.attrib["aria-label"] == "t. a: x (-1.5 to -0.5)"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (75, "75 s"), (720, "12 min"), (12_000, "3 h 20 min")]
)
def test_seconds_in_words(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_sizes_and_times_in_words() -> None:
    assert [duration_text(s) for s in (0.00031, 0.0124, 3.0)] == ["0.31 ms", "12.4 ms", "3.0 s"]
    sizes = [bytes_text(b) for b in (812_000, 90_900_000, 1_200_000_000, None)]
    assert sizes == ["812 kB", "90.9 MB", "1.2 GB", "–"]
    assert [count_text(n) for n in (12, 1_500, 22_700_000)] == ["12", "1.5 k", "22.7 M"]
    assert [p_text(p) for p in (0.0004, 0.0314, None)] == ["< 0.001", "0.031", "–"]


@pytest.mark.parametrize(
    ("hours", "measured", "text"),
    [(2.51, True, "2.5 Wh"), (0.0412, False, "0.041 Wh (estimate)"), (123.4, True, "123 Wh"),
     (1500.0, True, "1.50 kWh")],
)  # fmt: skip
def test_energy_in_words(hours: float, measured: bool, text: str) -> None:
    assert energy_text({"watt_hours": hours, "measured": measured}) == text
    assert energy_text(None) == ""
