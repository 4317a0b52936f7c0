"""Rows from CSV and TSV, with quoted fields over several lines."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from tinyforge.data.lines import Line, excerpt, read_lines
from tinyforge.data.names import KNOWN, plain
from tinyforge.records.rows import Rejected, Row, Source

_SAMPLE_LINES = 200
_SAMPLE_BYTES = 4_000_000
_TRIAL_LINES = 100
_MOST_RECOVERIES = 50
_DELIMITERS = (",", ";", "\t", "|")
_NAME_LIKE = re.compile(r"[^\W\d][\w .:/()#-]{0,39}")


class _Record(NamedTuple):
    """Cells of one record, the physical lines they came from, and what is wrong with it."""

    lines: list[Line]
    cells: list[str]
    fault: str = ""


def rows_of_table(
    chunks: Iterator[bytes], name: str, max_bytes: int, *, tabs: bool, wanted: tuple[str, ...] = ()
) -> Iterator[Row | Rejected]:
    """Records of a CSV or TSV file, named by its header, else ``column_1``, ``column_2``, …

    The first record is the header if it names a column in ``wanted`` or a usual column, or looks
    like names and unlike the rows below. CSV may also be cut at ``;``, tab or ``|``. A record
    without as many fields as the header is turned away. Where a stray quote has swallowed whole
    rows, these are read again from the next line on.
    """
    csv.field_size_limit(max(csv.field_size_limit(), min(max_bytes, 2**31 - 1)))
    lines = read_lines(chunks, max_bytes)
    first: list[Line] = []
    size = 0
    for line in lines:
        first.append(line)
        size += len(line.data)
        if len(first) >= _SAMPLE_LINES or size > _SAMPLE_BYTES:
            break
    sample = [_decode(line) for line in first if not line.fault]
    delimiter = "\t" if tabs else _find_delimiter(sample)
    records = _sample_records(sample, delimiter)
    header = _header(records, wanted)
    has_header = bool(header)
    if not has_header:
        header = [f"column_{i + 1}" for i in range(_usual_width(records))]
    table = _Table(chain(first, lines), delimiter, max_bytes, len(header))
    for record in table.records():
        if has_header and not record.fault:
            has_header = False
        else:
            yield from _row(record, header, name)


def _decode(line: Line) -> str:
    return line.data.decode("utf-8", "surrogateescape")


def _sample_records(sample: list[str], delimiter: str) -> list[list[str]]:
    try:
        return [record for record in csv.reader(sample, delimiter=delimiter) if record]
    except csv.Error:
        return [line.split(delimiter) for line in sample if line]


def _usual_width(records: list[list[str]]) -> int:
    widths = [len(record) for record in records]
    return max(sorted(set(widths)), key=widths.count, default=1)


def _find_delimiter(sample: list[str]) -> str:
    """The delimiter that cuts most records into the same number, at least 2, of fields."""
    best, best_share = ",", 0.0
    for delimiter in _DELIMITERS:
        records = _sample_records(sample, delimiter)
        usual = _usual_width(records)
        share = sum(len(r) == usual for r in records) / max(1, len(records)) if usual > 1 else 0.0
        if share > best_share:
            best, best_share = delimiter, share
    return best


def _header(records: list[list[str]], wanted: tuple[str, ...]) -> list[str]:
    """The columns' names if the first record is a header, else nothing."""
    if not records:
        return []
    cells = [cell.strip() for cell in records[0]]
    if not set(wanted) & set(cells):
        named = [cell for cell in cells if cell]
        unique = len({plain(cell) for cell in named}) == len(named)
        name_like = all(_NAME_LIKE.fullmatch(cell) and len(cell.split()) <= 4 for cell in named)
        known = any(plain(cell) in KNOWN for cell in named)
        unlike = all(cells) and _unlike_below(cells, records[1:])
        if not (named and unique and name_like and (known or unlike)):
            return []
    names: list[str] = []
    for number, cell in enumerate(cells, 1):
        base = cell or f"column_{number}"
        names.append(base if base not in names else f"{base}_{number}")
    return names


