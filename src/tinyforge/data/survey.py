"""A first look at the rows: what the columns are and what is in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tinyforge.config.data import DataSettings
from tinyforge.data.columns import ColumnFacts, Columns, recognise
from tinyforge.data.names import LABELS, plain
from tinyforge.data.read import read_rows
from tinyforge.errors import DataError
from tinyforge.records.rows import Rejected, Row

_ROWS = 2_000
_CHARACTERS = 32_000_000


@dataclass(frozen=True)
class Survey:
    """What the first rows look like.

    Attributes:
        columns: how the columns were understood.
        rows: good rows looked at (at most about 2,000).
        rejected: rows among them that could not be read, by reason.
        distinct_outputs: different values of the output column; for several labels, of labels.
        input_words, output_words: mean words of the cells.
        most_output_words: words of the longest output.
        labels_like: whether the outputs are few and short enough to be labels.
        raw_text: whether there is one text column only.
        marked: the column that marks single chats as good or bad (as for KTO); None: there is none.
    """

    columns: Columns
    rows: int
    rejected: dict[str, int]
    distinct_outputs: int
    input_words: float
    output_words: float
    most_output_words: int
    labels_like: bool
    raw_text: bool
    marked: str | None = None


def survey(source: Any, settings: DataSettings) -> Survey:
    """Look at the first rows (about 2,000).

    Raises:
        DataError: there is no good row, or the columns cannot be understood.
        SettingError: a setting names a column that is not there.
    """
    rows: list[dict[str, Any]] = []
    rejected: Counter[str] = Counter()
    first: Rejected | None = None
    characters = 0
    for item in islice(read_rows(source, settings), 2 * _ROWS):
        if isinstance(item, Row):
            rows.append(item.fields)
            characters += _weight(item.fields)
        else:
            rejected[item.reason] += 1
            first = first or item
        if len(rows) >= _ROWS or characters > _CHARACTERS:
            break
    if not rows:
        raise no_rows(source, rejected, first)
    columns = recognise(rows, settings, name_of(source))
    return _measure(rows, columns, rejected, settings)


def _weight(value: Any, depth: int = 0) -> int:
    """Characters of a value, about."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, (dict, list)) and depth < 8:
        inner = value.values() if isinstance(value, dict) else value
        return 8 + sum(_weight(one, depth + 1) for one in inner)
    return 8


def no_rows(source: Any, rejected: Counter[str], first: Rejected | None) -> DataError:
    """The error for a source without a single good row."""
    if first is None:
        return DataError("there are no rows", where=name_of(source), fix="Give a file with rows")
    reason, count = rejected.most_common(1)[0]
    return DataError(
        f"no row can be used: {sum(rejected.values()):,} read, {count:,} of them: {reason}",
        where=str(first.source),
        value=first.excerpt or None,
        fix="Mend the file, or name its format with --set data.format=FORMAT",
    )


def name_of(source: Any) -> str:
    """The source in words, for messages."""
    if isinstance(source, (str, Path)):
        return str(source)
    if isinstance(source, (list, tuple)) and source and isinstance(source[0], (str, Path)):
        return ", ".join(map(str, source[:3]))
    return f"<{type(source).__name__.lower()}>"


def _measure(
    rows: list[dict[str, Any]], columns: Columns, rejected: Counter[str], settings: DataSettings
) -> Survey:
    roles = columns.roles
    given = ColumnFacts("input")
    learnt = ColumnFacts("output")
    output = roles.get("labels") or roles.get("output")
    for row in rows:
        for part in ("instruction", "input", "context", "text"):
            if part in roles:
                given.add(row.get(roles[part]))
        value = row.get(output) if output else None
        values = value if isinstance(value, (list, tuple)) else [value]
        if settings.label_separator and isinstance(value, str):
            values = [part.strip() for part in value.split(settings.label_separator)]
        for one in values:
            learnt.add(one)
    named_label = output is not None and plain(output) in LABELS and learnt.mean_words <= 5
    distinct = len(learnt.distinct)
    return Survey(
        columns=columns,
        rows=len(rows),
        rejected=dict(rejected),
        distinct_outputs=distinct,
        input_words=round(given.mean_words, 2),
        output_words=round(learnt.mean_words, 2),
        most_output_words=learnt.most_words,
        labels_like=distinct > 0 and (learnt.like_labels or named_label),
        raw_text="text" in roles,
        marked=_marked(rows, columns),
    )


def _marked(rows: list[dict[str, Any]], columns: Columns) -> str | None:
    if "messages" not in columns.roles or "output" in columns.roles:
        return None
    for name in columns.unused:
        found = [row[name] for row in rows if row.get(name) is not None]
        if plain(name) in ("label", "kto_tag") and all(isinstance(mark, bool) for mark in found):
            return name if found else None
    return None
