"""What is written to a client in one turn of the event loop goes out together.

uvicorn writes an answer's head and its body one after the other, and every event of a stream by
itself. Each would be a system call, for which Python's lock is given away, and a packet that wakes
the client. Gathered until the turn is over, they are one of each. What is written alone goes out at
once all the same: the next turn begins when this one ends, and begins with it.
"""

from __future__ import annotations

import asyncio
from typing import Any

MOST = 65_536
"""Bytes that are gathered; more are handed on at once, so that the transport can say stop."""


class Gathered:
    """A transport of asyncio, as far as uvicorn uses one.

    Args:
        transport: the connection's own.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Have this sent when this turn of the event loop is over."""
        if not data:
            return
        if not self._parts:
            self._loop.call_soon(self.hand_on)
        self._parts.append(data)
        self._size += len(data)
        if self._size >= MOST:
            self.hand_on()

    def hand_on(self) -> None:
        """Send now what waits."""
        parts, self._parts, self._size = self._parts, [], 0
        if parts and not self._transport.is_closing():
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        """Send what waits, then close."""
        self.hand_on()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what waits is lost."""
        self._parts, self._size = [], 0
        self._transport.abort()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait, here and in the transport."""
        return self._size + int(self._transport.get_write_buffer_size())

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return bool(self._transport.is_closing())

    def pause_reading(self) -> None:
        """Take nothing of the client for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport knows of itself."""
        return self._transport.get_extra_info(name, default)
