"""How fast this machine reads and copies memory: what one-stream decoding is bounded by.

Run as a program with a JSON file's path, it writes bytes a second: ``read`` (the fastest of three
operations that read a large array once) and ``copy`` (bytes read and written).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.speed.harness import read_spec, write_json

ROWS, COLUMNS = 32_768, 4_096
"""Of the array: 512 MiB in float32, many times what a cache holds."""

TIMES = 7


def read_rate(array: torch.Tensor) -> float:
    """Bytes a second of the fastest way to read an array once."""
    vector = torch.ones(array.shape[1])
    ways: list[Callable[[], object]] = [
        lambda: torch.mv(array, vector),
        lambda: array.sum(),
        lambda: array.amax(),
    ]
    return array.nbytes / min(_seconds(way) for way in ways)


def copy_rate(array: torch.Tensor) -> float:
    """Bytes a second read and written when an array is copied."""
    target = torch.empty_like(array)
    return 2 * array.nbytes / _seconds(lambda: target.copy_(array))


def _seconds(work: Callable[[], object]) -> float:
    """The least of several, the first left out."""
    found = []
    for _ in range(TIMES + 1):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found[1:])


def main() -> None:
    """Measure."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    array = torch.ones(ROWS, COLUMNS)
    rates = {"read": read_rate(array), "copy": copy_rate(array)}
    write_json(Path(spec["folder"]) / "result.json", rates)


if __name__ == "__main__":
    main()
