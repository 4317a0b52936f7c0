"""A program: requests arrive at TinyForge's engine at random; when each had its tokens."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.speed import our_engine
from benchmarks.speed.fidelity import against
from benchmarks.speed.harness import read_json, read_spec, write_json

ALONE = 2
"""Requests of the first burst whose answers are asked for again, with nothing beside them."""


def main() -> None:
    """Serve the bursts one after the other."""
    spec = read_spec()
    prepared = Path(spec["prepared"])
    folder = prepared / spec["precision"]
    model = our_engine.open_model(folder, spec["threads"])
    engine = our_engine.engine_of(model)
    our_engine.written(engine, spec["bursts"][0][0]["ids"], 16)  # warm
    bursts, tokens = [], []
    for requests in spec["bursts"]:
        seen, written = serve(engine, requests)
        bursts.append(seen)
        tokens.append(written)
    changed = [
        number
        for number, request in enumerate(spec["bursts"][0][:ALONE])
        if our_engine.written(engine, request["ids"], request["new"]) != tokens[0][number]
    ]
    result = {
        "bursts": bursts,
        "changed_beside_others": changed,
        "fidelity": against(
            prepared,
            our_engine.logits(folder, read_json(prepared / "probes.json"), spec["threads"]),
        ),
    }
    model.close()
    write_json(Path(spec["folder"]) / "result.json", result)


def serve(
    engine: Any, requests: list[dict[str, Any]]
) -> tuple[list[dict[str, float]], list[list[int]]]:
    """One burst: when the tokens of each request came, and which they were."""
    stamps: list[list[float]] = [[] for _ in requests]
    tickets = []
    started = time.perf_counter()
    for number, request in enumerate(requests):
        wait = request["arrives"] - (time.perf_counter() - started)
        if wait > 0:
            time.sleep(wait)
        tickets.append(
            engine.submit(
                our_engine.encoded(request["ids"]), our_engine.greedy(request["new"]),
                on_token=lambda _, own=stamps[number]: own.append(time.perf_counter() - started),
            )
        )  # fmt: skip
    written = [[int(token) for token in ticket] for ticket in tickets]
    seen = [
        {
            "arrives": request["arrives"], "first": own[0], "end": own[-1], "tokens": len(own),
            "wanted": request["new"],
        }
        for request, own in zip(requests, stamps, strict=True)
    ]  # fmt: skip
    return seen, written


if __name__ == "__main__":
    main()