def _unlike_below(cells: list[str], below: list[list[str]]) -> bool:
    """Whether a column's first cell is of another kind than the cells under it."""
    unlike = False
    for position, cell in enumerate(cells):
        under = [record[position] for record in below if len(record) == len(cells)]
        if not under or cell in under:
            return False
        numbers = all(value.strip().lstrip("+-").replace(".", "", 1).isdigit() for value in under)
        longer = sum(map(len, under)) / len(under) > 3 * len(cell)
        repeated = len(under) >= 8 and len(set(under)) <= len(under) / 4
        unlike = unlike or numbers or longer or repeated
    return unlike


class _Table:
    """Cuts physical lines into records, and lines back out of a record that swallowed rows."""

    def __init__(self, lines: Iterator[Line], delimiter: str, max_bytes: int, width: int) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self._delimiter = delimiter
        self._max = max_bytes
        self._width = width
        self._buffer: list[Line] = []
        self._faults: list[Line] = []
        self._ended = False
        self._recoveries = 0

    def records(self) -> Iterator[_Record]:
        """All records, the faulty ones with their reason."""
        while not self._ended:
            reader = csv.reader(self._texts(), delimiter=self._delimiter)
            restart = False
            while not restart:
                record = self._next(reader)
                yield from (_Record([line], [], line.fault) for line in self._faults)
                self._faults.clear()
                if record is None:
                    break
                restart = self._recover(record)
                if restart:
                    record = self._literal(record.lines[0])
                if record.cells or record.fault:
                    yield record

    def _next(self, reader: Iterator[list[str]]) -> _Record | None:
        self._buffer = []
        try:
            cells = next(reader)
        except StopIteration:
            return None
        except csv.Error as error:
            too_long = "limit" in str(error)
            return _Record(self._buffer, [], "row too long" if too_long else "invalid CSV")
        if self._ended:
            return _Record(self._buffer, cells, "quote never closed")
        fault = "wrong number of fields" if cells and len(cells) != self._width else ""
        return _Record(self._buffer, cells, fault)

    def _texts(self) -> Iterator[str]:
        size = 0
        while True:
            line = self._again.popleft() if self._again else next(self._lines, None)
            if line is None:
                self._ended = True
                return
            if line.fault:
                self._faults.append(line)
                continue
            size = len(line.data) + (size if self._buffer else 0)
            self._buffer.append(line)
            if size > self._max:
                raise csv.Error("record larger than the limit")
            yield _decode(line) + "\n"

    def _recover(self, record: _Record) -> bool:
        """Give the lines after the first back where they are rows of their own."""
        rest = record.lines[1:]
        if not rest or self._recoveries >= _MOST_RECOVERIES:
            return False
        if not record.fault:
            if self._delimiter != "\t" or any(self._literal(x).fault for x in record.lines):
                return False
        elif not self._trial(rest):
            return False
        self._recoveries += 1
        self._again.extendleft(reversed(rest))
        self._ended = False
        return True

    def _trial(self, lines: list[Line]) -> bool:
        texts = [_decode(line) for line in lines[:_TRIAL_LINES]]
        widths = [len(r) for r in _sample_records(texts, self._delimiter)[: len(texts) - 1] if r]
        if len(lines) == 1:
            return not self._literal(lines[0]).fault
        return bool(widths) and widths.count(self._width) >= 0.9 * len(widths)

    def _literal(self, line: Line) -> _Record:
        """One physical line with its quotes taken as they are."""
        cells = _decode(line).split(self._delimiter)
        fault = "" if len(cells) == self._width else "quote never closed"
        return _Record([line], cells, fault)


def _row(record: _Record, header: list[str], name: str) -> Iterator[Row | Rejected]:
    first = record.lines[0]
    source = Source(name, first.number)
    shown = excerpt(b"\n".join(line.data[:200] for line in record.lines[:2]))
    if record.fault:
        detail = first.detail
        if record.fault == "wrong number of fields":
            detail = f"fields: {len(record.cells)}, columns: {len(header)}"
        if len(record.lines) > 1:
            detail = f"{detail}; " * bool(detail) + f"lines {first.number} to "
            detail += str(record.lines[-1].number)
        yield Rejected(source, record.fault, detail, shown)
        return
    for cell in record.cells:
        if not cell.isascii() and any("\ud800" <= character <= "\udfff" for character in cell):
            yield Rejected(source, "not valid UTF-8", "", shown)
            return
    yield Row(dict(zip(header, record.cells, strict=True)), source)
