"""The Python verbs and the tutorials' classes: keywords become settings."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import tinyforge
from tinyforge.config.settings import Settings
from tinyforge.errors import FolderError, SettingError

Seen = dict[str, Any]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What the recipe for training was called with."""
    calls: Seen = {}

    def recipe(data: Any, **more: Any) -> Any:
        calls.update(more, data=data)
        return SimpleNamespace(summary=lambda: "the verdict", verdict="better")

    module = ModuleType("tinyforge.recipes.train")
    vars(module)["train"] = recipe
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def settings_of(seen: Seen) -> Settings:
    settings = seen["settings"]
    assert isinstance(settings, Settings)
    return settings


def test_train_maps_keywords(
    seen: Seen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("model: {name: from-file}\ntrain: {epochs: 9, seed: 9, clip_norm: 9}")
    tinyforge.train(
        "rows.jsonl", output_dir="out", config=config, epochs=3, lora=True,
        settings={"train.seed": 5, "train": {"epochs": 4}}, **{"train.batch_size": 8},
    )  # fmt: skip
    settings = settings_of(seen)
    assert settings.model.name == "from-file"
    assert (settings.train.epochs, settings.train.seed, settings.train.clip_norm) == (3, 5, 9)
    assert (settings.lora.enabled, settings.train.batch_size) == (True, 8)
    assert (seen["data"], seen["output_dir"]) == ("rows.jsonl", Path("out"))
    assert capsys.readouterr() == ("", "")


def test_train_takes_the_model_by_position(seen: Seen) -> None:
    tinyforge.train(
        [{"text": "a", "label": "b"}], "scratch:bert-tiny", output_dir="out", force=True
    )
    assert settings_of(seen).model.name == "scratch:bert-tiny"
    assert seen["force"] is True


def test_unknown_keywords_name_the_nearest() -> None:
    with pytest.raises(SettingError, match=r"Did you mean 'train\.epochs'"):
        tinyforge.train("rows.jsonl", output_dir="out", epoch=3)
    with pytest.raises(SettingError, match=r"Did you mean 'train\.learning_rate'"):
        tinyforge.TrainingConfig(learning_rat=3)


def test_the_tutorials_words(seen: Seen, capsys: pytest.CaptureFixture[str]) -> None:
    from backend.training.real_trainer import RealTrainer, TrainingConfig

    assert RealTrainer is tinyforge.Trainer
    config = TrainingConfig(
        model_name="distilbert-base-uncased", output_dir="./my-first-model", num_epochs=3,
        batch_size=8, learning_rate=2e-5, max_length=64, use_lora=True, lora_r=4, task="classify",
    )  # fmt: skip
    assert config.model_name == "distilbert-base-uncased"
    assert config.num_epochs == 3
    assert "train.learning_rate=2e-05" in repr(config)
    run = RealTrainer(config).train("my_data.jsonl")
    settings = settings_of(seen)
    assert settings.model.name == "distilbert-base-uncased"
    assert (settings.train.epochs, settings.train.batch_size) == (3, 8)
    assert (settings.train.learning_rate, settings.data.max_length) == (2e-5, 64)
    assert (settings.lora.enabled, settings.lora.r, settings.task) == (True, 4, "classify")
    assert seen["output_dir"] == Path("my-first-model")
    assert seen["listeners"], "a bar is shown"
    assert capsys.readouterr().out == "the verdict\n"
    assert run.verdict == "better"


@pytest.mark.parametrize("words", [{"epochs": 2, "use_peft": True}, {"num_train_epochs": 2}])
def test_synonyms(words: dict[str, Any], seen: Seen) -> None:
    tinyforge.Trainer(tinyforge.TrainingConfig(**words)).train("rows.jsonl")
    assert settings_of(seen).train.epochs == 2
    assert settings_of(seen).lora.enabled is ("use_peft" in words)


def test_asking_before_training(tmp_path: Path) -> None:
    trainer = tinyforge.Trainer(tinyforge.TrainingConfig(output_dir=tmp_path / "none"))
    with pytest.raises(FolderError, match="no trained model is here yet"):
        trainer.predict("hello")
    with pytest.raises(FolderError, match="no trained model is here yet"):
        trainer.evaluate("rows.jsonl")
