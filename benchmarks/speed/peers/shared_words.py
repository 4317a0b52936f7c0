"""How much two texts share, counted plainly and apart from what is measured."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tinyforge.data.store import FlatFile

WORD = re.compile(r"\w+")


def shared(corpus: Path, pairs: Iterable[tuple[int, int]]) -> Iterator[float]:
    """Jaccard similarity of the three-word shingles of pairs of texts of a flat file."""
    texts = FlatFile(corpus / "texts.bin", np.load(corpus / "offsets.npy"))
    for first, second in pairs:
        one, other = (_shingles(texts[number].decode()) for number in (first, second))
        yield len(one & other) / max(1, len(one | other))


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = WORD.findall(text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))
