"""What a person sees while a model trains."""

from __future__ import annotations

import pytest

from tinyforge.cli.progress import Progress, count, duration
from tinyforge.train.hooks import Estimate, Event, Outcome, Start, StepResult, Validation


class Clock:
    """A clock that moves when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def start(total: int = 100, first: int = 0, max_seconds: float | None = None) -> Start:
    return Start(
        first_step=first, total_steps=total, steps_per_epoch=50, max_seconds=max_seconds,
        elapsed=0.0, trainable_parameters=260_000, parameters=22_700_000, precision="float32",
        precision_reason="", device="cpu", speedups=(), settings={},
    )  # fmt: skip


def step(number: int, seconds: float = 0.5) -> StepResult:
    return StepResult(
        step=number, epoch=number / 50, loss=1.5, lr=2e-4, grad_norm=1.0, examples=32,
        tokens=500, units=32, seconds=seconds,
    )  # fmt: skip


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(terminal=False, clock=clock) as progress:
        progress.on_start(start())
        progress.on_preflight(Estimate(0.41, 172.0, 1_200_000_000, 260_000, 420))
        for number in range(1, 101):
            clock.now += 0.5
            progress.on_step(step(number))
        progress.on_validation(Validation(100, 2.0, {"loss": 0.53124, "accuracy": 0.9}, True))
        progress.on_event(Event(100, "note", "a note"))
        outcome = Outcome(
            steps=100, epochs=2.0, examples=3_200, tokens=50_000, seconds=50.0,
            stopped_because="early_stopping", best_by="loss", best_step=90, best_value=0.5,
            peak_memory=1, precision="float32", device="cpu", speedups=(),
        )  # fmt: skip
        progress.on_end(outcome)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == "training 260 thousand of 22.7 million weights in float32 on cpu"
    assert lines[1] == "about 2 min 52 s: 420 steps, 0.41 s each, 1.2 GB memory"
    assert lines[2] == "step 1/100 (1%): loss 1.5, rate 2.0e-04, 64 examples/s, 50 s left"
    assert lines[3] == "step 11/100 (11%): loss 1.5, rate 2.0e-04, 64 examples/s, 44 s left"
    assert [line for line in lines if line.startswith("step 100/100 ")]
    assert sum(line.startswith("step ") for line in lines) < 15
    assert "step 100: validation loss 0.5312, accuracy 0.9 (best so far)" in lines
    assert lines[-2] == "a note"
    assert lines[-1] == (
        "trained 100 steps in 50 s, 64 examples/s; stopped early, as validation no longer "
        "improved; best at step 90"
    )


def test_slow_steps_are_told_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = Progress(terminal=False, clock=clock)
    progress.on_start(start(total=1_000))
    for number in range(1, 41):
        clock.now += 1.0
        progress.on_step(step(number, seconds=1.0))
    told = [line.split("/")[0] for line in capsys.readouterr().err.splitlines()[1:]]
    assert told == ["step 1", "step 11", "step 21", "step 31"]


def test_a_time_limit_bounds_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(terminal=False, clock=Clock())
    progress.on_start(start(total=10_000, max_seconds=60))
    progress.on_step(step(1, seconds=10.0))
    assert "50 s left" in capsys.readouterr().err


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(terminal=True) as progress:
        progress.on_start(start(total=4, first=1))
        for number in (2, 3, 4):
            progress.on_step(step(number))
        progress.on_event(Event(4, "spike", "a loss spike"))
        progress.on_end(None)
    shown = capsys.readouterr().err
    assert "going on after step 1 of 4" in shown
    assert "1/4" in shown
    assert "loss 1.5" in shown
    assert "a loss spike\n" in shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (185, "3 min 5 s"), (1_234, "20 min"),
     (4_800, "1 h 20 min"), (-3, "0 s")],
)  # fmt: skip
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(12, "12"), (260_032, "260 thousand"), (22_713_728, "22.7 million"), (2 * 10**9, "2 billion")],
)
def test_counts(number: int, words: str) -> None:
    assert count(number) == words
