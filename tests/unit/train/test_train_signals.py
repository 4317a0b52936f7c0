"""Signals stop a run soon, with all saved; the second one at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import training_fakes
from training_fakes import Recorder, TinyTask, digest, train, validation_loss

from tinyforge.artifacts.checkpoint import all_checkpoints
from tinyforge.errors import Interrupted
from tinyforge.train.signals import Signals, Stopped

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


@pytest.fixture(autouse=True)
def default_hang_up() -> Iterator[None]:
    """As in a terminal: under nohup, which training respects, the signal would be ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class SignalAt(Recorder):
    """Sends this process a signal after a step."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.step, self.number = step, number

    def on_step(self, result: Any) -> None:
        super().on_step(result)
        if result.step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("step", [3, 8])
def test_a_signal_saves_and_resume_is_exact(tmp_path: Path, number: int, step: int) -> None:
    before = [signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM)]
    listener = SignalAt(step, number)
    with pytest.raises(Interrupted, match=f"after step {step} of 32.*--resume") as error:
        train(tmp_path / "cut", listener=listener)
    assert error.value.exit_code == 128 + number
    assert [event.kind for event in listener.events] == ["stopped"]
    assert listener.ended == [None]
    saved = [path.name for path in all_checkpoints(tmp_path / "cut/tinyforge/checkpoints")]
    assert saved[-1] == f"step-{step:08d}"
    assert [signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM)] == before

    resumed, _ = train(tmp_path / "cut", resume=True)
    whole, _ = train(tmp_path / "whole")
    assert digest(resumed) == digest(whole)
    metrics = [(tmp_path / n / "tinyforge/metrics.jsonl").read_bytes() for n in ("cut", "whole")]
    assert metrics[0] == metrics[1]


def test_a_signal_breaks_off_a_step(tmp_path: Path) -> None:
    def fault(call: int, ids: Any) -> None:
        if call == 12:  # in the middle of step 6
            os.kill(os.getpid(), signal.SIGTERM)

    task = TinyTask(fault)
    with pytest.raises(Interrupted, match="after step 5 of 32"):
        train(tmp_path / "cut", task=task)
    assert task.calls == 12
    resumed, _ = train(tmp_path / "cut", resume=True)
    assert digest(resumed) == digest(train(tmp_path / "whole")[0])


def test_a_signal_breaks_off_a_validation(tmp_path: Path) -> None:
    def evaluate(model: Any) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("not reached")

    with pytest.raises(Interrupted, match="after step 8 of 32"):
        train(tmp_path / "cut", evaluate=evaluate)
    listener = Recorder()
    resumed, _ = train(tmp_path / "cut", resume=True, listener=listener)
    assert [validation.step for validation in listener.validations] == [8, 16, 24, 32]
    assert digest(resumed) == digest(train(tmp_path / "whole")[0])


def test_a_signal_breaks_off_the_preflight(tmp_path: Path) -> None:
    calls = []

    def fault(call: int, ids: Any) -> None:
        calls.append(call)
        if call == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="after step 0 of 32"):
        train(tmp_path / "cut", task=TinyTask(fault), preflight=True)
    assert len(calls) == 3
    resumed, _ = train(tmp_path / "cut", resume=True)
    assert digest(resumed) == digest(train(tmp_path / "whole")[0])


def test_a_signal_at_the_very_end_is_not_lost(tmp_path: Path) -> None:
    def evaluate(model: Any) -> dict[str, float]:
        values = validation_loss(model)
        if len(seen := evaluate.__dict__.setdefault("seen", [])) == 3:
            threading.Timer(0.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
            time.sleep(0.2)
        seen.append(1)
        return values

    with pytest.raises(Interrupted):
        train(tmp_path, evaluate=evaluate)


def test_in_another_thread_there_are_no_handlers(tmp_path: Path) -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(train(tmp_path)[1].steps))
    thread.start()
    thread.join()
    assert found == [32]


def test_a_signal_while_weights_change_waits() -> None:
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
        with pytest.raises(Stopped), signals.interruptible():
            raise AssertionError("not reached")


def test_the_second_interrupt_is_immediate() -> None:
    with Signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_backward_pass_can_be_broken_off() -> None:
    """One call into C++, and yet a signal gets in: the weights have hooks."""
    from tinyforge.train.fit import _interruptible_backward

    layers = 40
    model = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(layers)])
    reached: list[int] = []

    def kill(index: int) -> Any:
        def hook(_: Any) -> None:
            reached.append(index)
            if len(reached) == 3:
                os.kill(os.getpid(), signal.SIGTERM)

        return hook

    for index, layer in enumerate(model):
        layer.weight.register_hook(kill(index))
    training: Any = type("T", (), {})()
    training.optimizer = type("O", (), {"parameters": dict(model.named_parameters())})()
    total = model(torch.ones(1, 4)).sum()
    with Signals() as signals, _interruptible_backward(training):
        with pytest.raises(Stopped), signals.interruptible():
            total.backward()
        assert signals.received == signal.SIGTERM
    assert len(reached) < layers


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, training_fakes.__file__, str(folder), *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "training\n", process.communicate()[1]
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_ends_with_the_signals_exit_code(tmp_path: Path, number: int) -> None:
    process = start(tmp_path / "run", "--set", "epochs=100000")
    started = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - started < 10
    assert process.returncode == 128 + number
    [line] = errors.splitlines()
    assert line.endswith("Go on with the same command and --resume")
