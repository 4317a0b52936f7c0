"""The report's page, the plots, the model card and the terminal lines."""

from __future__ import annotations

import copy
import itertools
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from report_fakes import EVIL, REPORT, Page

from tinyforge.artifacts.report import model_card, render, summary, write_report
from tinyforge.artifacts.report_page import glance


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
    assert page.values("src", "data", "action", "srcset", "poster") == []
    links = page.values("href")
    assert links
    assert {link[0] for link in links} == {"#"}
    assert {link[1:] for link in links} <= set(page.values("id"))
    assert "://" not in render(REPORT).replace('xmlns="http://www.w3.org/2000/svg"', "")
    style = re.findall(r"<style>(.*?)</style>", render(REPORT), re.DOTALL)
    assert len(style) == 1
    assert "url(" not in style[0]
    assert "@import" not in style[0]
    assert "prefers-color-scheme: dark" in style[0]
    assert "@media print" in style[0]


def test_page_can_be_read_without_seeing_it() -> None:
    page = Page(render(REPORT))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert page.tables_without_caption == 0
    assert page.svgs_without_text == 0
    assert set(page.values("aria-labelledby")) <= set(ids)
    assert {"header", "main", "nav", "footer", "h1"} <= set(page.tags)
    assert page.tags.count("h1") == page.tags.count("main") == 1
    assert ("lang", "en") in page.attributes
    heads = [tag for tag in page.tags if re.fullmatch("h[1-6]", tag)]
    steps = [int(b[1]) - int(a[1]) for a, b in itertools.pairwise(heads)]
    assert max(steps) == 1  # no level is left out
    assert page.tags.count("th") == len(page.values("scope"))


def test_what_a_manager_wants_comes_first() -> None:
    text = render(REPORT)
    start = text.index('id="verdict"')
    first = text[start : text.index("</section>", start)]
    order = ["Better", "90.0 % right", "Score", "Gain", "How sure", "Where it fails",
             "What would help", "What it cost"]  # fmt: skip
    places = [first.index(word) for word in order]
    assert places == sorted(places)
    assert len(re.findall(r"<(?:h2|p|dt)\b", first)) <= 10
    answers = dict(glance(REPORT))
    assert answers["Score"] == "Accuracy 90.0 % (95 % interval a to b) on 200 rows"
    assert answers["Gain"].startswith("+10.0 points (+5.0 to +15.0) over ")
    assert answers["How sure"] == (
        "190 independent rows; between equal systems chance does this less than once in 1,000"
    )
    assert answers["Where it fails"] == f"Rows {EVIL}: 50.0 % on 30 rows, 95.0 % on the others"
    assert answers["What it cost"].startswith("75 s in all, 2.5 Wh (estimate), 8 training rows, ")


def test_doubt_is_said_as_what_may_be_true() -> None:
    report = copy.deepcopy(REPORT)
    report["verdict"]["word"] = "cannot tell"
    report["verdict"]["best_baseline"] = "tfidf"
    assert dict(glance(report))["How sure"] == (
        "190 independent rows; the true gain lies between +5.0 and +15.0 with 95 % certainty"
    )


def test_a_model_beside_nothing_is_not_called_doubtful() -> None:
    report = copy.deepcopy(REPORT)
    report["verdict"] |= {
        "word": "cannot tell", "comparisons": [], "texts": {}, "best_baseline": None,
        "sentence": "Cannot tell: Accuracy 90.0 % on 200 rows, with no baseline to compare with.",
    }  # fmt: skip
    text = render(report)
    assert "<h2>Not compared</h2>" in text
    assert "<p>Accuracy 90.0 % on 200 rows, with no baseline to compare with.</p>" in text


def test_every_finding_is_on_the_page() -> None:
    text = render(REPORT)
    for name in ("power", "slices", "leaks", "labels", "abstention", "scope", "gap", "forgetting",
                 "curve"):  # fmt: skip
        assert f"The {name} sentence." in text, name
    for fact in ("+10.0 (+5.0 to +15.0), on 120 rows", "&lt; 0.001", "1,234 rows to look at",
                 "97.0 %", "94.0 % to 99.0 %", "0.850 to 0.960", "g.jsonl:9", "2.5 Wh (estimate)",
                 "share right; higher is better", "Most confident errors"):  # fmt: skip
        assert fact in text, fact


@pytest.mark.parametrize("name", list(REPORT["findings"]))
def test_any_finding_may_be_missing(name: str) -> None:
    report = copy.deepcopy(REPORT)
    report["findings"][name] = None
    Page(render(report))
    model_card(report)
    del report["findings"][name]
    Page(render(report))
    model_card(report)


