"""The report's page, the plots, the model card and the terminal lines."""

from __future__ import annotations

import copy
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tinyforge.artifacts.plots import Line, Whisker, heat_map, line_chart, ticks, whisker_chart
from tinyforge.artifacts.report import model_card, render, summary, write_report
from tinyforge.artifacts.report_page import seconds_text

EVIL = "<script>alert('x')</script>\"&<img src=x onerror=alert(1)>"


def score(value: float) -> dict[str, Any]:
    return {
        "value": value, "low": value - 0.05, "high": value + 0.04, "rows": 200,
        "text": f"{100 * value:.1f} %", "interval": "a to b",
    }  # fmt: skip


def scored(value: float, name: str) -> dict[str, Any]:
    scores = {"accuracy": score(value)}
    return {"name": name, "scores": scores, "notes": [EVIL], "seconds": 0.5, "fit_seconds": 1.0}


REPORT: dict[str, Any] = {
    "format": 1, "created": "2025-01-02T03:04:05+00:00", "output_dir": "runs/my-model",
    "task": "classify",
    "verdict": {
        "word": "better", "sentence": f"Better: 90.0 % right, against 80.0 % for {EVIL}.",
        "metric": "accuracy", "best_baseline": "tfidf", "difference": 0.1, "low": 0.05,
        "high": 0.15, "comparisons": [{"name": "tfidf"}], "texts": {"tfidf": "+10.0"},
    },
    "advice": [EVIL],
    "metrics": {"accuracy": {
        "title": "Accuracy", "definition": "share right", "higher_is_better": True,
        "scale": "share",
    }},
    "evaluation": {
        **scored(0.9, "this model"), "task": "classify",
        "primary": {"name": "accuracy", "why": EVIL},
        "sample": {"rows": 200, "groups": 190, "draws": 2000}, "signatures": {},
        "labels": [{"label": EVIL, "precision": 1.0, "recall": 0.5, "f1": 0.667, "support": 4,
                    "answered": 2}],
        "confusion": {"labels": [EVIL, "b"], "counts": [[1, 2], [0, 3]]},
        "confusions": [{"true": EVIL, "answered": "b", "rows": 2}],
        "mistakes": [{"source": "f.jsonl:3", "input": EVIL, "expected": EVIL, "answered": EVIL,
                      "confidence": 0.99, "score": 0.0}],
    },
    "baselines": {"tfidf": {"title": EVIL, **scored(0.8, EVIL)}},
    "model": {"name": EVIL, "parameters": 22_000_000, "family": "encoder", "pretrained": True},
    "data": {
        "read": 10, "rejected": 1, "split": {"train": 8}, "reasons": {EVIL: 1}, "notes": [EVIL],
        "files": [{"source": EVIL, "part": "all", "read": 10, "kept": 9}],
        "conflicts": {"examples": [{"input": EVIL, "labels": [EVIL]}]},
    },
    "training": {
        "steps": 30, "best_step": 20, "stopped_because": EVIL, "events": [EVIL],
        "history": {
            "train": [{"step": i, "loss": 3 / i} for i in range(1, 31)],
            "validation": [{"step": i, "loss": 2.0, "accuracy": 0.5} for i in (10, 20, 30)],
        },
    },
    "settings": {"train": {"epochs": 3, "name": EVIL}}, "reasons": [EVIL],
    "timings": {"total": 75.0}, "machine": {"cpu": EVIL}, "command": EVIL,
}  # fmt: skip


