"""A program: an exported folder answers rows, as a user would ask it."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.speed.harness import read_lines, read_spec, write_json
from benchmarks.speed.our_engine import open_model


def main() -> None:
    """Time the batches, one after the other."""
    spec = read_spec()
    rows = read_lines(Path(spec["rows"]))
    texts = [row.get("input") or row["text"] for row in rows]
    started = time.perf_counter()
    model = open_model(Path(spec["prepared"]) / spec["export"], spec["threads"])
    loaded = time.perf_counter() - started
    size = spec.get("batch") or len(texts)
    model.predict(texts[: min(32, size)], **spec["options"])  # warm
    seconds, answers = [], []
    for start in range(0, len(texts), size):
        began = time.perf_counter()
        found = model.predict(texts[start : start + size], **spec["options"])
        seconds.append(time.perf_counter() - began)
        answers += [one.output for one in found]
    model.close()
    result = {"seconds": seconds, "answers": answers, "load_seconds": loaded}
    write_json(Path(spec["folder"]) / "result.json", result)


if __name__ == "__main__":
    main()
