"""One bounded queue for each model, and the threads that answer what waits in it.

A model that reads many texts at once best (every classifier, every PyTorch model) has one thread,
which takes all that waits and fits together: under load batches grow by themselves, and nobody
waits for a batch to fill. An exported model that writes text has an engine of its own that mixes
running answers, so that each of several threads brings it one request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tinyforge.errors import TinyForgeError
from tinyforge.server.problems import Problem

log = logging.getLogger("tinyforge")

_END = object()


@dataclass(eq=False)
class Job:
    """A request that waits for a model, or is answered by it.

    Attributes:
        given: texts or chats, in order.
        options: of writing; jobs with equal ones can be answered together.
        streamed: whether pieces of the one answer are wanted as they come.
        left: set when nobody wants the answer any more.
    """

    given: list[Any]
    options: Mapping[str, Any]
    loop: asyncio.AbstractEventLoop
    streamed: bool = False
    left: threading.Event = field(default_factory=threading.Event)
    pieces: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    def tell(self, what: Any) -> None:
        """Hand something to the event loop; nothing where that has ended."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.pieces.put_nowait, what)


class Queue:
    """Requests to one model.

    Args:
        model: what answers: ``predict(list, **options)`` and ``stream(one, **options)``.
        waiting: requests that may wait; more are refused.
        rows: texts that are answered together, at most.
        threads: of them one answers many texts at once, several answer one request each.
    """

    def __init__(self, model: Any, *, waiting: int, rows: int, threads: int = 1) -> None:
        self._model, self._most, self._rows = model, waiting, rows
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.successor: Queue | None = None
        self._running = 0
        self._seconds = 0.1  # of a job, smoothed; for Retry-After
        self.batches: deque[int] = deque(maxlen=1_000)
        self._threads = [
            threading.Thread(target=self._work, name=f"tinyforge-answer-{i}", daemon=True)
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Requests that nobody has begun to answer."""
        return len(self._jobs)

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return self._running

    def put(self, job: Job) -> None:
        """Let a job wait.

        A closed queue hands it to its successor.

        Raises:
            Problem: 429 where too many wait already, 503 where the queue is closed for good.
        """
        with self._changed:
            closed = self._closed
            if not closed:
                self._add(job)
        if closed and self.successor is not None:
            self.successor.put(job)
        elif closed:
            raise Problem(503, "the server is stopping", code="draining", retry_after=5)

    def _add(self, job: Job) -> None:
        if len(self._jobs) >= self._most:
            ahead = self._seconds * len(self._jobs) / max(1, len(self._threads))
            raise Problem(
                429, "too many requests wait for this model", code="queue_full",
                retry_after=max(1, min(60, round(ahead))),
            )  # fmt: skip
        self._jobs.append(job)
        self._changed.notify()

    async def answer(self, job: Job, seconds: float) -> list[Any]:
        """All predictions of a job, in order.

        Raises:
            Problem: as ``put``; 504 after so many seconds; 400 where the model refuses a text.
        """
        async with contextlib.aclosing(self._follow(job, seconds)) as told:
            async for found in told:
                return list(found)
        raise Problem(500, "the model gave no answer")

    def stream(self, job: Job, seconds: float) -> AsyncGenerator[Any, None]:
        """Pieces of a job's one answer; raises as ``answer``."""
        return self._follow(job, seconds)

    async def _follow(self, job: Job, seconds: float) -> AsyncGenerator[Any, None]:
        end = time.monotonic() + seconds
        self.put(job)
        try:
            while True:
                try:
                    async with asyncio.timeout(max(0.0, end - time.monotonic())):
                        item = await job.pieces.get()
                except TimeoutError:
                    raise Problem(
                        504, "the answer took too long", code="timeout", retry_after=1
                    ) from None
                if item is _END:
                    return
                if isinstance(item, BaseException):
                    raise _as_problem(item)
                yield item
        finally:
            self._leave(job)

    def _leave(self, job: Job) -> None:
        """Nobody waits for this job any more: it goes out of the queue, or stops being written."""
        job.left.set()
        with self._changed, contextlib.suppress(ValueError):
            self._jobs.remove(job)
        if self.successor is not None:
            self.successor._leave(job)

    def close(self) -> None:
        """Answer what waits, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (jobs := self._next()) is not None:
            started = time.monotonic()
            self._do(jobs)
            with self._changed:
                self._running -= len(jobs)
                taken = (time.monotonic() - started) / len(jobs)
                self._seconds += (taken - self._seconds) / 8

    def _next(self) -> list[Job] | None:
        """The oldest job, and all behind it that can be answered with it; None: no more come."""
        with self._changed:
            while not self._jobs:
                if self._closed:
                    return None
                self._changed.wait()
            jobs = [self._jobs.popleft()]
            if len(self._threads) == 1 and not jobs[0].streamed:
                self._gather(jobs)
            self._running += len(jobs)
            return jobs

    def _gather(self, jobs: list[Job]) -> None:
        rows, first = len(jobs[0].given), jobs[0]
        for job in list(self._jobs):
            fits = not job.streamed and job.options == first.options
            if fits and rows + len(job.given) <= self._rows:
                self._jobs.remove(job)
                jobs.append(job)
                rows += len(job.given)

    def _do(self, jobs: list[Job]) -> None:
        wanted = [job for job in jobs if not job.left.is_set()]
        if not wanted:
            return
        if wanted[0].streamed:
            self._write(wanted[0])
            return
        given = [each for job in wanted for each in job.given]
        self.batches.append(len(given))
        try:
            found = self._model.predict(given, **wanted[0].options)
        except BaseException as error:
            if len(wanted) > 1 and isinstance(error, TinyForgeError):
                for job in wanted:  # the others must not suffer for one
                    self._do([job])
                return
            for job in wanted:
                job.tell(error)
            return
        start = 0
        for job in wanted:
            job.tell(found[start : start + len(job.given)])
            start += len(job.given)

    def _write(self, job: Job) -> None:
        try:
            with contextlib.closing(self._model.stream(job.given[0], **job.options)) as pieces:
                for piece in pieces:
                    if job.left.is_set():
                        return
                    job.tell(piece)
            job.tell(_END)
        except BaseException as error:
            job.tell(error)


def _as_problem(error: BaseException) -> BaseException:
    """What the model refuses is the client's; anything else is ours and says nothing of itself."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, TinyForgeError) and error.exit_code == 2:
        text = error.what + (f". {error.fix}" if error.fix else "")
        return Problem(400, text, code="refused_by_model")
    log.error("a model failed: %s: %s", type(error).__name__, error)
    return Problem(500, "the model failed; the server's log says more", code="model_failed")
