"""A worker process: it is sent functions to call, and says how it gets on.

It runs as a program of its own and speaks pickles over its standard streams, so that the caller's
main module is never run a second time and no thread of the caller is copied. It ends with the
process that started it, however that one ends.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import traceback
from queue import SimpleQueue
from typing import Any, BinaryIO

from tinyforge.errors import TinyForgeError


class Channel:
    """What a called function uses to speak to the process that called it."""

    def __init__(self, said: BinaryIO, given: SimpleQueue[Any]) -> None:
        self._said, self._given = said, given

    def tell(self, message: Any) -> None:
        """Say something that needs no answer."""
        self.send("told", message)

    def ask(self, message: Any) -> Any:
        """Say something, and wait for the answer."""
        self.send("asked", message)
        return self._given.get()

    def send(self, kind: str, payload: Any) -> None:
        """One message; ``kind`` is began, told, asked, done, refused, failed or note."""
        pickle.dump((kind, payload), self._said, protocol=pickle.HIGHEST_PROTOCOL)
        self._said.flush()


class _Notes(logging.Handler):
    """Sends the library's notes to the process that shows them."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        self._channel.send("note", (record.levelno, record.getMessage()))


def main() -> None:
    """Serve calls until the caller goes away."""
    given, said = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)  # what a parser prints must not be taken for a message
    os.dup2(nowhere, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who ends us
    memory = pickle.load(given)
    if memory is not None:
        _limit(memory)
    calls: SimpleQueue[Any] = SimpleQueue()
    channel = Channel(said, calls)
    logger = logging.getLogger("tinyforge")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(_Notes(channel))
    threading.Thread(target=_listen, args=(given, calls), daemon=True).start()
    context = calls.get()
    while True:
        function, arguments = calls.get()
        channel.send("began", None)
        try:
            channel.send("done", function(channel, context, *arguments))
        except TinyForgeError as problem:
            channel.send("refused", str(problem))
        except BaseException:
            channel.send("failed", traceback.format_exc())


def _listen(given: BinaryIO, calls: SimpleQueue[Any]) -> None:
    """Hand on what is sent, also while a call is being worked on; end when nobody is there."""
    try:
        while True:
            calls.put(pickle.load(given))
    except Exception:
        os._exit(1)


def _limit(memory: int) -> None:
    """Refuse more memory than this, so that a hostile file does not take the machine with it."""
    try:
        import resource
    except ImportError:  # Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard == resource.RLIM_INFINITY or memory < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, hard))
