"""How fast this machine multiplies matrices: the denominator of every share of peak.

Run as a program with a JSON file's path, it writes operations a second for float32, and for
bfloat16 where the processor has a unit for it.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch

from benchmarks.speed.harness import read_spec, write_json

SIZE = 2048
TIMES = 15


def rate(dtype: torch.dtype, *, size: int = SIZE, times: int = TIMES) -> float:
    """Operations a second of a product of two square matrices; the median of several."""
    left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
    result = left @ right
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        torch.matmul(left, right, out=result)
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(seconds)


def has_bfloat16_unit() -> bool:
    """Whether the processor multiplies bfloat16 itself; without, torch is slower in it."""
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)


def main() -> None:
    """Measure."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    found = {"float32": rate(torch.float32)}
    if has_bfloat16_unit():
        found["bfloat16"] = rate(torch.bfloat16)
    write_json(Path(spec["folder"]) / "result.json", found)


if __name__ == "__main__":
    main()
