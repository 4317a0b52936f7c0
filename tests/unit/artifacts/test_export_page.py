"""What an export says of itself, for people."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from report_fakes import EVIL

from tinyforge.artifacts.export_page import MEANINGS, TITLES, readme, render_export, summary

GATE: dict[str, Any] = {
    "format": 1, "ready": True, "sentence": f"Ready: int8 graphs. Accuracy is 93 % {EVIL}.",
    "advice": "", "kind": "onnx", "precision": "int8", "asked": "auto", "size_bytes": 6_100_000,
    "scheme": {"scheme": "int8", "precision": "int8", "keep": ["a", EVIL], "size_bytes": 9,
               "problem": ""},
    "source": {"name": EVIL, "task": "classify", "family": "encoder", "model": "0123456789ab",
               "parameters": 22_700_000, "labels": 3},
    "judged_on": f"rows of {EVIL}", "max_drop": 0.005, "strict": False, "golden": 19,
    "checks": [
        {"name": "reading", "passed": True, "sentence": EVIL, "figures": {"texts": 39}},
        {"name": "metric", "passed": True, "sentence": "Accuracy is kept",
         "figures": {"word": "kept", "low": -0.001}},
    ],
    "tried": [
        {"scheme": "int4", "precision": "int4", "keep": [], "size_bytes": 4_000_000,
         "problem": f"metric lost {EVIL}"},
        {"scheme": "int8", "precision": "int8", "keep": ["a"], "size_bytes": 6_100_000,
         "problem": ""},
    ],
    "versions": {"onnxruntime": "1.31.1"},
}  # fmt: skip


def test_the_page_escapes_what_others_wrote() -> None:
    page = render_export(GATE)
    assert "<script>" not in page
    assert "onerror=alert" not in page.replace("onerror=alert(1)&gt;", "")
    assert "<h2>Ready</h2>" in page
    assert all(title in page for title in (TITLES["reading"], TITLES["metric"]))
    assert "a loss of 0.5 % of the metric" in page
    assert "<svg" in page


def test_too_few_rows_show_on_the_page() -> None:
    metric = {**GATE["checks"][1], "figures": {"word": "not shown"}}
    page = render_export({**GATE, "checks": [metric]})
    assert "Ready, as far as the rows can tell" in page
    assert 'class="verdict unsure"' in page


def test_a_refusal_shows_on_the_page() -> None:
    metric = {**GATE["checks"][1], "passed": False}
    page = render_export(
        {**GATE, "ready": False, "checks": [metric], "advice": "Use fp32", "sentence": "it lost"}
    )
    assert "<h2>Refused</h2>" in page
    assert 'class="verdict bad"' in page
    assert "Use fp32" in page


def test_the_summary_names_each_check_and_what_was_refused() -> None:
    text = summary(GATE, "out")
    assert "passed   It is as good: Accuracy is kept" in text
    assert "Refused on the way:" in text
    assert "Export: out (6.1 MB)" in text
    assert "tinyforge verify out" in text
    assert max(map(len, text.splitlines())) <= 110
    refused = summary({**GATE, "ready": False, "sentence": "it lost"}, "out")
    assert refused.startswith("Not exported: it lost")
    assert "Export:" not in refused


def test_the_lines_to_try_work_with_any_name() -> None:
    text = summary(GATE, "my exports/it's one")
    for line in (line for line in text.splitlines() if ": tinyforge " in line):
        words = shlex.split(line.partition(": ")[2])
        assert words[2] == "my exports/it's one"
    assert "Check it anywhere: tinyforge verify out" in summary(GATE, "out")


def test_rows_of_the_users_that_go_along_are_told() -> None:
    gate = {**GATE, "golden_rows": 16}
    assert "16 of the rows that it was judged on lie in it" in summary(gate, "out")
    assert "export.golden_rows=0" in summary(gate, "out")
    assert "holds 16 of the rows that it was judged on" in readme(gate, "out")
    assert "golden texts" not in summary({**GATE, "golden_rows": 0}, "out")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("onnx", "pip install '.'"), ("safetensors", "pip install '.[training]'"),
     ("gguf", "llama-cli -m model.gguf")],
)  # fmt: skip
def test_the_readme_says_how_to_use_it(kind: str, words: str) -> None:
    text = readme({**GATE, "kind": kind}, "my-model")
    assert text.startswith("# my-model\n")
    assert words in text
    assert "tinyforge verify ." in text
    assert "<script>" not in text


def test_every_check_has_a_heading_and_a_meaning() -> None:
    assert TITLES.keys() == MEANINGS.keys()
