"""Times a peer that answers rows batch after batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.speed.harness import read_lines, write_json


def time_batches(spec: dict[str, Any], answer: Callable[[list[str]], list[str]]) -> None:
    """Answer all inputs of ``spec["rows"]`` after a first batch that is not timed; write seconds
    and answers into ``result.json``."""
    texts = [row["input"] for row in read_lines(Path(spec["rows"]))]
    answer(texts[: spec["batch"]])  # warm
    seconds, answers = [], []
    for start in range(0, len(texts), spec["batch"]):
        began = time.perf_counter()
        answers += answer(texts[start : start + spec["batch"]])
        seconds.append(time.perf_counter() - began)
    write_json(Path(spec["folder"]) / "result.json", {"seconds": seconds, "answers": answers})
