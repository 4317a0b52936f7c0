"""Tokens out of a thread that writes them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import Any

from transformers.generation.streamers import BaseStreamer

_END = object()


class TokenQueue(BaseStreamer):  # type: ignore[misc]
    """Takes what ``generate`` streams: first the prompt, then one token at a time."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        """Called by ``generate`` with a tensor of ids of one row."""
        if self._prompt_seen:
            for token in value.reshape(-1).tolist():
                self._items.put(token)
        self._prompt_seen = True

    def end(self) -> None:
        """Called by ``generate`` after the last token; ``tokens_from`` waits for the thread."""

    def close(self, failure: BaseException | None) -> None:
        """Nothing more will come."""
        self._items.put(_END if failure is None else failure)

    def get(self) -> Any:
        """The next token, ``_END``, or an exception."""
        return self._items.get()


def tokens_from(write: Callable[[TokenQueue, threading.Event], None]) -> Generator[int, None, None]:
    """Token ids as ``write`` produces them in a thread.

    Args:
        write: puts tokens into the queue and returns soon after the event is set.

    The thread has ended when this generator has: it is told to stop and waited for. An exception
    in it is raised here.
    """
    tokens, closed = TokenQueue(), threading.Event()

    def work() -> None:
        failure: BaseException | None = None
        try:
            write(tokens, closed)
        except BaseException as error:  # handed over to the reader
            failure = error
        tokens.close(failure)

    thread = threading.Thread(target=work, name="tinyforge-stream", daemon=True)
    thread.start()
    try:
        while (item := tokens.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
        thread.join()
