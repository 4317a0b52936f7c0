"""Which variant to take, what a recovery won back, and the page's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.run import evaluate
from tinyforge.recipes.compress_measure import Measured, Variant
from tinyforge.recipes.compress_report import (
    _beats,
    _mark_front,
    _point,
    describe_recovery,
    pick,
    unit_of,
)
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.records.rows import Source

ROWS = [Example(f"row {i}", "yes" if i % 2 else "no", source=Source("f", i)) for i in range(300)]


class Scripted:
    """Right on all rows but those whose number is below ``wrong``."""

    labels = ("no", "yes")

    def __init__(self, wrong: int) -> None:
        self.wrong = wrong

    def predict_examples(self, examples: list[Example]) -> list[Prediction]:
        other = {"yes": "no", "no": "yes"}
        return [
            Prediction(other[e.output or ""] if e.source.line < self.wrong else e.output or "")
            for e in examples
        ]


def judged(wrong: int, name: str = "this") -> Evaluation:
    settings = EvaluateSettings(bootstrap_samples=200)
    return evaluate(Scripted(wrong), ROWS, task="classify", settings=settings, name=name)


def point(name: str, size: int, rate: float, change: float, half: float = 0.004) -> dict[str, Any]:
    difference = {"value": change, "low": change - half, "high": change + half}
    return {
        "name": name, "bytes": size, "rate": {"median": rate}, "smaller": 100 / size,
        "faster": rate / 10, "score": {"value": 0.9},
        "difference": None if name == "full" else difference,
    }  # fmt: skip


FULL = point("full", 100, 10.0, 0.0)


def test_the_smallest_that_is_shown_to_hold_is_picked() -> None:
    points = [FULL, point("int8", 30, 30.0, 0.0), point("half", 15, 40.0, -0.003),
              point("int4", 20, 20.0, 0.001)]  # fmt: skip
    found = pick(points, "accuracy", 0.5)
    assert (found["name"], found["shown"]) == ("int4", True)
    assert "5.0 times smaller" in found["sentence"]
    assert "0.5 points" in found["sentence"]
    assert pick(points, "accuracy", 1.0)["name"] == "half"


def test_wide_intervals_are_said_to_show_nothing() -> None:
    points = [FULL, point("int8", 30, 30.0, -0.001, half=0.03), point("int4", 20, 1.0, -0.2)]
    found = pick(points, "accuracy", 0.5)
    assert (found["name"], found["shown"]) == ("int8", False)
    assert "more held-out rows" in found["sentence"]
    assert pick([FULL, points[2]], "accuracy", 0.5)["name"] is None


def test_the_drop_is_in_the_metrics_own_scale() -> None:
    points = [FULL, point("int8", 30, 30.0, -0.4, half=0.05)]
    assert pick(points, "bleu", 0.5)["name"] == "int8", "half a point of BLEU"
    assert pick(points, "accuracy", 0.5)["name"] is None


def test_the_front_is_what_nothing_beats_in_all_three() -> None:
    points = [FULL, point("int8", 30, 30.0, -0.001), point("slow", 30, 5.0, -0.001),
              point("tiny", 10, 50.0, -0.3)]  # fmt: skip
    _mark_front(points)
    assert [p["name"] for p in points if p["front"]] == ["full", "int8", "tiny"]
    assert _beats(points[1], points[2])
    assert not _beats(points[1], points[1])


def test_recovery_is_told_as_it_is() -> None:
    whole, cut = judged(5), judged(120)
    better = describe_recovery(whole, cut, judged(20), steps=200, seconds=9.0, kept=True)
    assert better["helped"]
    assert "won back quality, 87% of what the cut had cost" in better["sentence"]
    alike = describe_recovery(whole, judged(20), judged(19), steps=200, seconds=9.0, kept=True)
    assert not alike["helped"]
    assert "was not shown to help" in alike["sentence"]
    worse = describe_recovery(whole, judged(20), cut, steps=200, seconds=9.0, kept=True)
    assert worse["harmed"]
    assert "made the model worse" in worse["sentence"]
    gone = describe_recovery(whole, cut, cut, steps=200, seconds=9.0, kept=False)
    assert not gone["helped"]
    assert "did not help on the validation rows" in gone["sentence"]


def test_a_point_has_medians_and_the_range_of_its_rounds(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x" * 1000)
    (tmp_path / "tinyforge").mkdir()
    (tmp_path / "tinyforge" / "gate.json").write_bytes(b"y" * 50)
    variant = Variant("full", "full", "ONNX", "fp32", tmp_path, "", parameters=7)
    first = Measured(variant, judged(5), [10.0, 30.0, 20.0], [0.1, 0.3, 0.2])
    found = _point(first, first, None)
    assert found["rate"] == {"median": 20.0, "low": 10.0, "high": 30.0,
                             "rounds": [10.0, 30.0, 20.0]}  # fmt: skip
    assert found["bytes"] == 1000
    assert found["smaller"] == found["faster"] == 1.0
    assert found["score"]["low"] < found["score"]["value"] == pytest.approx(295 / 300)
    assert np.isclose(found["latency"]["median"], 0.2)


def test_units_say_what_is_counted() -> None:
    assert unit_of("classify") == "rows/s"
    assert unit_of("text2text").startswith("tokens/s")
