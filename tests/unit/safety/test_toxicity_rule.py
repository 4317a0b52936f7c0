"""The toxicity classifier as a safeguard: whose labels, which threshold, long texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyforge.artifacts.files import write_json
from tinyforge.artifacts.manifest import write_manifest
from tinyforge.artifacts.thresholds import ALARM
from tinyforge.config.safeguards import SafeguardSettings
from tinyforge.errors import FolderError, ModelError, SettingError
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.safety.safeguards import Safeguards
from tinyforge.safety.toxicity import Toxicity, alarm_shares


@dataclass
class Words:
    """A task whose tokens are words."""

    name: str = "classify"
    max_length: int | None = 8
    multi_label: bool = False

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        none = np.zeros(0, np.int32)
        return [Encoded(np.zeros(len(e.input.split()), np.int32), none) for e in examples]


@dataclass
class Model:
    """Finds a text toxic by the share of its first eight words that are "vile"."""

    task: Words = field(default_factory=Words)
    labels: tuple[str, ...] = ("civil", "toxic", "hate")
    max_positions: int | None = 512
    asked: list[str] = field(default_factory=list)

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        self.asked += texts
        found = []
        for text in texts:
            words = text.split()[:8]
            share = words.count("vile") / max(1, len(words))
            scores = {"civil": 1 - share, "toxic": 0.75 * share, "hate": 0.25 * share}
            found.append(Prediction("civil", confidence=1.0, scores=scores))
        return found


def test_the_choice_of_training_is_taken_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "tinyforge").mkdir()
    write_json(tmp_path / ALARM, {"labels": ["toxic", "hate"], "value": 0.4})
    rule = Toxicity.open(str(tmp_path), lambda place: Model())
    assert (rule.labels, rule.threshold) == (("toxic", "hate"), 0.4)
    assert [f.count for f in rule.look(["vile vile", "a vile text", "fine"])] == [1, 0, 0]
    given = Toxicity.open(str(tmp_path), lambda place: Model(), labels=["hate"], threshold=0.2)
    assert [f.count for f in given.look(["vile vile", "a vile text"])] == [1, 0]


def test_what_is_missing_or_wrong_is_said(tmp_path: Path) -> None:
    def load(place: str) -> Any:
        return Model()

    with pytest.raises(SettingError, match=r"mean toxic is not known.*civil, toxic, hate"):
        Toxicity.open(str(tmp_path), load)
    with pytest.raises(SettingError, match="no such label"):
        Toxicity.open(str(tmp_path), load, labels=["rude"], threshold=0.5)
    with pytest.raises(SettingError, match=r"alarm_labels=toxic"):
        Toxicity.open(str(tmp_path), load, labels=["toxic"])
    with pytest.raises(ModelError, match="gives no labels"):
        Toxicity.open(str(tmp_path), lambda place: Model(task=Words("text2text")))


def test_a_changed_file_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"weights")
    write_manifest(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"changed")
    with pytest.raises(FolderError, match=r"model\.onnx"):
        Toxicity.open(str(tmp_path), lambda place: pytest.fail("loaded"))


def test_nothing_hides_behind_a_long_beginning() -> None:
    model = Model()
    hidden = "harmless words " * 60 + "vile " * 30 + "harmless words " * 60
    assert alarm_shares(model, ["fine", hidden, ""], ("toxic", "hate")) == [0.0, 1.0, 0.0]
    assert "".join(model.asked[1:]).replace(" ", "") == hidden.replace(" ", "")


def test_of_several_labels_that_may_hold_the_highest_counts() -> None:
    model = Model(task=Words(multi_label=True))
    assert alarm_shares(model, ["vile"], ("toxic", "hate")) == [0.75]


def test_a_request_is_looked_at_in_one_batch(tmp_path: Path) -> None:
    calls = []

    class Counted(Model):
        def predict(self, texts: Sequence[str]) -> list[Prediction]:
            calls.append(len(texts))
            return super().predict(texts)

    settings = SafeguardSettings(
        toxicity_model=str(tmp_path), toxicity_labels=("toxic", "hate"), toxicity_threshold=0.5
    )
    guards = Safeguards.from_settings(settings, load=lambda place: Counted())
    rulings = guards.check_input(["vile", "fine", "vile vile vile"])
    assert [r.action for r in rulings] == ["refused", "pass", "refused"]
    assert calls == [3]
