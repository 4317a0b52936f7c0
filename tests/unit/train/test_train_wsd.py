"""Warm-up, stable, decay; and texts that a validation brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from training_fakes import Recorder, settings, train, validation_loss

from tinyforge.cli.progress import Progress
from tinyforge.config.check import check_settings
from tinyforge.config.settings import Settings
from tinyforge.config.train import TrainSettings
from tinyforge.errors import SettingError
from tinyforge.train.hooks import Validation
from tinyforge.train.schedules import WarmupStableDecay, schedule_of


def test_it_rises_stays_and_falls() -> None:
    schedule = schedule_of(settings(schedule="wsd", warmup_share=0.1, decay_share=0.4))
    assert schedule == WarmupStableDecay(0.1, 0.4)
    assert schedule.share(0.0, 0.01) == pytest.approx(0.1)
    assert schedule.share(0.1, 0.01) == schedule.share(0.59, 0.01) == 1.0
    assert schedule.share(0.7, 0.01) == pytest.approx(1 - 0.25**0.5)
    assert schedule.share(1.0, 0.01) == 0.0
    falling = [schedule.share(0.6 + step / 100, 0.01) for step in range(41)]
    assert falling == sorted(falling, reverse=True)


def test_a_decay_without_the_schedule_has_no_effect() -> None:
    given = Settings(train=TrainSettings(decay_share=0.2))
    with pytest.raises(SettingError, match="only the schedule wsd"):
        check_settings(given)
    check_settings(Settings(train=TrainSettings(decay_share=0.2, schedule="wsd")))


def test_texts_of_a_validation_are_kept_and_judged_by_nobody(tmp_path: Path) -> None:
    def evaluate(model: Any) -> dict[str, float | str]:
        return {**validation_loss(model), "text": "it wrote this"}

    heard = Recorder()
    train(tmp_path / "run", evaluate=evaluate, listener=heard)
    assert {validation.texts["text"] for validation in heard.validations} == {"it wrote this"}
    assert all("text" not in validation.values for validation in heard.validations)
    lines = (tmp_path / "run" / "tinyforge" / "metrics.jsonl").read_bytes().splitlines()
    kept = [record["texts"] for record in map(orjson.loads, lines) if "texts" in record]
    assert kept == [{"text": "it wrote this"}] * len(heard.validations)


def test_progress_shows_texts(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(terminal=False).on_validation(
        Validation(7, 1.0, {"loss": 2.0}, True, {"text": "a\nb"})
    )
    assert "text: a b" in capsys.readouterr().err
