"""A run with an alarm: its threshold and the reference lie in the folder, and serve there."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tinyforge.artifacts.manifest import verify
from tinyforge.artifacts.reference import read_reference
from tinyforge.artifacts.thresholds import ALARM, read_choice
from tinyforge.config.load import load_settings
from tinyforge.config.safeguards import SafeguardSettings
from tinyforge.errors import FolderError, SettingError
from tinyforge.recipes.export import _carry
from tinyforge.recipes.load import load
from tinyforge.recipes.train import train
from tinyforge.safety.drift import Drift
from tinyforge.safety.safeguards import Safeguards

WORDS = ["apple", "river", "stone", "cloud", "garden", "window", "paper", "music", "winter", "sun"]
SMALL = {
    "model.name": "scratch:bert-tiny",
    "model.shape": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    "train.max_steps": 60,
    "train.learning_rate": 3e-3,
    "data.validation_share": 0.3,
    "evaluate.bootstrap_samples": 100,
    "evaluate.baselines": False,
    "evaluate.label_errors": False,
    "evaluate.alarm_labels": ["vile"],
    "evaluate.alarm_rate": 0.1,
}


def rows(count: int = 300) -> list[dict[str, str]]:
    chooser = random.Random(0)
    found = []
    for number in range(count):
        label = chooser.choice(["vile", "kind", "kind"])
        words = " ".join(chooser.choices(WORDS, k=6))
        word = "rotten" if label == "vile" else "lovely"
        found.append({"text": f"{word} {words} {number}", "label": label})
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("alarm") / "run"
    done = train(rows(), settings=load_settings(None, (), SMALL), output_dir=folder)
    return folder, done.report


def test_the_alarm_is_in_the_folder_and_the_report(run: tuple[Path, dict[str, Any]]) -> None:
    folder, report = run
    chosen = read_choice(folder, ALARM)
    assert chosen is not None
    found = report["findings"]["alarm"]
    assert (found["labels"], found["rate"]) == (["vile"], 0.1)
    assert found["value"] == pytest.approx(chosen["value"])
    assert found["sentence"] in report["findings"]["sentences"]
    assert found["recall"]["value"] > 0.8
    assert found["false_alarms"]["rows"] + found["recall"]["rows"] == 30
    assert verify(folder) == []


def test_it_serves_as_a_safeguard_as_it_is(run: tuple[Path, dict[str, Any]]) -> None:
    settings = SafeguardSettings(toxicity_model=str(run[0]))
    guards = Safeguards.from_settings(settings, load=load)
    vile = "rotten stone cloud garden window paper sun"
    found = guards.check_input([vile, vile.replace("rotten", "lovely")])
    assert [ruling.action for ruling in found] == ["refused", "pass"]


def test_the_reference_is_of_the_test_rows(run: tuple[Path, dict[str, Any]]) -> None:
    reference = read_reference(run[0])
    assert reference is not None
    assert (reference["source"], reference["texts"]) == ("training", 30)
    assert sum(reference["confidence"]["counts"]) == 30
    assert set(reference["labels"]) <= {"vile", "kind"}
    assert "apple" not in json.dumps(reference)
    drift = Drift.from_reference(reference, SafeguardSettings())
    predictions = load(run[0]).predict([row["text"] for row in rows(60)])
    for text, prediction in zip(
        [row["text"] for row in rows(60)] * 3, predictions * 3, strict=True
    ):
        drift.observe([text], [prediction])
    alarms = {labels["of"]: value for name, labels, value in drift.figures() if "alarm" in name}
    assert alarms["unknown_words"] == alarms["labels"] == 0


def test_exports_carry_both(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _carry(cast("Any", SimpleNamespace(path=run[0])), tmp_path)
    assert read_choice(tmp_path, ALARM) == read_choice(run[0], ALARM)
    assert read_reference(tmp_path) == read_reference(run[0])


def test_a_label_that_no_row_has_is_said_before_training(tmp_path: Path) -> None:
    for labels, said in ((["vil"], "Did you mean 'vile'"), (["vile", "kind"], "all labels raise")):
        settings = load_settings(None, (), {**SMALL, "evaluate.alarm_labels": labels})
        with pytest.raises(SettingError, match=said):
            train(rows(), settings=settings, output_dir=tmp_path / "run")


def test_settings_that_do_nothing_are_refused() -> None:
    for given, said in (
        ({"task": "text2text", "evaluate.alarm_labels": ["a"]}, "only classification"),
        ({"evaluate.alarm_rate": 0.5}, "no labels raise an alarm"),
        ({"evaluate.alarm_labels": ["a"], "data.validation_share": 0}, "no rows to choose"),
    ):
        with pytest.raises(SettingError, match=said):
            load_settings(None, (), given)


def test_the_example_fits_such_rows() -> None:
    example = Path(__file__).parents[3] / "examples" / "toxicity.yaml"
    settings = load_settings(example)
    assert settings.evaluate.alarm_labels == ("toxic",)
    assert (settings.task, settings.data.input, settings.data.output) == (
        "classify", "text", "label",
    )  # fmt: skip


def test_a_damaged_choice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tinyforge").mkdir()
    (tmp_path / ALARM).write_text('{"labels": ["vile"]}')
    with pytest.raises(FolderError, match="no threshold"):
        read_choice(tmp_path, ALARM)
