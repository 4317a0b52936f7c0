"""Trackers are told of steps and validations; a missing one is named."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
from training_fakes import Recorder, train

from tinyforge.errors import MissingPackageError
from tinyforge.train.hooks import Event, Listener, StepResult
from tinyforge.train.journal import POINTS, history


def test_a_missing_package_is_named_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"'wandb'.*pip install 'tinyforge\[tracking\]'"):
        train(tmp_path / "run", trackers=("wandb",))
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_losses_and_validations(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path, trackers=("tensorboard",), max_steps=9)
    events = EventAccumulator(str(tmp_path / "tinyforge" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 10))
    assert [event.step for event in events.Scalars("validation/accuracy")] == [8, 9]


def fake(monkeypatch: pytest.MonkeyPatch, name: str, calls: list[Any]) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = __import__("importlib").machinery.ModuleSpec(name, None)

    def record(word: str, result: Any = None) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            calls.append((word, arguments, named))
            return result

        return call

    run = type("Run", (), {"log": staticmethod(record("log")),
                           "finish": staticmethod(record("finish"))})()  # fmt: skip
    for word in ("start_run", "log_params", "log_metrics", "end_run"):
        setattr(module, word, record(word))
    module.init = record("init", run)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    return module


@pytest.mark.parametrize(
    ("name", "words"),
    [("wandb", ("init", "log", "finish")), ("mlflow", ("start_run", "log_metrics", "end_run"))],
)
def test_other_trackers_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: tuple[str, ...]
) -> None:
    calls: list[Any] = []
    fake(monkeypatch, name, calls)
    train(tmp_path / "a", trackers=(name,), max_steps=9)
    assert [calls[0][0], calls[-1][0]] == [words[0], words[2]]
    logged = [call for call in calls if call[0] == words[1]]
    assert len(logged) == 9 + 2
    assert [call[2]["step"] for call in logged] == [*range(1, 9), 8, 9, 9]
    assert "train/loss" in logged[0][1][0]

    calls.clear()
    with pytest.raises(RuntimeError):
        train(tmp_path / "b", trackers=(name,), listener=Recorder(raise_at=3))
    assert calls[-1][2] in ({"exit_code": 1}, {"status": "FAILED"})


def test_metrics_hold_nothing_that_a_clock_said(tmp_path: Path) -> None:
    train(tmp_path, max_steps=9)
    lines = (tmp_path / "tinyforge" / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert list(records[0]) == ["step", "epoch", "loss", "lr", "grad_norm", "examples", "tokens"]
    assert list(records[8]) == ["step", "epoch", "validation", "best"]
    timings = (tmp_path / "tinyforge" / "timings.jsonl").read_text().splitlines()
    assert len(timings) == 9
    assert list(json.loads(timings[0])) == [
        "step", "seconds", "examples_per_second", "tokens_per_second",
    ]  # fmt: skip


def test_a_long_history_is_thinned_to_means(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    lines = [orjson.dumps({"step": step, "loss": float(step)}) for step in range(1, 2001)]
    file.write_bytes(b"\n".join([*lines, b"not json", b'{"step": 7, "loss": null}']))
    train_points = history(file)["train"]
    assert len(train_points) == POINTS
    assert train_points[0] == {"step": 4, "loss": 2.5}
    assert train_points[-1]["step"] == 2000


def test_a_listener_overrides_what_it_cares_for(tmp_path: Path) -> None:
    class Mine(Listener):
        def __init__(self) -> None:
            self.losses: list[float] = []

        def on_step(self, result: StepResult) -> None:
            self.losses.append(result.loss)

    mine = Mine()
    train(tmp_path, listener=mine, max_steps=3)
    assert len(mine.losses) == 3
    assert mine.on_event(Event(1, "note", "")) is None  # type: ignore[func-returns-value]
