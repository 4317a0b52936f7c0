"""A pretraining run that stops anywhere and goes on ends with the same bytes, in each
architecture; so does one whose micro-batches have another size of row before and after."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from pretraining_fakes import ARCHITECTURES, FakeWindows, tiny
from training_fakes import Recorder, digest

from tinyforge.artifacts.run_folder import open_run
from tinyforge.config.train import TrainSettings
from tinyforge.corpus.batches import Stage, WindowBatches, first_windows
from tinyforge.inference.validation import loss_validation
from tinyforge.recipes.pretrain_samples import sample
from tinyforge.train.fit import fit

WINDOW, STEPS = 32, 12
STAGES = (Stage(0, WINDOW // 4, 1), Stage(3, WINDOW // 2, 2), Stage(6, WINDOW, 2))


def train(folder: Path, architecture: str, *, resume: bool = False, stop: int | None = None) -> Any:
    torch.set_num_threads(1)
    model, task = tiny(architecture, context=64)
    batches: Any = WindowBatches(
        FakeWindows(architecture, WINDOW), task, STAGES, window=WINDOW, micro_tokens=WINDOW,
        windows_per_epoch=5, seed=1,
    )  # fmt: skip
    held = first_windows(
        FakeWindows(architecture, WINDOW, seed=9), task, 2, window=WINDOW, micro_tokens=WINDOW
    )
    settings = TrainSettings(
        optimizer="muon", learning_rate=0.02, rest_learning_rate=0.004, schedule="wsd",
        max_steps=STEPS, validate_every=4, checkpoint_every=2, early_stopping=0, batch_size=2,
        precision="float32", seed=1,
    )  # fmt: skip

    def validate(learner: Any) -> dict[str, float | str]:
        texts = sample(learner, task, "the cat sat on a mat and looked", tokens=8, seed=1)
        return {**loss_validation(learner, task, held), **texts}

    listener = Recorder(raise_at=stop) if stop else Recorder()
    with open_run(folder, resume=resume) as run:
        fit(
            model, task, batches, settings, folder=run, evaluate=validate, resume=resume,
            identity={"corpus": "fake"}, listeners=[listener],
        )  # fmt: skip
    return model, listener


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_resumed_is_equal_to_uninterrupted(architecture: str, tmp_path: Path) -> None:
    model, heard = train(tmp_path / "whole", architecture)
    for stop in (5, 7):
        with pytest.raises(RuntimeError, match="power cut"):
            train(tmp_path / "cut", architecture, resume=stop > 5, stop=stop)
    resumed, _ = train(tmp_path / "cut", architecture, resume=True)
    assert digest(resumed) == digest(model)
    metrics = [
        hashlib.sha256((tmp_path / name / "tinyforge" / "metrics.jsonl").read_bytes()).hexdigest()
        for name in ("whole", "cut")
    ]
    assert metrics[0] == metrics[1]
    assert all(validation.texts["text"] for validation in heard.validations)
    assert b'"texts"' in (tmp_path / "whole" / "tinyforge" / "metrics.jsonl").read_bytes()
    losses = [validation.values["loss"] for validation in heard.validations]
    assert losses[-1] < losses[0], "it learns"
