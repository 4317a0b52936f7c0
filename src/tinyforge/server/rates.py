"""How often each key may ask, exactly, over all worker processes.

For each key the moments of its last ``limit`` requests stand in a ring: one more is allowed if the
oldest of them is a minute ago (the sliding window log). The rings lie in a file that is mapped into
every worker.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import struct
import tempfile
import time
from collections.abc import Iterator
from typing import IO

MINUTE = 60.0
KEYS = 256
"""Keys that are told apart; of more, the one that was silent longest is forgotten."""

_HEAD = struct.Struct("<16sQd")
"""A ring's owner (the beginning of its name's SHA-256), the place of its oldest moment, and when
the owner last asked."""
_MOMENT = struct.Struct("<d")


class Rates:
    """Rings of moments.

    Args:
        limit: requests a minute for each key.
        file: of ``make_file(limit)``, which other processes use too; default: nobody else does.
    """

    def __init__(self, limit: int, file: IO[bytes] | int | None = None) -> None:
        self._limit, self._size = limit, _HEAD.size + limit * _MOMENT.size
        self._shared = None if file is None else file if isinstance(file, int) else file.fileno()
        with contextlib.ExitStack() as stack:
            number = self._shared
            if number is None:  # the mapping keeps it
                number = stack.enter_context(make_file(limit)).fileno()
            self._map = mmap.mmap(number, KEYS * self._size)

    def wait(self, owner: str) -> float:
        """Seconds until this key may ask again; 0: now, and that is noted."""
        now = time.monotonic()  # the machine's, the same in all processes
        with self._alone():
            start = self._ring(hashlib.sha256(owner.encode()).digest()[:16])
            mark, place, _ = _HEAD.unpack_from(self._map, start)
            offset = start + _HEAD.size + place * _MOMENT.size
            (oldest,) = _MOMENT.unpack_from(self._map, offset)
            if oldest and now - oldest < MINUTE:
                return float(MINUTE - (now - oldest))
            _MOMENT.pack_into(self._map, offset, now)
            _HEAD.pack_into(self._map, start, mark, (place + 1) % self._limit, now)
        return 0.0

    def _ring(self, mark: bytes) -> int:
        """Where a key's ring begins; a new one, or the longest silent one's, where it has none."""
        silent, chosen = float("inf"), 0
        for start in range(0, KEYS * self._size, self._size):
            owner, _, last = _HEAD.unpack_from(self._map, start)
            if owner == mark:
                return start
            if not last:
                chosen = start
                break
            if last < silent:
                silent, chosen = last, start
        self._map[chosen : chosen + self._size] = bytes(self._size)
        _HEAD.pack_into(self._map, chosen, mark, 0, 0.0)
        return chosen

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Only this process looks at the rings; within it, only the event loop does."""
        if self._shared is None:
            yield
            return
        import fcntl

        fcntl.lockf(self._shared, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._shared, fcntl.LOCK_UN)


def make_file(limit: int) -> IO[bytes]:
    """An empty file for the rings, without a name; what no key has used takes no space."""
    file = tempfile.TemporaryFile(prefix="tinyforge-rates-")  # noqa: SIM115 - it is handed on
    file.truncate(KEYS * (_HEAD.size + limit * _MOMENT.size))
    return file
