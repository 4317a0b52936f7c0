"""The report: plain data, honest advice, one flat result."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from evaluate_fakes import judged

from tinyforge.evaluate.advice import advise
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.report import build_report, to_plain
from tinyforge.evaluate.verdict import judge
from tinyforge.evaluate.wording import change_text, value_text

GOLD = ["yes", "no"] * 100


def built(ours: Evaluation | None, others: dict[str, Evaluation], **more: Any) -> dict[str, Any]:
    return build_report(
        task="classify", output_dir="my-model", model={"name": "bert", "pretrained": False},
        settings={"train": {"epochs": 3}}, data={"read": 10, "split": {"train": 8, "test": 2}},
        training={"steps": 5, "examples": 40, "tokens": 400, "seconds": 4.0, "history": {}}
        | more,
        evaluation=ours, baselines=others, verdict=judge(ours, others),
        timings={"total": 9.0}, machine={"threads": 2},
    )  # fmt: skip


def test_report_is_json_and_has_a_flat_result() -> None:
    ours = judged(GOLD, GOLD)
    report = built(ours, {"majority": judged(GOLD, ["yes"] * 200, name="most frequent")})
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    result = report["result"]
    assert result["verdict"] == "better"
    assert result["metrics"]["accuracy"] == 1
    assert result["baselines"]["majority"]["accuracy"] == 0.5
    assert (result["examples_per_second"], result["tokens_per_second"]) == (10, 100)
    assert result["seconds"] == 9
    assert set(result) >= {
        "output_dir", "task", "model", "steps", "train_examples", "seconds",
        "examples_per_second", "tokens_per_second", "metrics", "verdict", "baselines",
    }  # fmt: skip
    assert report["baselines"]["majority"]["title"] == "the most frequent answer"
    assert report["evaluation"]["scores"]["accuracy"]["text"] == "100.0 %"


def test_no_test_rows() -> None:
    report = built(None, {})
    assert report["evaluation"] is None
    assert report["verdict"]["word"] == "cannot tell"
    assert report["result"]["metrics"] == {}
    assert "test_share" in report["advice"][0]


def test_plain_data_only() -> None:
    odd = {1: (np.float32(0.5), math.nan), "x": np.arange(2), "s": "a\ud800", "i": math.inf}
    assert to_plain(odd) == {"1": [0.5, None], "x": [0, 1], "s": "a?", "i": None}


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [("accuracy", 0.9312, "93.1 %"), ("macro_f1", 0.9312, "0.931"), ("bleu", 45.23, "45.2"),
     ("perplexity", 1e9, "1e+09")],
)  # fmt: skip
def test_values_in_words(metric: str, value: float, text: str) -> None:
    assert value_text(metric, value) == text


def test_changes_in_words() -> None:
    assert change_text("accuracy", -0.0312) == "−3.1"
    assert change_text("macro_f1", 0.0312) == "+0.031"


def advice(ours: Evaluation, other: Evaluation, losses: list[float], **model: bool) -> str:
    history = {"validation": [{"step": i, "loss": loss} for i, loss in enumerate(losses)]}
    verdict = judge(ours, {"majority": other})
    return " ".join(advise(ours, verdict, model=model, data={}, training={"history": history}))


def test_advice_reads_the_loss_curve() -> None:
    ours, other = judged(GOLD, GOLD), judged(GOLD, ["yes"] * 200)
    assert "train longer" in advice(ours, other, [3, 2, 1])
    assert "by heart" in advice(ours, other, [3, 1, 2])
    assert advice(ours, other, [3, 2, 2]) == ""


def test_the_report_advises_from_its_findings() -> None:
    gold = GOLD[:40]
    ours, other = judged(gold, ["yes"] * 20 + gold[20:]), judged(gold, ["no"] * 26 + gold[26:])
    verdict = judge(ours, {"majority": other})
    assert verdict.word == "cannot tell"
    report = build_report(
        task="classify", output_dir="", model={}, settings={}, data={}, training={},
        evaluation=ours, baselines={"majority": other}, verdict=verdict, timings={}, machine={},
        findings={"power": {"sentence": "Some 300 rows would do."}},
        energy={"joules": math.inf, "watt_hours": 1.0},
    )  # fmt: skip
    assert report["advice"][0] == "Some 300 rows would do."
    assert report["findings"]["power"]["sentence"] in report["advice"]
    assert report["energy"] == {"joules": None, "watt_hours": 1.0}
    assert report["metrics"]["accuracy"]["unit"] == "points"
    assert report["metrics"]["macro_f1"]["unit"] == ""
    assert report["evaluation"]["reliability"]


def test_advice_for_a_model_from_nothing_that_did_not_learn() -> None:
    text = advice(judged(GOLD, ["yes"] * 200), judged(GOLD, GOLD), [], pretrained=False)
    assert "pretrained one" in text
    assert "does the same job in no time" in text