class Page(HTMLParser):
    """Tags and attributes of a page, and whether every tag is closed."""

    VOID = frozenset({"meta", "br", "path", "circle", "rect", "img", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._open: list[str] = []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag


def test_hostile_data_is_shown_and_never_run() -> None:
    text = render(REPORT)
    page = Page(text)
    assert "<script" not in text
    assert not {"script", "img", "iframe", "link", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "&lt;script&gt;alert(" in text
    assert "default-src 'none'" in text


def test_page_needs_nothing_from_elsewhere() -> None:
    page = Page(render(REPORT))
    links = [value for name, value in page.attributes if name in ("src", "href", "data", "action")]
    assert links == []
    style = re.findall(r"<style>(.*?)</style>", render(REPORT), re.DOTALL)
    assert len(style) == 1
    assert "url(" not in style[0]
    assert "@import" not in style[0]
    assert "prefers-color-scheme: dark" in style[0]
    assert "@media print" in style[0]


def test_plots_are_well_formed_and_show_what_they_should() -> None:
    drawn = re.findall(r"<svg.*?</svg>", render(REPORT), re.DOTALL)
    assert len(drawn) == 4
    whiskers, losses, accuracy, confusion = (ET.fromstring(svg) for svg in drawn)
    name = "{http://www.w3.org/2000/svg}"
    assert len(whiskers.findall(f"{name}circle")) == 2
    assert "best: step 20" in "".join(losses.itertext())
    assert "accuracy" in "".join(accuracy.itertext())
    assert len(confusion.findall(f"{name}rect")) == 4


def test_a_report_without_test_rows_history_or_baselines() -> None:
    report = copy.deepcopy(REPORT)
    report |= {"evaluation": None, "baselines": {}, "metrics": {}, "training": {}, "data": {}}
    report["verdict"] |= {"word": "cannot tell", "metric": None, "comparisons": [], "texts": {},
                          "sentence": "Cannot tell: there are no test rows."}  # fmt: skip
    Page(render(report))
    assert "<svg" not in render(report)
    assert summary(report).startswith("Cannot tell: there are no test rows.")
    assert "## How to use it" in model_card(report)


def test_raw_text_shows_bits_per_byte_of_the_worst_rows() -> None:
    report = copy.deepcopy(REPORT) | {"task": "language-model"}
    assert ">bits per byte<" in render(report)
    assert ">confidence<" not in render(report)


def test_files_are_written_whole(tmp_path: Path) -> None:
    report = json.loads(json.dumps(REPORT))
    write_report(tmp_path, report)
    assert json.loads((tmp_path / "tinyforge" / "report.json").read_text("utf-8")) == report
    assert (tmp_path / "tinyforge" / "report.html").read_text("utf-8") == render(report)
    assert (tmp_path / "README.md").read_text("utf-8").startswith("---\n")
    assert not list(tmp_path.rglob("*.tmp"))
    write_report(tmp_path, report)


def test_many_labels_are_folded_and_have_no_matrix() -> None:
    report = copy.deepcopy(REPORT)
    line = report["evaluation"]["labels"][0]
    report["evaluation"]["labels"] = [line] * 40
    labels = [f"l{i}" for i in range(40)]
    report["evaluation"]["confusion"] = {"labels": labels, "counts": [[0] * 40] * 40}
    text = render(report)
    assert "<details><summary>40 labels" in text
    assert "Confusion matrix" not in text


def test_summary_fits_a_terminal() -> None:
    report = copy.deepcopy(REPORT)
    report["baselines"]["tfidf"]["title"] = "TF-IDF + logistic regression"
    lines = summary(report).splitlines()
    assert lines[0].startswith("Better: 90.0 % right")
    assert lines[-1] == "Report: runs/my-model/tinyforge/report.html"
    assert any(re.match(r"  this model +90.0 %", line) for line in lines)
    assert any(re.match(r"  TF-IDF \+ logistic regression +80.0 %", line) for line in lines)
    assert max(map(len, lines)) <= 100


def test_model_card_is_valid_and_escapes() -> None:
    report = copy.deepcopy(REPORT)
    report["model"]["name"] = "distilbert-base-uncased"
    card = model_card(report)
    head = yaml.safe_load(card.split("---")[1])
    assert head["base_model"] == "distilbert-base-uncased"
    assert head["pipeline_tag"] == "text-classification"
    metric = head["model-index"][0]["results"][0]["metrics"][0]
    assert metric == {"type": "accuracy", "name": "Accuracy", "value": 0.9}
    body = card.split("---", 2)[2]
    assert "<script" not in body
    assert "| this model | 90.0 % (a to b) |" in body
    assert 'pipeline("text-classification"' in body
    report["model"] = {"name": "scratch:t5-tiny", "family": "encoder-decoder"}
    card = model_card(report | {"task": "text2text"})
    assert "base_model" not in card
    assert "AutoModelForSeq2SeqLM" in card
    assert "trained from nothing" in card


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


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (75, "75 s"), (720, "12 min"), (12_000, "3 h 20 min")]
)
def test_seconds_in_words(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
