"""llama.cpp writes one answer after the other: by its C functions, or by the Python package.

``c`` calls ``llama_decode`` and takes the likeliest token itself; ``python`` is
``llama_cpp.Llama.generate``, which samples through the library's chain. Temperature 0 both.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.speed.fidelity import against
from benchmarks.speed.harness import read_json, read_spec, write_json
from benchmarks.speed.peers.llama_c import Llama, Token

CONTEXT = 1_024


def by_functions(spec: dict[str, Any], path: str) -> Any:
    """The C functions: a callable that gives an answer's tokens one by one."""
    model = Llama(path, threads=spec["threads"], context=CONTEXT)

    def tokens(ids: list[int]) -> Iterator[int]:
        model.forget(0)
        prompt = [Token(token, at, 0, at == len(ids) - 1) for at, token in enumerate(ids)]
        (token,) = model.likeliest(prompt)
        yield token
        place = len(ids)
        while True:
            (token,) = model.likeliest([Token(token, place, 0, True)])
            place += 1
            yield token

    return tokens


def by_package(spec: dict[str, Any], path: str) -> Any:
    """The package's class, likewise."""
    import llama_cpp

    model = llama_cpp.Llama(
        path, n_ctx=CONTEXT, n_threads=spec["threads"], n_threads_batch=spec["threads"],
        verbose=False,
    )  # fmt: skip

    def tokens(ids: list[int]) -> Iterator[int]:
        model.reset()
        yield from model.generate(ids, top_k=1, temp=0.0, repeat_penalty=1.0)

    return tokens


def main() -> None:
    """Time the answers."""
    spec = read_spec()
    prepared = Path(spec["prepared"])
    path = str(prepared / f"{spec['precision']}.gguf")
    tokens = (by_functions if spec["way"] == "c" else by_package)(spec, path)
    answers = []
    for number, ids in enumerate([spec["prompts"][0], *spec["prompts"]]):
        stamps = []
        started = time.perf_counter()
        for _ in islice(tokens(ids), spec["new"] if number else 16):  # the first is to warm
            stamps.append(time.perf_counter() - started)
        answers.append(stamps)
    probes = read_json(prepared / "probes.json")
    found = Llama(path, threads=spec["threads"], context=CONTEXT).probe(probes)
    result = {
        "answers": answers[1:],
        "fidelity": against(prepared, found),
        "size_bytes": Path(path).stat().st_size,
    }
    write_json(Path(spec["folder"]) / "result.json", result)


if __name__ == "__main__":
    main()
