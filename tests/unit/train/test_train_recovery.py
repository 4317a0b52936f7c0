"""Bad losses, bad gradients, no memory: what training does about them."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from training_fakes import Recorder, TinyBatches, TinyTask, digest, tiny_model, train

from tinyforge.artifacts.checkpoint import latest_good, read_state
from tinyforge.errors import Interrupted, TinyForgeError
from tinyforge.train.progress import Progress
from tinyforge.train.recovery import (
    Diverged,
    Trouble,
    examine,
    is_out_of_memory,
    note_loss,
)


def at(*calls: int, times: float = math.nan) -> Any:
    """A fault at some calls of the loss; two calls are one step."""
    return lambda call, ids: times if call in calls else None


def metrics(path: Path) -> list[dict[str, Any]]:
    lines = (path / "tinyforge" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("times", [math.nan, math.inf])
def test_a_loss_that_is_no_number_goes_back(tmp_path: Path, times: float) -> None:
    listener = Recorder()
    fault = at(2 * 25 + 1, times=times)  # step 26; the last good state is that of step 24
    model, outcome = train(tmp_path, task=TinyTask(fault), listener=listener)
    [event] = listener.events
    assert (event.step, event.kind) == (26, "not finite")
    assert "went back to step 24 with 0.5 of the learning rate" in event.message
    assert outcome.events == [event.message]
    steps = [result.step for result in listener.steps]
    assert steps == [*range(1, 26), *range(25, 33)]
    assert listener.steps[25].lr == listener.steps[24].lr / 2
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
    assert [line["message"] for line in metrics(tmp_path) if "event" in line] == [event.message]
    points = outcome.history["train"]
    assert [point["step"] for point in points] == list(range(1, 33))


def test_a_bad_gradient_goes_back(tmp_path: Path) -> None:
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, loss: torch.Tensor) -> torch.Tensor:
            return loss.clone()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            return gradient * math.nan

    class Task(TinyTask):
        def loss(self, model: Any, batch: Any, **options: Any) -> torch.Tensor:
            loss = super().loss(model, batch, **options)
            return Broken.apply(loss) if self.calls == 21 else loss

    listener = Recorder()
    train(tmp_path, task=Task(), listener=listener)
    [event] = listener.events
    assert event.message.startswith("the gradient of step 11 is not finite; went back to step 10")


def test_the_first_step_has_a_state_to_go_back_to(tmp_path: Path) -> None:
    listener = Recorder()
    _, outcome = train(tmp_path, task=TinyTask(at(1)), listener=listener)
    assert listener.events[0].message.endswith("went back to step 0 with 0.5 of the learning rate")
    assert outcome.steps == 32


def test_a_spike_goes_back_once_for_a_batch(tmp_path: Path) -> None:
    batch = TinyBatches().step(28)[0].tensors["input_ids"]

    def odd(call: int, ids: torch.Tensor) -> float | None:  # these rows are odd each time
        return 100.0 if torch.equal(ids, batch) else None

    listener = Recorder()
    _, outcome = train(tmp_path, task=TinyTask(odd), listener=listener)
    assert [(event.kind, event.step) for event in listener.events] == [("spike", 29)]
    assert outcome.steps == 32


def test_three_returns_are_enough(tmp_path: Path) -> None:
    def bad(call: int, ids: Any) -> float | None:
        return math.nan if call > 2 * 20 else None

    listener = Recorder()
    with pytest.raises(Diverged, match=r"train\.learning_rate.*after 3 returns.*Lower it") as error:
        train(tmp_path, task=TinyTask(bad), listener=listener, learning_rate=0.25)
    assert error.value.exit_code == 3
    assert [event.kind for event in listener.events] == ["not finite"] * 4
    assert listener.ended == [None]
    good = latest_good(tmp_path / "tinyforge" / "checkpoints")
    assert good is not None
    assert read_state(good)["progress"]["step"] == 20
    assert str(good.parent) in str(error.value)


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("stop_at", [23, 24, 26, 27, 30])
def test_recovery_is_the_same_after_a_resume(tmp_path: Path, stop_at: int) -> None:
    """Trouble at step 28, in a run that a signal stopped shortly before or after."""
    rows = TinyBatches().step(27)[0].tensors["input_ids"]

    class Task(TinyTask):
        """Step 28 is bad at the full learning rate only, as real trouble is."""

        def loss(self, model: Any, batch: Any, **options: Any) -> torch.Tensor:
            loss = super().loss(model, batch, **options)
            bad = torch.equal(batch["input_ids"], rows) and Task.full
            return loss * math.nan if bad else loss

    class Watch(Recorder):
        stop_at = 0

        def on_step(self, result: Any) -> None:
            if result.step == self.stop_at:
                os.kill(os.getpid(), signal.SIGTERM)

        def on_event(self, event: Any) -> None:
            if event.kind == "not finite":
                Task.full = False

    Task.full = True
    whole, outcome = train(tmp_path / "whole", task=Task(), listener=Watch())
    assert "went back to step 24" in outcome.events[0]

    Task.full = True
    Watch.stop_at = stop_at
    with pytest.raises(Interrupted, match=f"after step {stop_at}"):
        train(tmp_path / "cut", task=Task(), listener=Watch())
    Watch.stop_at = 0
    resumed, again = train(tmp_path / "cut", task=Task(), listener=Watch(), resume=True)
    assert digest(resumed) == digest(whole)
    assert again.events == outcome.events
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")


OUT_OF_MEMORY = [
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_no_memory_halves_the_micro_batches(tmp_path: Path, error: Exception) -> None:
    def fault(call: int, ids: Any) -> None:
        if len(ids) > 2 and call > 10:
            raise error

    listener, whole = Recorder(), Recorder()
    model = tiny_model(dropout=0.0)
    train(
        tmp_path / "a", model=model, task=TinyTask(fault), listener=listener,
        batches=TinyBatches(micro=8),
    )  # fmt: skip
    assert [(event.kind, event.step) for event in listener.events] == [("out of memory", 10)] * 2
    assert [result.step for result in listener.steps] == list(range(1, 33))
    train(
        tmp_path / "b", model=tiny_model(dropout=0.0), listener=whole,
        batches=TinyBatches(micro=8),
    )  # fmt: skip
    assert [s.loss for s in listener.steps] == pytest.approx(
        [s.loss for s in whole.steps], rel=1e-4
    )


def test_a_resumed_run_keeps_the_smaller_micro_batches(tmp_path: Path) -> None:
    def fault(call: int, ids: Any) -> None:
        if len(ids) > 2:
            raise MemoryError

    with pytest.raises(RuntimeError):
        train(tmp_path / "a", task=TinyTask(fault), listener=Recorder(raise_at=20))
    listener = Recorder()
    model, _ = train(tmp_path / "a", task=TinyTask(fault), listener=listener, resume=True)
    assert [event.kind for event in listener.events] == ["resumed"]
    whole, _ = train(tmp_path / "b", task=TinyTask(fault))
    assert digest(model) == digest(whole)


def test_no_memory_for_a_single_row_is_one_line(tmp_path: Path) -> None:
    def fault(call: int, ids: Any) -> None:
        raise MemoryError

    with pytest.raises(TinyForgeError, match=r"not enough memory for a single row.*--lora"):
        train(tmp_path, task=TinyTask(fault))


def test_other_errors_are_not_swallowed(tmp_path: Path) -> None:
    def fault(call: int, ids: Any) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(tmp_path, task=TinyTask(fault))


def seen(*losses: float) -> Progress:
    progress = Progress()
    for loss in losses:
        note_loss(progress, loss)
    return progress


def test_what_counts_as_a_spike() -> None:
    options: dict[str, Any] = {"examples": 32, "spike_factor": 5.0}
    progress = seen(*[2.0] * 40)
    examine(progress, 9.0, 1.0, **options)
    with pytest.raises(Trouble, match=r"the loss of step 1 is 11, its running mean 2"):
        examine(progress, 11.0, 1.0, **options)


def test_the_first_losses_are_not_watched() -> None:
    examine(seen(*[2.0] * 10), 100.0, 1.0, examples=32, spike_factor=5.0)


def test_one_mislabelled_row_late_in_training_is_no_spike() -> None:
    progress = seen(*[0.7] * 20, *[0.01] * 400)
    assert progress.mean_loss == pytest.approx(0.01, abs=0.005)
    for examples in (1, 8, 32):
        examine(progress, 12.0 / examples, 1.0, examples=examples, spike_factor=5.0)
    with pytest.raises(Trouble):
        examine(progress, 3.0, 1.0, examples=32, spike_factor=5.0)


def test_batches_that_swing_from_the_start_are_no_spikes() -> None:
    """Batches of like length, each with one label, where length tells the label."""
    progress = seen(*[0.1, 0.1, 0.1, 3.5] * 5, *[0.02] * 200)
    examine(progress, 3.8, 1.0, examples=32, spike_factor=5.0)
    with pytest.raises(Trouble):
        examine(progress, 8.0, 1.0, examples=32, spike_factor=5.0)


def test_out_of_memory_is_told_from_other_errors() -> None:
    assert all(is_out_of_memory(error) for error in OUT_OF_MEMORY)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
