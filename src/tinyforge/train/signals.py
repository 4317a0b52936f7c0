"""Signals: stop soon and safely. The second one stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

STOPPING = tuple(
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if (number := getattr(signal, name, None)) is not None
)


class Stopped(BaseException):
    """A signal came while nothing was being changed. Not an Exception: no library may catch it."""


class Signals:
    """Catches the stopping signals while its context lasts.

    Inside ``interruptible`` a signal raises Stopped on the spot: what runs there changes no state
    of the training, so that it can be dropped. Elsewhere the signal is noted in ``received``.
    Does nothing outside the main thread, where Python allows no handlers.

    Attributes:
        received: the signal's number; None before one came.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._open = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                before = signal.getsignal(number)
                # Under nohup a closed terminal is to be ignored.
                if number != getattr(signal, "SIGHUP", None) or before is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before = {}

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """While this lasts, a signal raises Stopped; so does one that came before."""
        self._open = True
        try:
            if self.received is not None:
                raise Stopped
            yield
        finally:
            self._open = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for known in self._before:
            again = signal.default_int_handler if known == signal.SIGINT else signal.SIG_DFL
            signal.signal(known, again)
        if self._open:
            raise Stopped
