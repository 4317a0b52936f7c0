"""When to validate, which weights win, and when to give up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training_fakes import Recorder, digest, tiny_model, train, validation_loss

from tinyforge.errors import SettingError, TinyForgeError


class Scripted:
    """Validation values from a list; keeps the digests of the models it saw."""

    def __init__(self, name: str, values: list[float]) -> None:
        self.name, self.values, self.seen = name, values, []  # type: ignore[var-annotated]

    def __call__(self, model: Any) -> dict[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        self.seen.append(digest(model))
        return {self.name: self.values[len(self.seen) - 1]}


@pytest.mark.parametrize(
    ("name", "values"), [("loss", [3.0, 1.0, 2.0, 2.5]), ("accuracy", [0.1, 0.9, 0.5, 0.9])]
)
def test_the_best_weights_win(tmp_path: Path, name: str, values: list[float]) -> None:
    scripted = Scripted(name, values)
    model, outcome = train(tmp_path, evaluate=scripted, best_by=name)
    assert (outcome.best_step, outcome.best_value) == (16, values[1])
    assert digest(model) == scripted.seen[1]
    assert not model.training
    assert [row["step"] for row in outcome.history["validation"]] == [8, 16, 24, 32]


def test_patience_ends_training(tmp_path: Path) -> None:
    scripted = Scripted("loss", [3.0, 1.0, 2.0, 2.0, 0.0])
    _, outcome = train(tmp_path, evaluate=scripted, early_stopping=2, epochs=10.0)
    assert (outcome.steps, outcome.stopped_because) == (32, "early_stopping")
    assert outcome.best_step == 16


def test_a_falling_loss_keeps_patience_with_a_resting_accuracy(tmp_path: Path) -> None:
    losses = iter([3.0, 2.0, 1.0, 0.5, 0.6, 0.7, 0.4])

    def evaluate(model: Any) -> dict[str, float]:
        return {"accuracy": 0.5, "loss": next(losses)}

    _, outcome = train(
        tmp_path, evaluate=evaluate, best_by="accuracy", early_stopping=2, epochs=10.0
    )
    assert (outcome.steps, outcome.stopped_because) == (48, "early_stopping")
    assert outcome.best_step == 8


def test_patience_0_is_never(tmp_path: Path) -> None:
    scripted = Scripted("loss", [float(i) for i in range(10)])
    _, outcome = train(tmp_path, evaluate=scripted, early_stopping=0, epochs=10.0)
    assert (outcome.steps, outcome.best_step) == (80, 8)


def test_the_last_step_is_validated_also_off_schedule(tmp_path: Path) -> None:
    listener = Recorder()
    train(tmp_path, listener=listener, max_steps=11)
    assert [validation.step for validation in listener.validations] == [8, 11]


def test_not_a_number_is_never_better(tmp_path: Path) -> None:
    nan = float("nan")
    _, outcome = train(tmp_path, evaluate=Scripted("loss", [nan, 2.0, nan, 3.0]))
    assert outcome.best_step == 16


def test_an_unknown_name_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"train\.best_by.*acuracy.*'accuracy'"):
        train(tmp_path, best_by="acuracy")


def test_validation_does_not_change_what_is_learnt(tmp_path: Path) -> None:
    def noisy(model: Any) -> dict[str, float]:
        torch.rand(17)
        return validation_loss(model)

    listener, other = Recorder(), Recorder()
    train(tmp_path / "a", model=tiny_model(0.5), evaluate=noisy, listener=listener)
    train(tmp_path / "b", model=tiny_model(0.5), evaluate=None, listener=other)
    assert [s.loss for s in listener.steps] == [s.loss for s in other.steps]


def test_no_memory_for_validation_is_one_line(tmp_path: Path) -> None:
    def hungry(model: Any) -> dict[str, float]:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(TinyForgeError, match="not enough memory to score the validation rows"):
        train(tmp_path, evaluate=hungry)
