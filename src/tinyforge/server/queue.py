"""One bounded queue for each model, and the threads that answer what waits in it.

A model that reads many texts at once best (every classifier, every PyTorch model) has one thread,
which takes all that waits and fits together: under load batches grow by themselves, and nobody
waits for a batch to fill. An exported model that writes has an engine of its own that mixes
running answers: one thread hands it what waits as places become free, and no thread waits for an
answer.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from tinyforge.errors import TinyForgeError
from tinyforge.server.begun import Begun
from tinyforge.server.jobs import Job, Told
from tinyforge.server.problems import Problem, queue_full

log = logging.getLogger("tinyforge")


class Queue:
    """Requests to one model.

    Args:
        model: what answers: ``predict(list, **options)``, ``stream_pieces(one, **options)``,
            ``embed(texts)``, and ``begin`` where it has an engine.
        waiting: requests that may wait; more are refused.
        rows: texts that are answered together, at most.
        threads: requests that are answered at the same time, at most, by a model that mixes them;
            1: a model that answers one batch after the other.
    """

    def __init__(self, model: Any, *, waiting: int, rows: int, threads: int = 1) -> None:
        self._model, self._most, self._rows = model, waiting, rows
        self._begin = _begin_of(model)
        self._places = threads
        self._jobs: deque[Job] = deque()
        self._begun: dict[Job, Begun] = {}
        self._since: dict[Job, float] = {}
        self._changed = threading.Condition()
        self._closed = False
        self.successor: Queue | None = None
        self._running = 0
        self._seconds = 0.1  # of a job, smoothed; for Retry-After
        self.batches: deque[int] = deque(maxlen=1_000)
        self._threads = [
            threading.Thread(target=self._work, name=f"tinyforge-answer-{i}", daemon=True)
            for i in range(1 if self._begin else threads)
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

    @property
    def full_for(self) -> int | None:
        """Seconds after which it makes sense to ask again; None: one more request may wait now."""
        full = len(self._jobs) >= self._most and not self._closed
        return self._seconds_ahead if full else None

    @property
    def _seconds_ahead(self) -> int:
        ahead = self._seconds * len(self._jobs) / self._places
        return max(1, min(60, round(ahead)))

    def ask(self, jobs: Sequence[Job], seconds: float) -> Told:
        """Let jobs wait together, or none of them, and hear of them; to be used in a ``with``.

        Raises:
            Problem: 429 where too many wait already, 503 where the queue is closed for good.
        """
        told = Told(jobs, self.leave, seconds)
        self._put(jobs)
        return told

    async def answer(self, jobs: Sequence[Job], seconds: float) -> list[list[Any]]:
        """What each job is told at its end, in order.

        Raises:
            Problem: as ``ask`` and ``Told.next``.
        """
        found: list[list[Any]] = [[] for _ in jobs]
        with self.ask(jobs, seconds) as told:
            while items := await told.next():
                for place, what in items:
                    found[place] = what
        return found

    def leave(self, job: Job) -> None:
        """Nobody waits for this job any more: it goes out of the queue, or stops being written."""
        job.left.set()
        with self._changed:
            with contextlib.suppress(ValueError):
                self._jobs.remove(job)
            begun = self._begun.get(job)
        if begun is not None:
            begun.cancel()
        if self.successor is not None:
            self.successor.leave(job)

    def close(self) -> None:
        """Answer what waits, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        with self._changed:
            self._changed.wait_for(lambda: not self._running)

    def _put(self, jobs: Sequence[Job]) -> None:
        """A closed queue hands them to its successor."""
        with self._changed:
            closed = self._closed
            if not closed:
                self._add(jobs)
        if closed and self.successor is not None:
            self.successor._put(jobs)
        elif closed:
            raise Problem(503, "the server is stopping", code="draining", retry_after=5)

    def _add(self, jobs: Sequence[Job]) -> None:
        if len(self._jobs) + len(jobs) > self._most:
            raise queue_full(self._seconds_ahead)
        self._jobs += jobs
        self._changed.notify(len(jobs))

    def _work(self) -> None:
        while (jobs := self._next()) is not None:
            if self._begin is not None and jobs[0].kind != "embed":
                self._start(jobs[0])
                continue
            self._do(jobs)
            for job in jobs:
                self._ended(job, len(jobs))

    def _next(self) -> list[Job] | None:
        """The oldest job, and all behind it that can be answered with it; None: no more come."""
        with self._changed:
            while not self._jobs or (self._begin is not None and self._running >= self._places):
                if self._closed and not self._jobs:
                    return None
                self._changed.wait()
            jobs = [self._jobs.popleft()]
            if self._places == 1 and self._begin is None and jobs[0].kind != "stream":
                self._gather(jobs)
            self._running += len(jobs)
            for job in jobs:
                self._since[job] = time.monotonic()
            return jobs

    def _gather(self, jobs: list[Job]) -> None:
        rows, first = len(jobs[0].given), jobs[0]
        for job in list(self._jobs):
            fits = job.kind == first.kind and job.options == first.options
            if fits and rows + len(job.given) <= self._rows:
                self._jobs.remove(job)
                jobs.append(job)
                rows += len(job.given)

    def _ended(self, job: Job, together: int = 1) -> None:
        """A job is answered, refused or left: its place is free."""
        with self._changed:
            self._running -= 1
            self._begun.pop(job, None)
            taken = (time.monotonic() - self._since.pop(job)) / together
            self._seconds += (taken - self._seconds) / 8
            self._changed.notify_all()

    def _start(self, job: Job) -> None:
        """Hand a job to the engine; what comes of it is told by the engine's thread."""
        begun = Begun(job, self._ended)
        with self._changed:
            self._begun[job] = begun
            self.batches.append(self._running)
        job.version = self._version
        begun.start(self._begin)

    def _do(self, jobs: list[Job]) -> None:
        wanted = [job for job in jobs if not job.left.is_set()]
        if not wanted:
            return
        for job in wanted:
            job.version = self._version
        if wanted[0].kind == "stream":
            self._write(wanted[0])
            return
        given = [each for job in wanted for each in job.given]
        self.batches.append(len(given))
        try:
            found = self._found(wanted[0], given)
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
            job.tell(list(found[start : start + len(job.given)]))
            start += len(job.given)

    def _found(self, job: Job, given: list[Any]) -> Any:
        if job.kind == "embed":
            return self._model.embed(given)
        return self._model.predict(given, **job.options)

    def _write(self, job: Job) -> None:
        try:
            with contextlib.closing(
                self._model.stream_pieces(job.given[0], **job.options)
            ) as pieces:
                for piece in pieces:
                    if job.left.is_set():
                        return
                    job.tell(piece)
        except BaseException as error:
            job.tell(error)

    @property
    def _version(self) -> str:
        return str(getattr(self._model, "hash", ""))


def _begin_of(model: Any) -> Any:
    """What hands an input to the model's engine; None where it has none, or searches with beams,
    which have nothing to tell before the end."""
    beams = getattr(getattr(model, "settings", None), "num_beams", 1)
    return getattr(model, "begin", None) if beams == 1 else None
