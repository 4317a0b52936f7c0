"""What is decided between the rows and the first step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinyforge.config.load import load_settings
from tinyforge.errors import SettingError
from tinyforge.models.heads import label_layer
from tinyforge.recipes.setup import _evenly, set_up

SMALL = {
    "model.name": "scratch:bert-tiny",
    "model.shape": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
}
ROWS = [
    {"text": f"row number {i} says something of its own {i * 7919}", "label": "ab"[i % 4 == 0]}
    for i in range(80)
]


def test_validation_rows_come_from_all_over_the_file() -> None:
    rows = np.arange(100, 1100)
    assert _evenly(rows, 5).tolist() == [100, 349, 599, 849, 1099]
    assert _evenly(rows[:3], 5).tolist() == [100, 101, 102]
    assert _evenly(rows[:0], 5).tolist() == []


def test_a_classifier_begins_with_the_labels_shares(tmp_path: Path) -> None:
    setup = set_up(ROWS, load_settings(None, (), SMALL), work=tmp_path, rejected=None)
    counts = setup.dataset.report.labels["train"]
    said = label_layer(setup.loaded.model).bias.detach().softmax(-1)
    expected = [counts[label] / len(setup.dataset.train) for label in setup.dataset.labels]
    assert said.tolist() == pytest.approx(expected, abs=1e-5)


def test_what_the_model_must_know_later_is_told_to_the_task(tmp_path: Path) -> None:
    setup = set_up(ROWS, load_settings(None, (), SMALL), work=tmp_path, rejected=None)
    assert setup.task.state()["max_length"] == setup.lengths.max_length
    assert setup.settings.train.learning_rate is not None
    assert any(reason.startswith("task classify: ") for reason in setup.reasons)


def test_a_setting_without_effect_on_this_task_is_refused(tmp_path: Path) -> None:
    settings = load_settings(None, (), {**SMALL, "data.system": "be brief"})
    with pytest.raises(SettingError, match=r"data\.system: has no effect"):
        set_up(ROWS, settings, work=tmp_path, rejected=None)
