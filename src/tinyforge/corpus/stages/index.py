"""What is known of every document by its number: small arrays on disk, mapped into memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.files import disk_errors, read_json, write_json
from tinyforge.corpus.stages.chunks import Chunks
from tinyforge.data.store import FlatFile, FlatWriter

_BLOCK = 1 << 20


class Index:
    """The documents that cleaning kept, by number.

    Args:
        folder: as ``build_index`` left it.

    Attributes:
        sources: names of the sources; ``home`` counts by them.
        ids: their ids as bytes.
        characters: int64: characters after cleaning.
        home: int32: which source each is of.
        keys: uint64: hashes of the ids, by which documents are split.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources: list[str] = read_json(folder / "sources.json")
        self.ids = FlatFile(folder / "ids", np.load(folder / "id_offsets.npy", mmap_mode="r"))
        self.characters: NDArray[np.int64] = self.array("characters")
        self.home: NDArray[np.int32] = self.array("home")
        self.keys: NDArray[np.uint64] = self.array("keys")

    def __len__(self) -> int:
        return len(self.characters)

    def id(self, document: int) -> str:
        """A document's id, by its number."""
        return self.ids[document].decode("utf-8")

    def array(self, name: str) -> NDArray[Any]:
        """An array that a stage has saved."""
        # Files of no bytes cannot be mapped.
        path = self.folder / f"{name}.npy"
        array: NDArray[Any] = np.load(path, mmap_mode="r" if path.stat().st_size > 128 else None)
        return array

    def save(self, name: str, values: NDArray[Any]) -> None:
        """Keep an array for later stages, copied piece by piece."""
        with disk_errors(self.folder):
            copy = (
                np.lib.format.open_memmap(
                    self.folder / f"{name}.npy", mode="w+", dtype=values.dtype, shape=values.shape
                )
                if len(values)
                else None
            )
            if copy is None:
                np.save(self.folder / f"{name}.npy", np.asarray(values))
                return
            for start in range(0, len(values), _BLOCK):
                copy[start : start + _BLOCK] = values[start : start + _BLOCK]
            copy.flush()


def build_index(chunks: Chunks, sources: Sequence[str], folder: Path) -> Index:
    """Collect from all chunks what is known of their documents.

    Args:
        sources: names of the sources in the order in which they were given.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        known = {name: number for number, name in enumerate(dict.fromkeys(sources))}
        ids = FlatWriter(folder / "ids")
        characters, homes, keys = [], [], []
        for _, chunk in chunks:
            heads = chunk.heads()
            for head in heads:
                ids.append(head.id.encode("utf-8"))
            homes.append(
                np.array([known.setdefault(h.source, len(known)) for h in heads], dtype=np.int32)
            )
            characters.append(chunk.characters())
            keys.append(chunk.keys())
        np.save(folder / "id_offsets.npy", ids.close())
        np.save(folder / "characters.npy", _joined(characters, np.int64))
        np.save(folder / "home.npy", _joined(homes, np.int32))
        np.save(folder / "keys.npy", _joined(keys, np.uint64))
    write_json(folder / "sources.json", list(known))
    return Index(folder)


def _joined(parts: list[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)
