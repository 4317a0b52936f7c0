"""What it takes to let a model answer: its size, its time and its memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from tinyforge.artifacts.export_folder import is_export
from tinyforge.models.folder import TOKENIZER_FILES, weight_files
from tinyforge.records.examples import Example
from tinyforge.train.memory import peak_memory, reset_peak

WARM_UP = 3
SINGLE_ROWS = 100
SINGLE_SECONDS = 5.0
BATCH_ROWS = 64
BATCH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a model answers, after a warm-up.

    Attributes:
        median, p95: seconds for one row asked alone; 95 % of rows take no longer than ``p95``.
        singles: how many rows were asked alone.
        rows_per_second: of many rows asked together.
        batched: how many rows were asked together, in batches of at most ``BATCH_ROWS``.
    """

    median: float
    p95: float
    singles: int
    rows_per_second: float
    batched: int


@dataclass(frozen=True, slots=True)
class Cost:
    """A model's size, time and memory.

    Attributes:
        disk_bytes: weights, tokenizer and configuration; None for a model that is on no disk.
        peak_memory: bytes that loading the model and answering took at most, without what the
            process held before; on a GPU, of its memory.
        device: ``cpu`` or ``cuda``. threads: threads that computed.
    """

    parameters: int
    disk_bytes: int | None
    speed: Speed
    peak_memory: int
    device: str
    threads: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measure_speed(
    answer: Callable[[Sequence[Example]], Any],
    rows: Sequence[Example],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Ask single rows, then batches, from all over the rows; a few seconds for each.

    Args:
        answer: ``predict_examples`` of a predictor, or what else is to be timed.
        rows: at least one.
    """
    places = np.linspace(0, len(rows) - 1, min(len(rows), SINGLE_ROWS)).astype(int)
    for place in places[:WARM_UP]:
        answer([rows[int(place)]])
    singles: list[float] = []
    began = clock()
    for place in places:
        started = clock()
        answer([rows[int(place)]])
        singles.append(clock() - started)
        if clock() - began > SINGLE_SECONDS:
            break
    batched, began = 0, clock()
    for start in range(0, len(rows), BATCH_ROWS):
        batch = [rows[i] for i in range(start, min(start + BATCH_ROWS, len(rows)))]
        answer(batch)
        batched += len(batch)
        if clock() - began > BATCH_SECONDS:
            break
    spent = max(clock() - began, 1e-9)
    return Speed(
        median=float(np.median(singles)),
        p95=float(np.quantile(singles, 0.95, method="higher")),
        singles=len(singles),
        rows_per_second=batched / spent,
        batched=batched,
    )


def disk_bytes(folder: Path | None) -> int | None:
    """Bytes of what is needed to load the model; None where it is on no disk."""
    if folder is None:
        return None
    weights = [*folder.glob("*.onnx*")] if is_export(folder) else weight_files(folder)
    files = {*weights, *folder.glob("*.json"), *folder.glob("*.jinja")}
    files |= {folder / name for name in TOKENIZER_FILES}
    return sum(file.stat().st_size for file in files if file.is_file())


class MemoryMeter:
    """Measures from its making on: make it before the model is loaded."""

    def __init__(self) -> None:
        _give_back()
        self._before = 0 if torch.cuda.is_available() else int(psutil.Process().memory_info().rss)
        reset_peak()

    def peak(self) -> int:
        """Bytes at the peak, without what was held before."""
        return max(peak_memory() - self._before, 0)


def _give_back() -> None:
    """Free memory goes back to the system, so that what comes next is seen to take it anew."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc
