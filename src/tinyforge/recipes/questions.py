"""What is to be answered: texts, lines of text, or rows of any data file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tinyforge.config.data import DataSettings
from tinyforge.data import names
from tinyforge.data.columns import ColumnFacts, Columns, facts_of
from tinyforge.data.examples import example_maker
from tinyforge.data.files import (
    as_utf8,
    find_encoding,
    find_file,
    peek,
    refuse_binary,
    unpacked,
)
from tinyforge.data.lines import excerpt, read_lines
from tinyforge.data.read import is_plain_text, read_rows
from tinyforge.errors import DataError, SettingError
from tinyforge.records.examples import Example
from tinyforge.records.rows import Rejected, Row, Source
from tinyforge.registry import suggest

STANDARD_INPUT = "-"
_FIRST_ROWS = 200
_NO_ANSWER = "(the answer)"
"""Stands for the output column, which rows that are asked need not have."""

Items = Iterator[Row | Rejected]


@dataclass(frozen=True)
class Questions:
    """Rows that wait for an answer.

    Attributes:
        where: the source's name.
        live: whether they come from a pipe, where nobody wants to wait for many of them.
    """

    items: Items
    columns: Columns
    settings: DataSettings
    where: str
    live: bool = False

    def examples(self, task: str) -> Iterator[Example | Rejected]:
        """One example, or the reason why there is none, for each row in order.

        Raises:
            DataError: these columns cannot serve the task.
        """
        kind = task if task in ("classify", "instruct") else "text2text"
        make: Callable[[Row], Example | Rejected] = example_maker(
            self.columns, kind, self.settings, where=self.where, need_output=False
        )
        return (make(item) if isinstance(item, Row) else item for item in self.items)


def given_texts(texts: Sequence[str]) -> Questions:
    """Texts from the command line."""
    rows = (Row({"input": t}, Source("<text>", i)) for i, t in enumerate(texts, start=1))
    return Questions(rows, _columns("input", {"input": "input"}), DataSettings(), "<text>")


def read_questions(source: Any, settings: DataSettings) -> Questions:
    """Rows of a source; in a plain text file, and on standard input, each line is one.

    The first rows are read at once, so that a mistake shows before a model is loaded.

    Args:
        source: as for ``data.read.read_rows``, or ``-`` for standard input.

    Raises:
        DataError: the source cannot be read, or no column is clearly the one to answer.
        SettingError: ``data.input`` names a column that is not there.
    """
    if source == STANDARD_INPUT:
        return _from_pipe(settings)
    where = str(source) if isinstance(source, str | Path) else f"<{type(source).__name__}>"
    if isinstance(source, str | Path) and is_plain_text(source, settings):
        _check_no_column(settings)
        return Questions(_lines_of_file(source, settings), _LINES, settings, where)
    items = read_rows(source, settings)
    first = list(islice(items, _FIRST_ROWS))
    rows = [item.fields for item in first if isinstance(item, Row)]
    columns = input_columns(rows, settings, where) if rows else _LINES
    return Questions(chain(first, items), columns, settings, where)


def input_columns(rows: Sequence[Mapping[str, Any]], settings: DataSettings, where: str) -> Columns:
    """Which column is answered, by the same names as in training; answers may be absent.

    Raises:
        SettingError: ``data.input`` names a column that is not there.
        DataError: no column is clearly the one.
    """
    facts = facts_of(rows)
    if settings.input is not None:
        if settings.input not in facts:
            raise SettingError(
                f"there is no column {settings.input!r}; the columns are {', '.join(facts)}",
                where="data.input", fix=suggest(settings.input, facts),
            )  # fmt: skip
        chat = facts[settings.input].chats > facts[settings.input].filled / 2
        return _columns(settings.input, {"messages" if chat else "input": settings.input})
    roles = _roles(facts)
    if roles is None:
        raise DataError(
            f"it is not clear which column is to be answered; there are: {', '.join(facts)}",
            where=where, fix="Name it with --set data.input=NAME",
        )  # fmt: skip
    return _columns("/".join(roles.values()), roles)


def _roles(facts: Mapping[str, ColumnFacts]) -> dict[str, str] | None:
    by_name = {names.plain(name): name for name in reversed(list(facts))}

    def first(wanted: Iterable[str], *, chats: bool = False) -> str | None:
        found = (by_name[name] for name in wanted if name in by_name)
        return next((n for n in found if (facts[n].chats > 0) == chats), None)

    if chat := first(names.CHATS, chats=True):
        return {"messages": chat}
    if instruction := first(names.INSTRUCTIONS):
        extra = first(("input", "context"))
        return {"instruction": instruction} | ({"input": extra} if extra else {})
    if prompt := first(names.PROMPTS):
        return {"input": prompt}
    if question := first(names.QUESTIONS):
        context = first(names.CONTEXTS)
        return {"input": question} | ({"context": context} if context else {})
    known = first([*(pair[0] for pair in names.PAIRS if pair[1] in by_name), *names.TEXTS])
    if known:
        return {"input": known}
    passive = {*names.ANSWERS, *names.LABELS, *names.SIDE}
    texts = [n for n, fact in facts.items() if fact.is_text and names.plain(n) not in passive]
    return {"input": texts[0]} if len(texts) == 1 else None


def _columns(convention: str, roles: Mapping[str, str]) -> Columns:
    return Columns(convention, {**roles, "output": _NO_ANSWER}, (), "")


_LINES = _columns("text", {"input": "text"})


def _from_pipe(settings: DataSettings) -> Questions:
    if settings.format not in (None, "text"):
        raise SettingError(
            "standard input is read as plain text, one text a line",
            where="data.format", value=settings.format, fix="Save the rows to a file",
        )  # fmt: skip
    _check_no_column(settings)

    def chunks() -> Iterator[bytes]:
        while line := sys.stdin.buffer.readline(2**16):
            yield line

    text = as_utf8(chunks(), find_encoding(b"", settings))
    return Questions(_lines(text, "<stdin>", settings), _LINES, settings, "<stdin>", live=True)


def _check_no_column(settings: DataSettings) -> None:
    if settings.input is not None:
        raise SettingError(
            "has no effect: plain text has no columns, each line is answered",
            where="data.input", value=settings.input, fix="Leave it out",
        )  # fmt: skip


def _lines_of_file(source: str | Path, settings: DataSettings) -> Items:
    head, chunks = peek(unpacked(find_file(source), settings))
    if not head.strip():
        raise DataError("the file is empty", where=str(source), fix="Give a file with lines")
    refuse_binary(head, str(source))
    text = as_utf8(chunks, find_encoding(head, settings))
    return _lines(text, str(source), settings)


def _lines(chunks: Iterator[bytes], name: str, settings: DataSettings) -> Items:
    found = read_lines(chunks, settings.max_row_bytes)
    for line in islice(found, settings.max_rows):
        source = Source(name, line.number)
        if line.fault:
            yield Rejected(source, line.fault, line.detail, excerpt(line.data))
            continue
        try:
            yield Row({"text": line.data.decode("utf-8")}, source)
        except UnicodeDecodeError:
            yield Rejected(source, "not valid UTF-8", "", excerpt(line.data))
