"""HTTP connections that cannot be held open for nothing.

uvicorn alone waits for ever for a request's headers, for the rest of a body that nobody reads any
more, and for a client to take its answer; and where it refuses a request itself, it answers in
plain text. Here every wait ends, and every refusal has the one form.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from typing import Any, ClassVar

import h11
import orjson
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from tinyforge.config.serve import ServeSettings
from tinyforge.server.gathered import Gathered
from tinyforge.server.problems import Problem

SWEEP_SECONDS = 0.5
"""How often each connection is looked at. One pass over all costs less than timers for each."""

LEAST_TAKEN = 16_384
"""Bytes of an answer that a client has to take in each ``write_seconds``, or all that is left."""

RESERVE = 32
"""Connections beyond the limit in which a client is still told that there are too many."""


def connection_class(settings: ServeSettings) -> type[Connection]:
    """``Connection`` with the limits of ``settings``; uvicorn makes its connections of a class.

    Whoever runs the server calls ``sweep(now)`` on each of its connections now and then.
    """

    class Limited(Connection):
        limits = settings

    return Limited


class Connection(H11Protocol):
    """One client's connection.

    Attributes:
        limits: of time and number; those of all connections of a server.
        _since: when it began to wait for what it waits for now.
        _partial: whether a part of a request's line and headers has come.
        _stalled: since when the client has taken too little of what waits for it; None: nothing
            waits that could not still grow.
        _unsent: bytes that waited then.
        _gathered: what it writes to.
    """

    limits: ClassVar[ServeSettings]
    _gathered: Gathered
    _since = 0.0
    _partial = False
    _stalled: float | None = None
    _unsent = 0

    def connection_made(self, transport: Any) -> None:
        """A client has connected; what is written to it in one turn goes out together."""
        self._gathered = Gathered(transport, self.loop)
        gathered: Any = self._gathered
        super().connection_made(gathered)
        self._since = time.monotonic()
        if len(self.connections) > self.limits.max_connections + RESERVE:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """As uvicorn's; notes when a request begins to come."""
        super().data_received(data)
        state: Any = self.conn.their_state
        if self._answering() or state is not h11.IDLE:
            self._partial = False
        elif not self._partial:
            self._partial, self._since = True, time.monotonic()

    def eof_received(self) -> None:
        """The client sends no more; asyncio closes the connection after this."""
        self._gathered.hand_on()

    def on_response_complete(self) -> None:
        """As uvicorn's; the wait for the next request begins."""
        self._since, self._partial = time.monotonic(), False
        super().on_response_complete()

    def sweep(self, now: float) -> None:
        """Cut it off where it has waited too long for its client."""
        closing, answering = self.transport.is_closing(), self._answering()
        unsent = _unsent(self.transport)
        # While a stream is written and flows, its buffer grows and shrinks and says nothing.
        complete = self.flow.write_paused or closing or not answering
        if not unsent or not complete:
            self._stalled = None
        elif self._stalled is None or self._unsent - unsent >= LEAST_TAKEN:
            self._stalled, self._unsent = now, unsent
        if self._stalled is not None and now - self._stalled > self.limits.write_seconds:
            _drop(self.transport)
        elif not answering and not closing:
            self._sweep_idle(now - self._since)

    def _sweep_idle(self, waited: float) -> None:
        state: Any = self.conn.their_state
        before: Any = self.cycle
        limits = self.limits
        if state in (h11.SEND_BODY, h11.ERROR):  # answered before it was read
            if waited > limits.body_seconds:
                self.transport.abort()
        elif self._partial and waited > limits.head_seconds:
            self._refuse(Problem(408, "the headers took too long to come", code="slow_headers"))
        elif before is None and waited > limits.head_seconds:  # it never said anything
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """What is no request is refused in the one form; ``msg`` is uvicorn's."""
        error = sys.exc_info()[1]  # uvicorn calls this where it has caught one
        status = getattr(error, "error_status_hint", 400)
        if status == 431:
            problem = Problem(431, "the headers are too large", code="headers_too_large")
        else:
            problem = Problem(400, "this is not a valid HTTP request", code="invalid_http")
        self._refuse(problem)

    def shutdown(self) -> None:
        """As uvicorn's, also where HTTP is broken already."""
        try:
            super().shutdown()
        except h11.LocalProtocolError:  # the connection is beyond saving
            self.transport.abort()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, problem: Problem) -> None:
        """Answer without a request, and close."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # whoever answers it now speaks to nobody
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = orjson.dumps(problem.body())
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        reason = STATUS_PHRASES.get(problem.status, b"")
        for event in (
            h11.Response(status_code=problem.status, headers=headers, reason=reason),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _unsent(transport: Any) -> int:
    """Bytes that the client has not taken: in our buffer, and in the system's, which may hold
    megabytes and asks for more only when a third of it is free."""
    size: int = transport.get_write_buffer_size()
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on every system
        import fcntl
        import termios

        number = transport.get_extra_info("socket").fileno()
        (queued,) = struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)))
        size += queued
    return size


def _drop(transport: Any) -> None:
    """Close it at once; the system forgets what it still had to send, too."""
    with contextlib.suppress(OSError):
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
