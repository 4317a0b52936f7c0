"""Parsers of hostile formats in a process of their own, with a limit on time and memory.

A PDF that loops, an office file that unpacks to gigabytes or a page that sends a parser into deep
recursion ends that process and not the work. The process is kept for the next document; it is
replaced when it died and after ``_DOCUMENTS`` documents, so that what leaks in it stays bounded.
"""

from __future__ import annotations

import atexit
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO, Any

import orjson

from tinyforge.corpus.reading.item import Item, Unreadable, Work, documents
from tinyforge.errors import MissingPackageError
from tinyforge.records.documents import Document, Dropped

LENGTH = struct.Struct("<QQ")
"""What stands before each message: the bytes of its JSON and of its payload."""

_DOCUMENTS = 500
_WALL_FACTOR = 4
_WALL_LEAST = 60.0
"""Seconds on the clock that a parser may take; its limit is processor time, which does not depend
on how busy the machine is, and this only ends one that waits forever."""

OUT_OF_MEMORY = "needs too much memory"
TOO_LONG = "takes too long"
STANDS_STILL = "it does not answer"
TOO_MUCH = "its text is too long"
_SIGXCPU = 24
_SECRET = ("PASSWORD", "SECRET", "TOKEN", "KEY")
_PROGRAM = "from tinyforge.corpus.reading.parser_process import main; main()"


class _Died(Exception):  # noqa: N818 - a signal inside this module
    """The parser's process ended before it answered; the text says why."""


class _Parser:
    """The process, seen from this side."""

    def __init__(self, seconds: int, memory: int) -> None:
        self.limits = (seconds, memory)
        self.owner = os.getpid()
        self.documents = 0
        environment = {
            name: value
            for name, value in os.environ.items()
            if not any(word in name.upper() for word in _SECRET)
        }
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        environment["OMP_NUM_THREADS"] = "1"
        self._process = subprocess.Popen(
            # -P: a file of the folder that the user stands in is never imported.
            [sys.executable, "-P", "-c", _PROGRAM, str(seconds), str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    def ask(self, kind: str, data: bytes, options: dict[str, Any], most: int) -> Any:
        """The parser's answer to one document.

        Raises:
            _Died: there is none.
        """
        self.documents += 1
        message = orjson.dumps({"kind": kind, "options": options})
        deadline = time.monotonic() + max(_WALL_LEAST, _WALL_FACTOR * self.limits[0])
        try:
            stdin = self._pipe(self._process.stdin)
            stdin.write(LENGTH.pack(len(message), len(data)) + message)
            stdin.write(data)
            stdin.flush()
            size = LENGTH.unpack(self._take(LENGTH.size, deadline))[0]
            if size > most:
                raise _Died(TOO_MUCH)
            return orjson.loads(self._take(size, deadline))
        except (OSError, struct.error, orjson.JSONDecodeError) as error:
            raise _Died(str(error)) from None

    def _take(self, size: int, deadline: float) -> bytes:
        stdout = self._pipe(self._process.stdout)
        parts = []
        while size:
            left = deadline - time.monotonic()
            if left <= 0 or not self._ready(stdout, left):
                raise _Died(STANDS_STILL)
            part = os.read(stdout.fileno(), min(size, 1 << 20))
            if not part:
                raise _Died("it ended")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    @staticmethod
    def _ready(stdout: IO[bytes], seconds: float) -> bool:
        if os.name == "nt":  # select takes sockets only there
            return True
        return bool(select.select([stdout], [], [], seconds)[0])

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise _Died("it has no pipe")
        return pipe

    def end(self) -> int:
        """Stop the process; its exit code, negative for a signal."""
        if self.owner != os.getpid():  # a fork: the process belongs to someone else
            return 0
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue
        return self._process.wait()

    def fate(self) -> int | None:
        """The exit code of a process that ended by itself, waiting a moment for it."""
        try:
            return self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return None


_parser: _Parser | None = None


def _ready_parser(seconds: int, memory: int) -> _Parser:
    global _parser
    known = _parser
    if known is not None and (
        known.owner != os.getpid()
        or known.limits != (seconds, memory)
        or known.documents >= _DOCUMENTS
    ):
        close_parser()
        known = None
    if known is None:
        known = _parser = _Parser(seconds, memory)
    return known


def close_parser() -> None:
    """End this process's parser, if it has one."""
    global _parser
    if _parser is not None:
        _parser.end()
    _parser = None


atexit.register(close_parser)


def parse_apart(
    kind: str, data: bytes, options: dict[str, Any], item: Item, work: Work, number: str = ""
) -> Iterator[Document | Dropped]:
    """The documents of one parsed file.

    Args:
        kind: a parser's name in ``parser_process.PARSERS``.
        options: what the parser is told, as plain JSON.
        number: where an item holds several documents, which one this is.

    Raises:
        Unreadable: the parser refuses it, takes too long or needs too much memory.
        MissingPackageError: the parser's package is not installed.
    """
    answer = _ask(kind, data, options, work)
    if "missing" in answer:
        raise MissingPackageError(answer["missing"], needed_for=f"reading {kind}", extra="data")
    if "reason" in answer:
        raise Unreadable(answer["reason"], answer["detail"])
    yield from documents(item, answer["text"], work.settings, number=number, meta=answer["meta"])


def _ask(kind: str, data: bytes, options: dict[str, Any], work: Work) -> Any:
    """One answer.

    A death, or memory that runs out, is believed of a fresh process only, so that what earlier
    documents left behind decides nothing.
    """
    settings = work.settings
    most = 100 * settings.max_characters + 10_000_000
    while True:
        parser = _ready_parser(settings.parser_seconds, settings.parser_bytes)
        fresh = parser.documents == 0
        try:
            answer = parser.ask(kind, data, options, most)
        except _Died as death:
            refusal = _verdict(parser, str(death), settings.parser_seconds)
            close_parser()
            if fresh or refusal.reason == TOO_LONG:
                raise refusal from None
        else:
            if fresh or answer.get("reason") != OUT_OF_MEMORY:
                return answer
            close_parser()


def _verdict(parser: _Parser, why: str, seconds: int) -> Unreadable:
    if why == STANDS_STILL:
        return Unreadable(TOO_LONG, "the parser stands still")
    if why == TOO_MUCH:
        return Unreadable("unpacks to too much", why)
    code = parser.fate()
    if code == -_SIGXCPU:
        return Unreadable(TOO_LONG, f"more than {seconds} s of processor time")
    return Unreadable("crashes its parser", f"exit code {code}")
