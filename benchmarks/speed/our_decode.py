"""A program: TinyForge's engine writes one answer after the other; when each token came."""

from __future__ import annotations

import time
from itertools import takewhile
from pathlib import Path

from benchmarks.speed import our_engine
from benchmarks.speed.fidelity import against
from benchmarks.speed.harness import read_json, read_spec, write_json
from benchmarks.speed.weights_read import cache_bytes, weight_bytes
from tinyforge.artifacts.export_folder import read_record


def main() -> None:
    """Time the answers, and check that it is the model."""
    spec = read_spec()
    prepared = Path(spec["prepared"])
    folder = prepared / spec["precision"]
    started = time.perf_counter()
    model = our_engine.open_model(folder, spec["threads"])
    engine = our_engine.engine_of(model)
    loaded = time.perf_counter() - started
    our_engine.written(engine, spec["prompts"][0], 16)  # warm
    answers = []
    for ids in spec["prompts"]:
        stamps: list[float] = []
        started = time.perf_counter()
        engine.submit(
            our_engine.encoded(ids), our_engine.greedy(spec["new"]),
            on_token=lambda _, stamps=stamps: stamps.append(time.perf_counter()),
        ).result()  # fmt: skip
        answers.append([stamp - started for stamp in stamps])
    record = read_record(folder)
    middle = sum(len(ids) for ids in spec["prompts"]) / len(spec["prompts"]) + spec["new"] / 2
    result = {
        "answers": answers,
        "load_seconds": loaded,
        "fidelity": against(
            prepared,
            our_engine.logits(folder, read_json(prepared / "probes.json"), spec["threads"]),
        ),
        "bytes_per_token": weight_bytes(record.graph(folder, "decoder"))
        + cache_bytes(read_json(folder / "tinyforge/export.json")["cache"], middle),
        "size_bytes": our_engine.folder_bytes(folder),
    }
    if spec["checks"]:
        result["unlike"] = unlike(prepared, spec["threads"])
    model.close()
    write_json(Path(spec["folder"]) / "result.json", result)


def unlike(prepared: Path, threads: int) -> list[str]:
    """Where the float32 export writes other tokens than transformers did."""
    wanted = read_json(prepared / "written.json")
    prompts = read_json(prepared / "prompts.json")
    model = our_engine.open_model(prepared / "fp32", threads)
    found = []
    for number, tokens in enumerate(wanted):
        ours = our_engine.written(our_engine.engine_of(model), prompts[number], len(tokens))
        if ours != tokens:
            place = sum(takewhile(bool, (a == b for a, b in zip(ours, tokens, strict=False))))
            found.append(f"prompt {number}: another token than transformers' at {place}")
    model.close()
    return found


if __name__ == "__main__":
    main()
