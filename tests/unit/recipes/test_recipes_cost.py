"""Time, size and memory of a model that answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tinyforge.recipes.cost import BATCH_ROWS, MemoryMeter, disk_bytes, measure_speed
from tinyforge.records.examples import Example

ROWS = [Example(f"row {i}", "a") for i in range(150)]


class Slow:
    """Takes 10 ms a call and 1 ms a row, by a clock of its own; the fifth single row 1 s."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[int] = []

    def clock(self) -> float:
        return self.now

    def answer(self, examples: Sequence[Example]) -> None:
        self.calls.append(len(examples))
        self.now += 1.0 if len(self.calls) == 8 else 0.01 + 0.001 * len(examples)


def test_single_rows_and_batches_are_timed_after_a_warm_up() -> None:
    slow = Slow()
    speed = measure_speed(slow.answer, ROWS, clock=slow.clock)
    assert speed.median == pytest.approx(0.011)
    assert speed.p95 == pytest.approx(0.011)
    assert speed.singles == 100
    assert slow.calls[:103] == [1] * 103  # three to warm up
    assert slow.calls[103:] == [BATCH_ROWS, BATCH_ROWS, 150 - 2 * BATCH_ROWS]
    assert (speed.batched, speed.rows_per_second) == (150, pytest.approx(150 / 0.18))


def test_a_slow_model_is_not_asked_for_long() -> None:
    slow = Slow()
    speed = measure_speed(
        lambda rows: [slow.answer(rows) for _ in range(200)], ROWS, clock=slow.clock
    )
    assert speed.singles < 10
    assert speed.batched == BATCH_ROWS
    assert measure_speed(slow.answer, ROWS[:1], clock=slow.clock).batched == 1


def test_size_on_disk_counts_what_is_loaded(tmp_path: Path) -> None:
    assert disk_bytes(None) is None
    for name, size in {
        "model.safetensors": 1000, "config.json": 20, "tokenizer.json": 300, "README.md": 5000,
        "training_log.txt": 7000,
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "tinyforge").mkdir()
    (tmp_path / "tinyforge" / "report.json").write_bytes(b"x" * 9000)
    assert disk_bytes(tmp_path) == 1320


def test_memory_that_was_held_before_does_not_count() -> None:
    before = b"x" * 60_000_000
    meter = MemoryMeter()
    held = bytearray(40_000_000)
    assert len(before) > len(held)
    assert 30_000_000 < meter.peak() < 80_000_000
