"""Rows from JSON Lines and from JSON arrays of any size, one at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from tinyforge.data.files import Damaged
from tinyforge.data.lines import EXCERPT, excerpt, read_lines
from tinyforge.errors import DataError
from tinyforge.records.rows import Rejected, Row, Source

ROW_LISTS = ("data", "rows", "examples")
"""Keys of a top-level object whose list holds the rows, as in SQuAD files."""

_BOM = b"\xef\xbb\xbf"
_NOT_FINITE = re.compile(rb"[:\[,]\s*(?:NaN|-?Infinity)\b")
_OUTSIDE = re.compile(rb'["\[\]{},]')
_INSIDE = re.compile(rb'["\\]')
_QUOTE, _BACKSLASH, _COMMA, _OPEN_LIST = b'"\\,['
_ROW_LIST = re.compile(rb'"(?:%s)"\s*:\s*\[' % "|".join(ROW_LISTS).encode())


class Fault(NamedTuple):
    """Why a piece of JSON is not a row."""

    reason: str
    detail: str = ""


def parse_object(data: bytes) -> dict[str, Any] | Fault:
    """One JSON object. NaN and infinities are read; a repeated key keeps its last value."""
    try:
        value = orjson.loads(data)
    except ValueError as error:
        parsed = _second_look(data, str(error))
        if isinstance(parsed, Fault):
            return parsed
        value = parsed
    if not isinstance(value, dict):
        return Fault("not an object", f"a JSON {_kind(value)}")
    return value


def _second_look(data: bytes, message: str) -> Any:
    """What orjson refused: the reason, or the value where only NaN and infinities were odd."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return Fault("not valid UTF-8", f"byte 0x{data[error.start]:02x} at {error.start}")
    if b"\0" in data:
        return Fault("NUL byte")
    if "depth" in message or "ecursion" in message:
        return Fault("nested too deeply")
    if "surrogate" in message:
        return Fault("lone surrogate", "half of a \\u pair")
    if _NOT_FINITE.search(data):
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            pass
    return Fault("invalid JSON", message)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return {str: "string", list: "list", type(None): "null"}.get(type(value), "value")


def json_shape(head: bytes) -> str:
    """``lines``, ``array`` or ``object``, from the first bytes of a JSON file."""
    text = head.lstrip().removeprefix(_BOM).lstrip()
    if text.startswith(b"["):
        return "array"
    lines = [line for line in text.split(b"\n", 20)[:20] if line.strip()]
    whole = [value for line in lines if isinstance(value := parse_object(line), dict)]
    if len(whole) == 1 and len(lines) == 1 and _row_list_of(whole[0]):
        return "object"
    if whole or not text.startswith(b"{"):
        return "lines"
    if len(lines) > 1 and lines[0].strip() == b"{":
        return "object"
    return "object" if _ROW_LIST.search(text[:4096]) else "lines"


def _row_list_of(value: dict[str, Any]) -> bool:
    return any(
        isinstance(found := value.get(key), list) and found and isinstance(found[0], dict)
        for key in ROW_LISTS
    )


def rows_of_lines(chunks: Iterator[bytes], name: str, max_bytes: int) -> Iterator[Row | Rejected]:
    """JSON Lines. Blank lines are no rows."""
    for line in read_lines(chunks, max_bytes):
        source = Source(name, line.number)
        if line.fault:
            yield Rejected(source, line.fault, line.detail, excerpt(line.data))
            continue
        data = line.data.removeprefix(_BOM) if line.data.startswith(_BOM) else line.data
        if not data or data.isspace():
            continue
        yield from _as_rows(data, source)


def _as_rows(data: bytes, source: Source) -> Iterator[Row | Rejected]:
    value = parse_object(data)
    if isinstance(value, Fault):
        yield Rejected(source, value.reason, value.detail, excerpt(data))
    elif isinstance(value.get("paragraphs"), list):
        yield from _squad_rows(value, source)
    else:
        yield Row(value, source)


def _squad_rows(article: dict[str, Any], source: Source) -> Iterator[Row | Rejected]:
    """Question, context and first answer of each question of a SQuAD article."""
    for paragraph in article["paragraphs"]:
        try:
            for question in paragraph["qas"]:
                answers = question.get("answers") or question.get("plausible_answers") or [{}]
                fields = {
                    "question": question.get("question"),
                    "context": paragraph.get("context"),
                    "answer": answers[0].get("text"),
                }
                yield Row(fields, source)
        except (AttributeError, KeyError, TypeError, IndexError):
            shown = repr(paragraph)[:EXCERPT]
            yield Rejected(source, "not a SQuAD paragraph", "", excerpt(shown))


