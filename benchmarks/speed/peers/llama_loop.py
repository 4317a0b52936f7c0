"""llama.cpp's continuous batching as in its own parallel example, called from one loop.

A step reads the next token of every running answer and the prompts of those that have arrived,
as many as fit into it whole. Nothing stands between the loop and the library: no HTTP, no text.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.speed.arrivals import MOST
from benchmarks.speed.fidelity import against
from benchmarks.speed.harness import read_json, read_spec, write_json
from benchmarks.speed.peers.llama_c import Llama, Token

BATCH = 512
PROMPT = 200
"""Tokens of a prompt at most."""

Request = dict[str, Any]


class Loop:
    """Serves bursts.

    Args:
        streams: answers that are written at one time.
    """

    def __init__(self, model: Llama, streams: int) -> None:
        self._model, self._streams = model, streams

    def serve(self, requests: list[Request]) -> list[dict[str, float]]:
        """One burst: when the first and the last token of each request came."""
        started = time.perf_counter()
        stamps: list[list[float]] = [[] for _ in requests]
        coming = list(range(len(requests)))
        free, running = list(range(self._streams)), {}  # number of a request -> (slot, token)
        while coming or running:
            now = time.perf_counter() - started
            step = [
                (number, Token(token, place(requests[number], stamps[number]), slot, True))
                for number, (slot, token) in running.items()
            ]
            room = BATCH - len(step)
            while coming and free and requests[coming[0]]["arrives"] <= now:
                ids = requests[coming[0]]["ids"]
                if len(ids) > room:
                    break
                number, slot, room = coming.pop(0), free.pop(), room - len(ids)
                step += [
                    (number, Token(token, at, slot, at == len(ids) - 1))
                    for at, token in enumerate(ids)
                ]
            if not step:
                time.sleep(max(0.0, requests[coming[0]]["arrives"] - now))
                continue
            found = self._model.likeliest([token for _, token in step])
            now = time.perf_counter() - started
            wanted = [(number, token.sequence) for number, token in step if token.wanted]
            for (number, slot), token in zip(wanted, found, strict=True):
                stamps[number].append(now)
                running[number] = (slot, token)
                if len(stamps[number]) == requests[number]["new"]:
                    del running[number]
                    free.append(slot)
                    self._model.forget(slot)
        return [
            {
                "arrives": request["arrives"], "first": own[0], "end": own[-1],
                "tokens": len(own), "wanted": request["new"],
            }
            for request, own in zip(requests, stamps, strict=True)
        ]  # fmt: skip


def place(request: Request, stamps: list[float]) -> int:
    """Where the token that was written last stands."""
    return len(request["ids"]) + len(stamps) - 1


def main() -> None:
    """Serve the bursts one after the other."""
    spec = read_spec()
    prepared, streams = Path(spec["prepared"]), spec["streams"]
    path = str(prepared / f"{spec['precision']}.gguf")
    context = (PROMPT + MOST) * streams
    model = Llama(path, threads=spec["threads"], context=context, streams=streams, batch=BATCH)
    loop = Loop(model, streams)
    loop.serve([{**spec["bursts"][0][0], "new": 16}])  # warm
    bursts = [loop.serve(requests) for requests in spec["bursts"]]
    found = model.probe(read_json(prepared / "probes.json"))
    result = {"bursts": bursts, "fidelity": against(prepared, found)}
    write_json(Path(spec["folder"]) / "result.json", result)


if __name__ == "__main__":
    main()
