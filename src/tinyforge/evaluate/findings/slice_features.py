"""The slices that are looked at: what each row is like, as a sparse table of rows and slices."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.evaluate.text_features import question
from tinyforge.records.examples import Example

FEWEST_ROWS, FEWEST_SHARE = 10, 0.01
"""A slice has at least so many rows, and at least this share of all."""

MOST_SHARE = 0.8
"""A slice of more rows than this share is no slice but the rule."""

_WORDS_OF_A_TEXT = 1_000
_WORD = re.compile(r"\w+")
_FORMS: dict[str, Callable[[str], object]] = {
    "with a number": re.compile(r"\d").search,
    "with a word in capitals": re.compile(r"\b[A-Z\u00c0-\u00d6\u00d8-\u00de]{3,}\b").search,
    "with letters that are not Latin": re.compile(
        r"[^\W\d_A-Za-z\u00aa\u00b5\u00ba\u00c0-\u024f\u1e00-\u1eff]"
    ).search,
    "with a web address": re.compile(r"https?://|www\.", re.IGNORECASE).search,
    "that are empty": lambda text: not text.strip(),
}
_LENGTHS = (
    ("the shortest tenth", 0.0, 0.1), ("the shortest quarter", 0.0, 0.25),
    ("the second quarter by length", 0.25, 0.5), ("the third quarter by length", 0.5, 0.75),
    ("the longest quarter", 0.75, 1.0), ("the longest tenth", 0.9, 1.0),
)  # fmt: skip


@dataclass(frozen=True)
class Candidates:
    """Slices to look at.

    Attributes:
        names: what a slice is, to be read after "rows".
        twins: for each slice the names of others that are the very same rows.
        kinds: length, label, source, group, word, pair or form.
        matrix: CSC of 0 and 1, shape (rows, slices).
    """

    names: list[str]
    twins: list[list[str]]
    kinds: list[str]
    matrix: Any


@dataclass
class _Columns:
    """Slices as they are found."""

    names: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    rows: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, kind: str, name: str, rows: NDArray[np.int64]) -> None:
        self.names.append(name)
        self.kinds.append(kind)
        self.rows.append(rows)

    def add_values(self, kind: str, template: str, values: Sequence[Sequence[str]]) -> None:
        """One slice for each value that rows have; a row may have several."""
        members: dict[str, list[int]] = {}
        for row, found in enumerate(values):
            for value in found:
                members.setdefault(value, []).append(row)
        for value in sorted(members):
            self.add(kind, template.format(value), np.array(members[value]))

    def within(self, rows: int) -> Candidates:
        """Those of a size that can be judged; equal slices are one."""
        from scipy.sparse import csc_matrix

        fewest = max(FEWEST_ROWS, FEWEST_SHARE * rows)
        twins: dict[bytes, list[int]] = {}
        for column, members in enumerate(self.rows):
            if fewest <= len(members) <= MOST_SHARE * rows:
                twins.setdefault(members.astype(np.int64).tobytes(), []).append(column)
        kept = [columns[0] for columns in twins.values()]
        starts = np.concatenate([[0], np.cumsum([len(self.rows[c]) for c in kept], dtype=np.int64)])
        indices = np.concatenate([self.rows[c] for c in kept]) if kept else np.empty(0, np.int64)
        matrix = csc_matrix(
            (np.ones(len(indices)), indices.astype(np.int32), starts), shape=(rows, len(kept))
        )
        return Candidates(
            [self.names[c] for c in kept],
            [[self.names[c] for c in columns[1:]] for columns in twins.values()],
            [self.kinds[c] for c in kept],
            matrix,
        )


def candidates(examples: Iterable[Example], task: str) -> Candidates:
    """Every slice that ``examples`` (the judged rows, read once) could be cut into.

    Memory holds four bytes a word of the texts, and no text.
    """
    lengths: list[int] = []
    labels: list[tuple[str, ...]] = []
    files: list[tuple[str]] = []
    groups: list[tuple[str, ...]] = []
    forms: dict[str, list[int]] = {name: [] for name in _FORMS}
    words = _Words()
    for row, example in enumerate(examples):
        text = (example.output if task == "language-model" else question(example)) or ""
        lengths.append(len(text))
        files.append((example.source.file,))
        groups.append(() if example.group is None else (example.group,))
        if task == "classify":
            one = () if example.output is None else (example.output,)
            labels.append(one if example.labels is None else tuple(sorted(set(example.labels))))
        for name, holds in _FORMS.items():
            if holds(text):
                forms[name].append(row)
        words.add(text)
    columns = _Columns()
    _add_lengths(columns, np.array(lengths))
    columns.add_values("label", "whose true label is {!r}", labels)
    columns.add_values("source", "from {}", [(PurePath(name).name,) for (name,) in files])
    columns.add_values("group", "of the group {!r}", groups)
    for name, members in forms.items():
        columns.add("form", name, np.array(members, dtype=np.int64))
    rows = len(lengths)
    for kind, name, found in words.slices(max(FEWEST_ROWS, FEWEST_SHARE * rows)):
        columns.add(kind, f"with “{name}”", found)
    return columns.within(rows)


def _add_lengths(columns: _Columns, lengths: NDArray[np.int64]) -> None:
    """Quarters and outer tenths by characters; ties stay on one side."""
    if not len(lengths):
        return
    for name, start, end in _LENGTHS:
        low = np.quantile(lengths, start) if start > 0 else -1.0
        high = np.quantile(lengths, end)
        inside = (lengths > low) & (lengths <= high)
        if not inside.any():
            continue
        least, most = int(lengths[inside].min()), int(lengths[inside].max())
        size = (
            f"at most {most:,}" if start == 0 else f"at least {least:,}" if end == 1
            else f"{least:,} to {most:,}"
        )  # fmt: skip
        columns.add("length", f"of {size} characters ({name})", np.flatnonzero(inside))


class _Words:
    """The words of many texts by number."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}
        self._flat = array("i")
        self._counts = array("i")

    def add(self, text: str) -> None:
        found = _WORD.findall(text.casefold())[:_WORDS_OF_A_TEXT]
        number = self._number
        self._flat.extend([number.setdefault(word, len(number)) for word in found])
        self._counts.append(len(found))

    def slices(self, fewest: float) -> Iterator[tuple[str, str, NDArray[np.int64]]]:
        """Kind, name and rows of every word, and every pair of neighbours, in enough rows."""
        ids = np.frombuffer(self._flat, dtype=np.int32).astype(np.int64)
        counts = np.frombuffer(self._counts, dtype=np.int32)
        rows = np.repeat(np.arange(len(counts)), counts)
        names = list(self._number)
        common = np.zeros(len(names), dtype=bool)
        for word, members in _members(ids, rows, fewest):
            common[word] = True
            yield "word", names[word], members
        if len(ids) < 2:
            return
        both = common[ids[:-1]] & common[ids[1:]] & (rows[:-1] == rows[1:])
        pairs = ids[:-1][both] * len(names) + ids[1:][both]
        for pair, members in _members(pairs, rows[:-1][both], fewest):
            first, second = divmod(pair, len(names))
            yield "pair", f"{names[first]} {names[second]}", members


def _members(
    ids: NDArray[np.int64], rows: NDArray[np.int64], fewest: float
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each id that stands in at least ``fewest`` rows, with these rows in order."""
    values, numbers = np.unique(ids, return_inverse=True)
    span = int(rows.max()) + 1 if len(rows) else 1
    cells = np.unique(numbers * span + rows)
    numbers, rows = cells // span, cells % span
    bounds = np.searchsorted(numbers, np.arange(len(values) + 1))
    for place in np.flatnonzero(np.diff(bounds) >= fewest):
        yield int(values[place]), rows[bounds[place] : bounds[place + 1]]
