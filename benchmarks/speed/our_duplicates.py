"""A program: near-duplicates by TinyForge, one process, from a flat file of texts."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from benchmarks.speed.harness import read_spec, write_json
from tinyforge.config.corpus_duplicates import DuplicateSettings
from tinyforge.corpus.duplicates import DuplicateFinder, signatures
from tinyforge.data.store import FlatFile

BATCH = 1_000


def main() -> None:
    """Time the signatures and the search."""
    spec = read_spec()
    corpus, folder = Path(spec["corpus"]), Path(spec["folder"])
    settings = DuplicateSettings(**spec["settings"])
    texts = FlatFile(corpus / "texts.bin", np.load(corpus / "offsets.npy"))
    signatures(["the first call makes its tables"], settings)
    started, began = time.perf_counter(), time.process_time()
    finder = DuplicateFinder(folder / "signatures", settings)
    batch: list[str] = []
    done = 0
    for data in texts:
        batch.append(data.decode())
        if len(batch) == BATCH:
            finder.add(done, signatures(batch, settings))
            done, batch = done + len(batch), []
    finder.add(done, signatures(batch, settings))
    signed = time.perf_counter()
    found = finder.find(lambda number: texts[number].decode())
    ended, used = time.perf_counter(), time.process_time() - began
    dropped = np.flatnonzero(found.duplicate_of >= 0)
    pairs = np.stack([found.duplicate_of[dropped], dropped], axis=1)
    np.save(folder / "pairs.npy", np.sort(pairs, axis=1))
    write_json(
        folder / "result.json",
        {
            "seconds": ended - started,
            "processor_seconds": used,
            "signatures": signed - started,
            "search": ended - signed,
            "compared": found.facts["compared"],
        },
    )


if __name__ == "__main__":
    main()