def test_plots_are_well_formed_and_show_what_they_should() -> None:
    drawn = re.findall(r"<svg.*?</svg>", render(REPORT), re.DOTALL)
    assert len(drawn) == 8
    whiskers, slices, confusion, reliable, risk, losses, accuracy, curve = (
        ET.fromstring(svg) for svg in drawn
    )
    name = "{http://www.w3.org/2000/svg}"
    assert len(whiskers.findall(f"{name}circle")) == 2
    assert "as the others" in "".join(slices.itertext())
    assert len(reliable.findall(f"{name}circle")) == 2
    assert "error among answered rows" in risk.attrib["aria-label"]
    assert "best: step 20" in "".join(losses.itertext())
    assert "accuracy" in "".join(accuracy.itertext())
    assert len(confusion.findall(f"{name}rect")) == 4
    assert "expected with twice the rows" in "".join(curve.itertext())
    assert "training from 3 at 1 to 0.1 at 30" in losses.attrib["aria-label"]


def test_a_report_without_test_rows_history_or_baselines() -> None:
    report = copy.deepcopy(REPORT)
    report |= {"evaluation": None, "baselines": {}, "metrics": {}, "training": {}, "data": {},
               "findings": {}, "energy": None}  # fmt: skip
    report["verdict"] |= {"word": "cannot tell", "metric": None, "comparisons": [], "texts": {},
                          "sentence": "Cannot tell: there are no test rows."}  # fmt: skip
    Page(render(report))
    assert "<svg" not in render(report)
    assert summary(report).startswith("Cannot tell: there are no test rows.")
    assert "## How to use it" in model_card(report)


def test_raw_text_shows_bits_per_byte_of_the_worst_rows() -> None:
    report = copy.deepcopy(REPORT) | {"task": "language-model"}
    assert ">bits per byte<" in render(report)
    assert '<th scope="col" class="n">confidence</th>' not in render(report)
    assert '<th scope="col" class="n">confidence</th>' in render(REPORT)


def test_a_long_text_is_cut_on_the_page() -> None:
    report = copy.deepcopy(REPORT)
    report["findings"]["errors"]["worst"][0]["input"] = "long " * 200
    assert "long " * 79 in render(report)
    assert "long " * 80 not in render(report)


def test_files_are_written_whole(tmp_path: Path) -> None:
    report = json.loads(json.dumps(REPORT))
    write_report(tmp_path, report)
    assert json.loads((tmp_path / "tinyforge" / "report.json").read_text("utf-8")) == report
    assert (tmp_path / "tinyforge" / "report.html").read_text("utf-8") == render(report)
    assert (tmp_path / "README.md").read_text("utf-8").startswith("---\n")
    assert not list(tmp_path.rglob("*.tmp"))
    write_report(tmp_path, report)


def test_a_report_of_an_earlier_version_still_has_a_page() -> None:
    report = copy.deepcopy(REPORT)
    del report["findings"], report["energy"], report["evaluation"]["reliability"]
    Page(render(report))
    model_card(report)


def test_many_labels_are_folded_and_have_no_matrix() -> None:
    report = copy.deepcopy(REPORT)
    line = report["evaluation"]["labels"][0]
    report["evaluation"]["labels"] = [line] * 40
    labels = [f"l{i}" for i in range(40)]
    report["evaluation"]["confusion"] = {"labels": labels, "counts": [[0] * 40] * 40}
    text = render(report)
    assert "<details><summary>40 labels" in text
    assert "Confusion matrix" not in text


def test_the_summary_names_labels_that_a_part_lacks() -> None:
    report = copy.deepcopy(REPORT)
    sentence = "labels without a row in the test: refund (30 training rows); they are too few"
    report["data"]["absent_labels"] = [
        {"part": "test", "labels": ["refund"], "rows": 30, "sentence": sentence}
    ]
    assert f"Note: {sentence}" in summary(report).splitlines()


def test_summary_fits_a_terminal() -> None:
    report = copy.deepcopy(REPORT)
    report["baselines"]["tfidf"]["title"] = "TF-IDF + logistic regression"
    lines = summary(report).splitlines()
    assert lines[0].startswith("Better: 90.0 % right")
    assert lines[-1] == "Report: runs/my-model/tinyforge/report.html"
    assert any(re.match(r"  this model +90.0 %", line) for line in lines)
    assert any(re.match(r"  TF-IDF \+ logistic regression +80.0 %", line) for line in lines)
    assert max(map(len, lines)) <= 100
