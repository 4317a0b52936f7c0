"""A request on its way through a model's queue, and what its client's side hears of it."""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tinyforge.errors import TinyForgeError
from tinyforge.server.problems import Problem

log = logging.getLogger("tinyforge")


class Bell:
    """Wakes an event loop for all of its inboxes, once for whatever came before it has woken.

    A model that writes several answers side by side tells of all of them in a row. To wake the
    loop for each would let it go on in between, and the model would wait for Python's lock.
    """

    def __init__(self) -> None:
        self._rung: deque[Inbox] = deque()
        self._ringing = False

    def ring(self, inbox: Inbox) -> None:
        """Something lies in an inbox; from any thread. Nothing where the loop has ended."""
        self._rung.append(inbox)
        if not self._ringing:  # else the loop wakes soon, and sees this too
            self._ringing = True
            try:
                inbox.loop.call_soon_threadsafe(self._wake)
            except RuntimeError:
                self._rung.clear()

    def _wake(self) -> None:
        self._ringing = False
        while self._rung:
            self._rung.popleft().arrived()


_bells: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Bell] = weakref.WeakKeyDictionary()


class Inbox:
    """What threads tell an event loop of the jobs of one request.

    Attributes:
        loop: that is told.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._bell = _bells.setdefault(loop, Bell())
        self._items: deque[tuple[Job, Any]] = deque()
        self._arrived = asyncio.Event()
        self._rung = self._late = False

    def put(self, job: Job, what: Any) -> None:
        """Hand something over, from any thread."""
        self._items.append((job, what))
        if not self._rung:
            self._rung = True
            self._bell.ring(self)

    async def take(self) -> list[tuple[Job, Any]]:
        """All that has come, at least one; none where it was given up before anything came."""
        while not self._items and not self._late:
            self._arrived.clear()
            await self._arrived.wait()
        found = []
        while self._items:
            found.append(self._items.popleft())
        return found

    def arrived(self) -> None:
        """Let whoever waits look; in the loop's thread."""
        self._rung = False
        self._arrived.set()

    def give_up(self) -> None:
        """Nobody waits any longer; in the loop's thread."""
        self._late = True
        self._arrived.set()


@dataclass(eq=False, slots=True)
class Job:
    """Something that one model is asked.

    Attributes:
        given: texts or chats, in order.
        options: of writing; jobs with equal ones can be answered together.
        kind: ``answer``: told is one list of predictions; ``stream``: the pieces of the one
            answer as they come; ``embed``: one list of vectors.
        inbox: who is told; several jobs may share one.
        left: set when nobody wants the answer any more.
        version: which weights answer; set before anything is told.
    """

    given: list[Any]
    options: Mapping[str, Any]
    kind: Literal["answer", "stream", "embed"] = "answer"
    inbox: Inbox | None = None
    left: threading.Event = field(default_factory=threading.Event)
    version: str = ""

    def tell(self, what: Any) -> None:
        """Hand a list, a piece or an exception to whoever asked."""
        if self.inbox is not None:
            self.inbox.put(self, what)


class Told:
    """What is told of some jobs, as it comes; leaving it frees the places of what is not done.

    Args:
        jobs: they get one inbox.
        leave: called with a job that nobody wants any more.
        seconds: for all of them to be done.
    """

    def __init__(self, jobs: Sequence[Job], leave: Callable[[Job], object], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._inbox = Inbox(loop)
        self._end = loop.time() + seconds
        self._timer: asyncio.TimerHandle | None = None
        self._leave = leave
        self._open = {job: place for place, job in enumerate(jobs)}
        for job in jobs:
            job.inbox = self._inbox

    async def next(self) -> list[tuple[int, Any]]:
        """All that was told since the last call, with the job's place; empty: all is done.

        Raises:
            Problem: 504 after the seconds, 400 where a model refuses a text, 500 where it fails.
        """
        found: list[tuple[int, Any]] = []
        if self._timer is None:  # one for all that comes: a stream comes in many pieces
            self._timer = self._inbox.loop.call_at(self._end, self._inbox.give_up)
        while self._open and not found:
            items = await self._inbox.take()
            if not items:
                raise Problem(504, "the answer took too long", code="timeout", retry_after=1)
            for job, what in items:
                if job not in self._open:
                    continue  # it was left
                if isinstance(what, BaseException):
                    raise as_problem(what)
                found.append((self._open[job], what))
                if isinstance(what, list) or what.finish_reason is not None:
                    del self._open[job]
        return found

    def leave(self, place: int) -> None:
        """Nobody wants the rest of this job."""
        for job in [job for job, at in self._open.items() if at == place]:
            del self._open[job]
            self._leave(job)

    def close(self) -> None:
        """Nobody wants anything any more."""
        if self._timer is not None:
            self._timer.cancel()
        for job in list(self._open):
            self._leave(job)
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def as_problem(error: BaseException) -> BaseException:
    """What the model refuses is the client's; anything else is ours and says nothing of itself."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, TinyForgeError) and error.exit_code == 2:
        text = error.what + (f". {error.fix}" if error.fix else "")
        return Problem(400, text, code="refused_by_model")
    # Where and how, but not in the error's own words, which may hold the client's.
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
    log.error("a model failed: %s at %s", type(error).__name__, place)
    return Problem(500, "the model failed; the server's log says more", code="model_failed")
