"""The page of a search for settings."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from report_fakes import EVIL, Page, score

from tinyforge.artifacts.tune_page import render_search, settings_text
from tinyforge.artifacts.tune_plots import Dot, dots_chart


def trial(number: int, value: float | None, state: str = "complete", **more: Any) -> dict[str, Any]:
    return {
        "number": number, "state": state, "value": value, "loss": 0.4, "rungs": [], "reason": "",
        "values": {"train.learning_rate": 1e-4 * number, "train.batch_size": 8 * number,
                   "model.dropout": None, "train.schedule": EVIL},
        "steps": 1234, "seconds": 12.0, "max_minutes": None, "stopped_because": "done",
        "best_step": 10, **more,
    }  # fmt: skip


def part(name: str, low: float | None, high: float | None, values: list[Any]) -> dict[str, Any]:
    return {
        "name": name, "why": EVIL, "low": low, "high": high, "log": low is not None,
        "whole": False, "values": values, "shown": EVIL,
    }  # fmt: skip


CONTENT: dict[str, Any] = {
    "created": "2025-01-02T03:04:05+00:00", "output_dir": "out", "data": EVIL, "task": "classify",
    "model": {"name": EVIL, "parameters": 22_700_000}, "metric": "accuracy", "title": "Accuracy",
    "higher_is_better": True,
    "verdict": {
        "word": "better", "sentence": f"Better: 93.1 % right, against {EVIL}.",
        "metric": "accuracy", "rows": 1234, "difference": 0.03, "low": 0.01, "high": 0.05,
        "interval": "difference +3.0 points, 95 % interval +1.0 to +5.0", "p_value": 0.0004,
    },
    "optimism": {"sentence": "The optimism sentence."},
    "scores": {"best": {"accuracy": score(0.93)}, "default": {"accuracy": score(0.9)}},
    "metrics": {"accuracy": {"title": "Accuracy"}},
    "best": 3, "ended": "All 5 trials were made.",
    "trials": [
        trial(1, 0.90), trial(2, 0.7, "pruned", reason=f"stopped at 25%: {EVIL}"), trial(3, 0.93),
        trial(4, None, "failed", reason=EVIL), trial(5, 0.91, stopped_because="early_stopping"),
    ],
    "default_values": {"train.learning_rate": 1e-4, "train.batch_size": 8, "model.dropout": None,
                       "train.schedule": "linear"},
    "space": [part("train.learning_rate", 1e-5, 1e-3, []),
              part("train.batch_size", None, None, [8, 16]),
              part("model.dropout", None, None, [None, 0.1]),
              part("train.schedule", None, None, ["linear", EVIL])],
    "notes": [EVIL], "importance": {"shares": {EVIL: 0.75, "b": 0.25}, "sentence": "A share."},
    "seconds": 60.0, "seed": 3, "sampler": EVIL, "yaml": f"model:\n  name: {EVIL}\n",
    "machine": {"threads": 2}, "command": f"tinyforge tune {EVIL}",
}  # fmt: skip


def test_page_is_safe_valid_and_shows_the_facts() -> None:
    text = render_search(CONTENT)
    page = Page(text)
    assert "<script" not in text
    assert not {"script", "img", "iframe", "link", "object"} & set(page.tags)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.values("href")} <= set(ids)
    assert {link[0] for link in page.values("href")} == {"#"}
    assert page.tables_without_caption == page.svgs_without_text == 0
    for fact in ("difference +3.0 points", "p &lt; 0.001", "The optimism sentence.", "1,234 rows",
                 "stopped early", "trial 3: learning rate 0.0003, batch size 24", "0.0005",
                 "5: 3 trained, 1 stopped, 1 failed; 60 s", "75%", "as the model has it",
                 "All 5 trials were made."):  # fmt: skip
        assert fact in text, fact


def test_the_winner_comes_first_and_failures_last() -> None:
    text = render_search(CONTENT)
    table = text[text.index("Every trial, the best first") :]
    rows = [table.index(f'<th scope="row">{number} ') for number in (3, 1)]
    rows += [table.index(f'<th scope="row">{number}<') for number in (2, 4)]
    assert rows == sorted(rows)


@pytest.mark.parametrize("word", ["better", "not better", "cannot tell"])
def test_every_word_has_its_look(word: str) -> None:
    content = copy.deepcopy(CONTENT)
    content["verdict"] |= {"word": word, "interval": "", "p_value": None, "rows": None}
    content |= {"scores": {"best": None, "default": None}, "metrics": {}, "best": 1}
    content["importance"] = {"shares": {}, "sentence": "Cannot be told."}
    tone = {"better": "good", "not better": "bad", "cannot tell": "unsure"}[word]
    text = render_search(content)
    assert f'class="verdict {tone}"' in text
    assert "trial 1 (the default settings)" in text
    assert 'id="scores"' not in text


def test_a_stopped_trial_far_off_does_not_squash_the_others() -> None:
    content = copy.deepcopy(CONTENT)
    content["trials"][1]["value"] = -500.0
    text = render_search(content)
    assert "stopped at -500" in text
    assert ">-400</text>" not in text
    assert ">0.9</text>" in text


def test_settings_in_one_line() -> None:
    values = {"train.learning_rate": 0.00031, "lora.r": 16, "train.schedule": "linear"}
    assert settings_text(values) == "learning rate 0.00031, LoRA r 16, schedule linear"


def test_dots_on_a_logarithmic_scale_stand_evenly() -> None:
    dots = [Dot(10.0**power, 1.0, "t") for power in (-4, -3, -2)]
    svg = dots_chart(dots, x_title="rate", y_title="loss", log_x=True)
    xs = sorted(float(part.split('"')[0]) for part in svg.split('cx="')[1:])
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert ">0.001</text>" in svg
    three = [Dot(float(x), float(x), "t") for x in (1, 2, 3)]
    assert ">1.5</text>" in dots_chart(three, x_title="", y_title="").partition("middle")[2]
    whole = dots_chart([Dot(x, 9.0, "t") for x in (1.0, 2.0)], x_title="", y_title="", whole_x=True)
    assert ">1.2</text>" not in whole
    assert ">2</text>" in whole
    assert dots_chart([], x_title="x", y_title="y") == ""
    assert dots_chart([Dot(1.0, float("nan"), "t")], x_title="x", y_title="y") == ""
