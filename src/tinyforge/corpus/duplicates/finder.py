"""Which documents of a corpus repeat others: equal, nearly equal, or part of another."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.files import disk_errors, read_json, sync_file, write_json
from tinyforge.config.corpus_duplicates import DuplicateSettings
from tinyforge.corpus.duplicates.choosing import Choice, choose
from tinyforge.corpus.duplicates.likeness import Likeness
from tinyforge.corpus.duplicates.linking import Links, link_contained, link_near
from tinyforge.corpus.duplicates.signature_files import SignatureFiles
from tinyforge.corpus.duplicates.signatures import Signatures
from tinyforge.corpus.duplicates.sorting import Sorter

_FOUND = "found.json"
_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Duplicates:
    """What repeats what. All arrays have one value a document and lie on disk.

    Attributes:
        cluster: int64: equal for documents that are linked by likeness, directly or through others:
            the smallest number among them.
        duplicate_of: int64: the document that is kept in its place; -1: it is kept itself. The two
            were compared with each other, whatever chain linked them.
        similarity: float32: likeness to that document: Jaccard similarity of shingles, or, where it
            is part of it, the share of its passages that stand there; 0 where it is kept.
        exact: bool: equal to an earlier document but for case, accents, punctuation and spaces.
        facts: counts: documents, exact, near, contained, clusters; pairs compared in full, and by
            estimate with its error (three standard errors).
    """

    cluster: NDArray[np.int64]
    duplicate_of: NDArray[np.int64]
    similarity: NDArray[np.float32]
    exact: NDArray[np.bool_]
    facts: dict[str, float]

    @classmethod
    def open(cls, folder: Path) -> Duplicates:
        """What ``DuplicateFinder.find`` left in a folder.

        Raises:
            FolderError: it did not end there.
        """
        facts = read_json(folder / _FOUND)
        columns = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r" if facts["documents"] else None)
            for name in ("cluster", "duplicate_of", "similarity", "exact")
        }
        return cls(**columns, facts=facts)


class DuplicateFinder:
    """Collects signatures on disk, then finds the documents that repeat others.

    Memory: about 40 bytes a document and ``settings.memory``; the rest lies on disk. The result
    depends neither on the memory nor on how documents were grouped into calls of ``add``.

    Args:
        folder: its own folder for signatures, temporary files and the result. One that was left by
            a killed process is gone on with: add again what may not have been finished.
        settings: as the signatures were made with.

    Raises:
        FolderError: the folder holds signatures that other settings made, or cannot be written.
    """

    def __init__(self, folder: Path, settings: DuplicateSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._files = SignatureFiles(folder, settings)

    def add(self, first: int, signatures: Signatures) -> None:
        """Keep the signatures of the documents numbered from ``first``; again is no harm."""
        self._files.write(first, signatures)

    def sync(self) -> None:
        """Make what was added durable: after this, not even a power cut loses it."""
        self._files.sync()

    def find(self, text_of: Callable[[int], str]) -> Duplicates:
        """Find what repeats what.

        Args:
            text_of: a document's text by its number, the same that its signature was made of. Only
                likely pairs are read, near numbers one after the other.

        Raises:
            FolderError: a document was never added, or the disk is full.
        """
        (self._folder / _FOUND).unlink(missing_ok=True)
        count = self._files.count()
        with disk_errors(self._folder):
            original = self._originals(count)
            likeness = Likeness(text_of, self._files, count, self._settings)
            links = Links(count)
            sorter = functools.partial(
                Sorter, self._folder, memory=self._settings.memory * _MEGABYTE
            )
            if self._settings.similarity < 1:
                link_near(self._files, original, likeness, links, sorter("bands"))
            if self._settings.containment < 1:
                link_contained(
                    self._files, original, likeness, links, sorter("passages"), sorter("pairs")
                )
            choice = choose(links, likeness, self._settings)
            return self._save(original, links, choice, likeness)

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def _originals(self, count: int) -> NDArray[np.int64]:
        """The first document that each one equals, itself where none."""
        original = np.arange(count, dtype=np.int64)
        if not self._settings.exact or not count:
            return original
        sorter = Sorter(self._folder, "exact", self._settings.memory * _MEGABYTE)
        for first, rows in self._files.rows("exact", count):
            sorter.add(rows[:, 0], np.arange(first, first + len(rows), dtype=np.uint64))
        halves = self._files.column("exact", count)
        for keys, values in sorter.repeated():
            numbers = values.astype(np.int64)
            second = halves[numbers][:, 1]
            order = np.lexsort((numbers, second, keys))
            keys, second, numbers = keys[order], second[order], numbers[order]
            new = np.ones(len(keys), dtype=bool)
            new[1:] = (keys[1:] != keys[:-1]) | (second[1:] != second[:-1])
            original[numbers] = numbers[np.flatnonzero(new)][np.cumsum(new) - 1]
            halves.forget()
        sorter.close()
        return original

    def _save(
        self, original: NDArray[np.int64], links: Links, choice: Choice, likeness: Likeness
    ) -> Duplicates:
        """Give equal documents what their first one got, and write all to disk."""
        count = len(original)
        copy = original != np.arange(count)
        kept_instead = choice.duplicate_of[original]
        similarity = choice.similarity[original]
        plain = copy & (kept_instead < 0)  # its first one is kept
        kept_instead[plain] = original[plain]
        similarity[plain] = 1
        columns = {
            "cluster": links.roots[original], "duplicate_of": kept_instead,
            "similarity": similarity, "exact": copy,
        }  # fmt: skip
        for name, values in columns.items():
            path = self._folder / f"{name}.npy"
            np.save(path, values)
            sync_file(path)
        dropped = (kept_instead >= 0) & ~copy
        contained = dropped & choice.contained
        facts = {
            "documents": count,
            "exact": int(copy.sum()),
            "near": int((dropped & ~contained).sum()),
            "contained": int(contained.sum()),
            "clusters": len(np.unique(columns["cluster"])),
            "compared": likeness.compared,
            "estimated": likeness.estimated,
            "estimate_error": likeness.margin_at_threshold if likeness.estimated else 0.0,
        }
        write_json(self._folder / _FOUND, facts)
        return Duplicates.open(self._folder)
