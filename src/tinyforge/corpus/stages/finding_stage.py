"""The second stage: what the corpus holds more than once, over all sources together."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tinyforge.config.prepare import PrepareSettings
from tinyforge.corpus.duplicates import DuplicateFinder, Signatures, count_repeats
from tinyforge.corpus.split import Clusters, assign_parts
from tinyforge.corpus.stages.chunks import Chunks
from tinyforge.corpus.stages.index import Index

Tell = Callable[[int, int], None]
"""Told of documents done, and documents in all."""


def find_duplicates(
    chunks: Chunks, index: Index, settings: PrepareSettings, work: Path, tell: Tell
) -> None:
    """Find exact and near-duplicates, and give each document its part.

    Saves the arrays ``duplicate_of``, ``similarity``, ``exact``, ``cluster``, ``ranks`` (place
    among the kept documents) and ``part``.
    """
    folder = work / "duplicates"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    finder = DuplicateFinder(folder, settings.duplicates)
    for first, chunk in chunks:
        finder.add(first, Signatures(**chunk.signatures()))
        tell(first, len(chunks))
    found = finder.find(chunks.text)
    for name in ("duplicate_of", "similarity", "exact", "cluster"):
        index.save(name, getattr(found, name))
    kept = np.asarray(found.duplicate_of) < 0
    index.save("ranks", np.cumsum(kept, dtype=np.int64) - 1)
    cluster = np.asarray(found.cluster)
    parts = Clusters(cluster, kept, index.characters, index.home, index.keys)
    index.save("part", assign_parts(parts, settings.split))
    shutil.rmtree(folder, ignore_errors=True)


def find_repeats(
    chunks: Chunks, index: Index, settings: PrepareSettings, work: Path, tell: Tell
) -> None:
    """Count the lines and passages of all kept documents, into ``work/repeats``."""
    folder = work / "repeats"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kept = index.array("duplicate_of") < 0

    def texts() -> Iterator[str]:
        for first, chunk in chunks:
            tell(first, len(chunks))
            for place in np.flatnonzero(kept[first : first + chunk.documents]).tolist():
                yield chunk.text(place)

    count_repeats(texts(), folder, settings.duplicates)
