"""All findings together, as plain data and as advice."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
from findings_fakes import SETTINGS, judged, rows, yes_no

from tinyforge.evaluate.advice import advise
from tinyforge.evaluate.findings import Findings, find
from tinyforge.evaluate.findings.errors import find_errors
from tinyforge.evaluate.findings.thresholds import Threshold
from tinyforge.evaluate.run import evaluate
from tinyforge.evaluate.verdict import judge
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Prediction


def test_everything_at_once() -> None:
    random = np.random.default_rng(0)
    evaluation, examples = yes_no([True] * 40 + list(random.random(160) < 0.75))
    other, _ = yes_no(list(random.random(200) < 0.78))
    train = rows(["yes"] * 50, [f"text {i}" for i in range(40)] + [f"new {i}" for i in range(10)])
    verdict = judge(evaluation, {"other": other})
    found = find(
        evaluation, examples, baselines={"other": other}, verdict=verdict, train=train,
        trained=evaluation, threshold=Threshold(0.5, 0.9, False, 30), near_duplicate=1.0,
    )  # fmt: skip
    plain = found.to_json()
    json.dumps(plain, allow_nan=False)
    assert set(plain) == {f.name for f in dataclasses.fields(Findings)} | {"sentences"}
    made = ("power", "slices", "errors", "leaks", "abstention", "gap")
    assert all(plain[name] is not None for name in made)
    assert all(plain[name] is None for name in set(plain) - {*made, "sentences"})
    assert len(plain["sentences"]) == 5
    assert plain["leaks"]["exact"] == 40
    said = advise(evaluation, verdict, model={}, data={}, training={}, findings=plain)
    assert said[0].startswith("40 of 200 test rows stand in the training rows")
    assert said[0].endswith("Take that number, or test on rows the model has not seen.")
    assert any("would settle the verdict" in line or "too close" in line for line in said)


def test_nothing_at_hand() -> None:
    evaluation, examples = yes_no([True] * 30)
    plain = find(evaluation, examples).to_json()
    assert plain["power"] is None
    assert plain["leaks"] is None
    assert Findings().to_json()["sentences"] == []


def test_both_lists_of_errors() -> None:
    gold = ["a", "b", "c"] * 10
    examples = rows(gold)
    scores = [{"a": 0.6, "b": 0.3 - i / 1_000, "c": 0.1 + i / 1_000} for i in range(30)]
    confidences = np.linspace(0.5, 0.9, 30)
    found = find_errors(
        judged(examples, ["a"] * 30, confidences=list(confidences), scores=scores), examples
    )
    assert len(found.worst) == len(found.confident) == 20
    assert {mistake.expected for mistake in found.worst} == {"b", "c"}
    assert found.worst[0].source == "test.jsonl:3"  # its true label has the least probability
    assert [m.source for m in found.confident[:2]] == ["test.jsonl:30", "test.jsonl:29"]
    assert found.confident[0].confidence == 0.9
    assert found.confident[0].answered == "a"


class Surprised:
    """Finds every text less likely than the one before."""

    def predict_examples(self, examples: list[Example]) -> list[Prediction]:
        raise AssertionError("raw text is not answered")

    def log_likelihoods(self, examples: list[Example]) -> list[Likelihood]:
        return [
            Likelihood(float(e.source.line), 5, len((e.output or "").encode())) for e in examples
        ]


def test_raw_text() -> None:
    examples = [
        dataclasses.replace(e, input="", output=f"Some text that has the number {i}.")
        for i, e in enumerate(rows(["x"] * 40))
    ]
    evaluation = evaluate(Surprised(), examples, task="language-model", settings=SETTINGS)
    found = find(evaluation, examples, train=examples[:3])
    assert found.errors is not None
    assert found.errors.worst[0].source == "test.jsonl:40"
    assert found.errors.confident == ()
    assert found.abstention is None
    assert found.slices is not None
    assert found.leaks is not None
    assert found.leaks.exact == 3
    json.dumps(found.to_json(), allow_nan=False)
