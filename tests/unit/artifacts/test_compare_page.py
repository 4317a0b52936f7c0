"""The page of a comparison."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from report_fakes import EVIL, Page, score

from tinyforge.artifacts.compare_page import render_comparison


def model(name: str, rank: int, value: float) -> dict[str, Any]:
    return {
        "name": name, "rank": rank, "scores": {"accuracy": score(value)}, "notes": [EVIL],
        "model": "0123456789ab",
        "cost": {
            "parameters": 22_700_000, "disk_bytes": 90_900_000, "peak_memory": 300_000_000,
            "device": "cpu", "threads": 2,
            "speed": {"median": 0.0124, "p95": 0.02, "singles": 100, "rows_per_second": 234.5,
                      "batched": 200},
        },
    }  # fmt: skip


def answer(text: str) -> dict[str, Any]:
    return {"output": text, "confidence": 0.8, "quality": 1.0, "model": "fedcba987654"}


COMPARISON: dict[str, Any] = {
    "created": "2025-01-02T03:04:05+00:00", "task": "classify", "metric": "accuracy",
    "primary": {"name": "accuracy", "why": EVIL},
    "sample": {"rows": 200, "groups": 190, "draws": 2000},
    "verdict": "better", "sentence": f"Better: {EVIL} beats old.", "best": EVIL,
    "order": [EVIL, "old"],
    "metrics": {"accuracy": {"title": "Accuracy", "definition": "share right",
                             "higher_is_better": True, "scale": "share"}},
    "models": [model("old", 2, 0.7), model(EVIL, 1, 0.85)],
    "pairs": [{
        "before": "old", "after": EVIL, "word": "better", "difference": 0.15, "low": 0.1,
        "high": 0.2, "text": "+15.0", "interval": "+10.0 to +20.0", "p_value": 0.0002,
        "adjusted_p": 0.0002,
        "flips": {"right_or_wrong": True, "gained": 50, "lost": 20, "same": 130,
                  "both_right": 120, "both_wrong": 10, "rewritten": 70, "p_value": 0.0004,
                  "test": "McNemar, exact"},
        "rows": [{"change": "lost", "source": EVIL, "input": EVIL, "expected": EVIL,
                  "before": answer(EVIL), "after": {**answer(EVIL), "output": None,
                                                    "confidence": None}}],
    }],
    "data": {}, "machine": {"threads": 2}, "command": EVIL,
}  # fmt: skip


def test_page_is_safe_valid_and_shows_the_facts() -> None:
    text = render_comparison(COMPARISON)
    page = Page(text)
    assert "<script" not in text
    assert not {"script", "img", "iframe", "link", "object"} & set(page.tags)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.values("href")} <= set(ids)
    assert {link[0] for link in page.values("href")} == {"#"}
    assert page.tables_without_caption == page.svgs_without_text == 0
    for fact in ("+15.0", "+10.0 to +20.0", "&lt; 0.001", "12.4 ms", "20.0 ms", "90.9 MB",
                 "300.0 MB", "22.7 M", "234", "fedcba987654", "130 as before (120 right and 10",
                 "50 rows now right, 20 now wrong, 130 as before"):  # fmt: skip
        assert fact in text, fact


def test_every_shown_answer_carries_its_models_hash() -> None:
    text = render_comparison(COMPARISON)
    rows = text[text.index('id="rows"') :]
    assert rows.count('<code class="hash">fedcba987654</code>') == 2


@pytest.mark.parametrize("word", ["better", "worse", "alike", "cannot tell"])
def test_every_word_has_its_look(word: str) -> None:
    report = copy.deepcopy(COMPARISON) | {"verdict": word, "best": None}
    text = render_comparison(report)
    tone = {"better": "good", "worse": "bad"}.get(word, "unsure")
    assert f'<section class="verdict {tone}"' in text
    assert re.search(rf"<h2>{word.capitalize()}</h2>", text)


def test_models_without_measured_costs_have_a_page() -> None:
    report = copy.deepcopy(COMPARISON)
    for each in report["models"]:
        each["cost"] = None
    assert "At what cost" not in render_comparison(report)
