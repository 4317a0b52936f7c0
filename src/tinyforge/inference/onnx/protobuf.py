"""The wire format of protocol buffers, as much of it as looking through an ONNX file takes.

Nothing is copied and nothing is believed: a length that leaves its message, a number of more than
ten bytes or a group is refused where it stands. The format is the one of Google's "Encoding"
reference; the package ``onnx`` is not needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MOST_BYTES = 10
"""Bytes of a variable-length number, at most."""
_LONGEST_TEXT = 2**16
"""Bytes of a name, at most."""


class MalformedError(ValueError):
    """The bytes are no message."""


@dataclass(frozen=True, slots=True)
class Message:
    """A part of a buffer that holds a message.

    Attributes:
        data: the whole buffer.
        start, end: where the message lies in it.
    """

    data: memoryview
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def fields(self) -> Iterator[tuple[int, int | Message]]:
        """Number and content of each field, in order: a number, or the bytes as a message.

        Fixed-width numbers are given as unsigned integers.

        Raises:
            MalformedError: the message is damaged.
        """
        data, at, end = self.data, self.start, self.end
        while at < end:
            tag, at = _varint(data, at, end)
            kind = tag & 7
            if not tag >> 3:
                raise MalformedError(f"a field with the number 0 at byte {at}")
            value: int | Message
            if kind == BYTES:
                size, at = _varint(data, at, end)
                if size > end - at:
                    raise MalformedError(f"a part of {size:,} bytes where {end - at:,} are left")
                value = Message(data, at, at + size)
                at += size
            elif kind == VARINT:
                value, at = _varint(data, at, end)
            elif kind in (FIXED32, FIXED64):
                width = 4 if kind == FIXED32 else 8
                if width > end - at:
                    raise MalformedError(f"it ends within a number at byte {at}")
                value = int.from_bytes(data[at : at + width], "little")
                at += width
            else:
                raise MalformedError(f"a part of the unknown kind {kind} at byte {at}")
            yield tag >> 3, value

    def text(self) -> str:
        """The bytes as text.

        Raises:
            MalformedError: they are no UTF-8, or far too many for a name.
        """
        if len(self) > _LONGEST_TEXT:
            raise MalformedError(f"a name of {len(self):,} bytes")
        try:
            return bytes(self.data[self.start : self.end]).decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedError("a name that is no text") from error

    def numbers(self) -> list[int]:
        """The bytes as packed variable-length numbers.

        Raises:
            MalformedError: they are damaged.
        """
        found, at = [], self.start
        while at < self.end:
            value, at = _varint(self.data, at, self.end)
            found.append(value)
        return found


def signed(value: int) -> int:
    """A variable-length number as the int64 that it stands for."""
    return value - (1 << 64) if value >> 63 else value


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """A variable-length number, and the place behind it."""
    if at < end and (first := data[at]) < 128:  # nearly all of them
        return first, at + 1
    value = 0
    for place in range(_MOST_BYTES):
        if at + place >= end:
            raise MalformedError(f"it ends within a number at byte {at}")
        byte = data[at + place]
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            if value >> 64:
                break
            return value, at + place + 1
    raise MalformedError(f"a number that is too long at byte {at}")
