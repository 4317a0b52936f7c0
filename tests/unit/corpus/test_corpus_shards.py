"""How documents are divided into files."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyforge.corpus.shards import plan_shards
from tinyforge.corpus.split import PARTS


class Lengths:
    """An index of documents of these lengths."""

    def __init__(self, characters: Any) -> None:
        self.characters = np.asarray(characters, dtype=np.int64)
        self.saved: dict[str, Any] = {}

    def save(self, name: str, values: Any) -> None:
        self.saved[name] = values


def test_files_hold_about_as_many_characters_as_asked_for() -> None:
    index = Lengths([30] * 10)
    shards = plan_shards(index, np.zeros(10, dtype=np.int8), 100)  # type: ignore[arg-type]
    assert [(s.part, s.start, s.end) for s in shards] == [
        (PARTS[0], 0, 4), (PARTS[0], 4, 8), (PARTS[0], 8, 10),
    ]  # fmt: skip


def test_many_short_documents_are_not_all_in_one_file() -> None:
    count = 450_000
    index = Lengths(np.ones(count))
    shards = plan_shards(index, np.zeros(count, dtype=np.int8), 50_000_000)  # type: ignore[arg-type]
    assert [s.end - s.start for s in shards] == [200_000, 200_000, 50_000]