def rows_of_array(chunks: Iterator[bytes], name: str, max_bytes: int) -> Iterator[Row | Rejected]:
    """The elements of a JSON array, or of the list of rows inside a top-level object.

    Only the brackets and strings are followed here; each element is parsed by itself, so a bad
    one costs only itself and memory holds one element.

    Raises:
        DataError: the file is an object without a list of rows.
    """
    scanner = _Scanner(max_bytes)
    try:
        for chunk in chunks:
            for element in scanner.feed(chunk):
                yield from _element_rows(element, name)
    except Damaged as damage:
        source = Source(name, scanner.line)
        yield Rejected(source, "file breaks off", str(damage), excerpt(scanner.rest().data))
        return
    if not scanner.found:
        keys = ", ".join(ROW_LISTS)
        raise DataError(
            "this JSON file holds one object and no list of rows",
            where=name,
            fix=f"Make it a list of objects, or put the list under one of the keys: {keys}",
        )
    rest = scanner.rest()
    if not rest.data.strip():
        return
    if isinstance(fault := parse_object(rest.data), Fault):
        why = "text after the end of the list" if scanner.closed else "the list is never closed"
        shown = excerpt(rest.data)
        yield Rejected(Source(name, rest.line), "invalid JSON", f"{why}; {fault.reason}", shown)
    else:
        yield from _element_rows(rest, name)


class _Element(NamedTuple):
    line: int
    data: bytes
    size: int
    max_bytes: int


def _element_rows(element: _Element, name: str) -> Iterator[Row | Rejected]:
    source = Source(name, element.line)
    if element.size > element.max_bytes:
        yield Rejected(source, "row too long", f"{element.size:,} bytes", excerpt(element.data))
    else:
        yield from _as_rows(element.data, source)


class _Scanner:
    """Finds the elements of the list of rows in a stream of bytes.

    Attributes:
        line: the line on which the bytes kept so far end.
        found: whether the list has begun.
        closed: whether it has ended.
    """

    def __init__(self, max_bytes: int) -> None:
        self.line = 1
        self.found = False
        self.closed = False
        self._max = max_bytes
        self._depth = 0
        self._list_depth = 0
        self._in_string = False
        self._skip = False
        self._element_line = 1
        self._parts: list[bytes] = []
        self._size = 0
        self._key = b""

    def rest(self) -> _Element:
        """What was read of an element that did not end."""
        return _Element(self._element_line, b"".join(self._parts), self._size, self._max)

    def feed(self, chunk: bytes) -> Iterator[_Element]:
        """The elements that end in this chunk."""
        position = int(self._skip)
        self._skip = False
        start = 0
        while match := (_INSIDE if self._in_string else _OUTSIDE).search(chunk, position):
            position = match.end()
            byte = chunk[position - 1]
            if byte == _BACKSLASH:
                position += 1
                self._skip = position > len(chunk)
            elif byte == _QUOTE:
                self._in_string = not self._in_string
                if not self.found:
                    self._key = b"" if self._in_string else self._key + chunk[start : position - 1]
                    start = self._move(chunk, start, position)
            elif not self.found or self.closed:
                if self._outside(byte) or not self.found:
                    start = self._move(chunk, start, position)
            elif self._ends_element(byte):
                self._keep(chunk[start : position - 1])
                element = self.rest()
                self._parts, self._size, start = [], 0, position
                if element.data.strip():
                    yield element
        if self.found and not (self.closed and self._list_depth == 2):
            self._keep(chunk[start:])
            return
        if self._in_string:
            self._key = (self._key + chunk[start:])[-64:]
        self._move(chunk, start, len(chunk))

    def _move(self, chunk: bytes, start: int, position: int) -> int:
        """Leave bytes behind that belong to no element."""
        self.line += chunk.count(b"\n", start, position)
        return position

    def _outside(self, byte: int) -> bool:
        """Follow a bracket or comma before or after the list; whether the list begins here."""
        begins = False
        if byte in b"[{":
            self._depth += 1
            named = self._depth == 2 and self._key.decode("utf-8", "replace") in ROW_LISTS
            begins = byte == _OPEN_LIST and (named or self._depth == 1) and self._list_depth < 2
            if begins:
                self.found, self.closed, self._list_depth = True, False, self._depth
        elif byte in b"]}":
            self._depth -= 1
        self._key = b""
        return begins

    def _ends_element(self, byte: int) -> bool:
        if byte in b"[{":
            self._depth += 1
        elif byte in b"]}":
            self._depth -= 1
            self.closed = self._depth < self._list_depth
        return self.closed or (byte == _COMMA and self._depth == self._list_depth)

    def _keep(self, piece: bytes) -> None:
        if not self._size:
            stripped = piece.lstrip()
            self.line += piece.count(b"\n", 0, len(piece) - len(stripped))
            self._element_line = self.line
            piece = stripped
        self.line += piece.count(b"\n")
        self._size += len(piece)
        if self._size <= self._max:
            self._parts.append(piece)
        elif len(self._parts) != 1 or len(self._parts[0]) > 4 * EXCERPT:
            self._parts = [(b"".join(self._parts) + piece[: 4 * EXCERPT])[: 4 * EXCERPT]]
