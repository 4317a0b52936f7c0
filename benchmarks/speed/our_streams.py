"""A program: requests arrive at TinyForge's engine at random; when each had its tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
    probes = read_json(prepared / "probes.json")
    result = {
        "bursts": bursts,
        "alone": [
            {"request": number, **parted(folder, request["ids"], beside, alone, spec["threads"])}
            for number, (request, beside) in enumerate(
                zip(spec["bursts"][0][:ALONE], tokens[0], strict=False)
            )
            if (alone := our_engine.written(engine, request["ids"], request["new"])) != beside
        ],
        "fidelity": against(prepared, our_engine.logits(folder, probes, spec["threads"])),
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


def parted(
    folder: Path, prompt: Sequence[int], beside: Sequence[int], alone: Sequence[int], threads: int
) -> dict[str, float]:
    """Where two answers to a prompt part, and by how much the one token was likelier.

    Returns:
        ``token``: its place in the answer; ``gap``: between the logits of the two tokens, in
        standard deviations of all logits at that place.
    """
    place = next(i for i, (a, b) in enumerate(zip(beside, alone, strict=True)) if a != b)
    last = our_engine.logits(folder, [[*prompt, *alone[:place]]], threads)[-1]
    gap = abs(float(last[beside[place]] - last[alone[place]])) / float(last.std())
    return {"token": place, "gap": gap}


if __name__ == "__main__":
    main()
