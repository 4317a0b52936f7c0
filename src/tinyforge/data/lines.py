"""Lines of a byte stream, with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tinyforge.data.files import Damaged

EXCERPT = 120


class Line(NamedTuple):
    """One line without its end.

    Attributes:
        number: 1-based.
        data: its bytes; only the first of them where ``fault`` is set.
        fault: why it cannot be used: too long, or the file breaks off here.
        detail: more about the fault.
    """

    number: int
    data: bytes
    fault: str = ""
    detail: str = ""


def read_lines(chunks: Iterator[bytes], max_bytes: int) -> Iterator[Line]:
    """Cut a stream at line feeds. A line over ``max_bytes`` is skipped and comes as a fault."""
    number = 1
    parts: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                if size == 0:
                    line = chunk[start:end]
                    size = len(line)
                else:
                    size += end - start
                    parts.append(chunk[start:end])
                    line = b"".join(parts)
                yield _line(number, line, size, max_bytes)
                number += 1
                size = 0
                parts.clear()
                start = end + 1
            if start < len(chunk):
                size += len(chunk) - start
                if size <= max_bytes or not parts:
                    parts.append(chunk[start:] if size <= max_bytes else chunk[start:][:EXCERPT])
                elif len(parts) > 1 or len(parts[0]) > 4 * EXCERPT:
                    parts = [b"".join(parts)[: 4 * EXCERPT]]
    except Damaged as damage:
        yield Line(number, b"".join(parts)[: 4 * EXCERPT], "file breaks off", str(damage))
        return
    if size:
        yield _line(number, b"".join(parts), size, max_bytes)


def _line(number: int, data: bytes, size: int, max_bytes: int) -> Line:
    if size > max_bytes:
        return Line(number, data[: 4 * EXCERPT], "row too long", f"{size:,} bytes")
    return Line(number, data.removesuffix(b"\r"))


def excerpt(data: bytes | str) -> str:
    """The first characters of a row, fit to be shown and stored whatever the bytes are."""
    if isinstance(data, str):
        data = data[:EXCERPT].encode("utf-8", "backslashreplace")
    return data[: 4 * EXCERPT].decode("utf-8", "replace")[:EXCERPT]
