"""HTTP connections that cannot be held open for nothing.

uvicorn waits for ever for a request's headers and for a client to take its answer (slowloris and
slow readers); here both have a time limit, and so has an idle connection that sent nothing yet.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def connection_class(head_seconds: float, write_seconds: float) -> type[H11Protocol]:
    """uvicorn's connection with time limits.

    Args:
        head_seconds: for a request's line and headers, from the connection's first moment or the
            first byte after an answer.
        write_seconds: for a client to take something of an answer once its buffers are full.
    """

    class Connection(H11Protocol):
        """One client's connection."""

        _head: asyncio.TimerHandle | None = None
        _write: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_head()

        def data_received(self, data: bytes) -> None:
            idle = self.cycle is None or self.cycle.response_complete
            if idle and self._head is None:
                self._await_head()
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:  # the headers are complete
                _stop(self._head)
                self._head = None

        def pause_writing(self) -> None:
            super().pause_writing()
            if self._write is None:
                self._write = self.loop.call_later(write_seconds, self._cut)

        def resume_writing(self) -> None:
            _stop(self._write)
            self._write = None
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            _stop(self._head)
            _stop(self._write)
            super().connection_lost(exc)

        def _await_head(self) -> None:
            self._head = self.loop.call_later(head_seconds, self._cut)

        def _cut(self) -> None:
            self._head = self._write = None
            self.transport.abort()

    return Connection


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
