"""The first stage: all units read and cleaned by worker processes, into chunk files.

A task that is done has a marker; a chunk that is done has its file. What a kill leaves is one of
the two or nothing, and what is made again comes out the same.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinyforge.artifacts.files import disk_errors, write_json
from tinyforge.corpus.stages.pool import Event, Pool, Worker, cause_of_death
from tinyforge.corpus.stages.reading_job import (
    Alive,
    AtItem,
    AtUnit,
    Faults,
    Given,
    Offer,
    Tools,
    clean_given,
    read_task,
)
from tinyforge.corpus.stages.tasks import Task
from tinyforge.errors import DataError

log = logging.getLogger("tinyforge")

Tell = Callable[[int, int, int], None]
"""Told of bytes done, bytes in all, documents so far."""

_AHEAD = 2
"""Chunks that may wait for each other worker."""
_MOST_DEATHS = 100
"""Of one task; each is a document or file that is left out the next time."""


@dataclass
class _Job:
    """What a worker is at: a task (``chunk`` is None), or one chunk of it."""

    task: Task
    chunk: int | None = None
    documents: int = 0


@dataclass
class _State:
    """What is known of a task's misfortunes."""

    faults: Faults = field(default_factory=Faults)
    careful: bool = False
    deaths: int = 0


def read_all(
    tasks: Sequence[Task], tools: Tools, *, workers: int, memory: int | None, patience: float,
    tell: Tell,
) -> None:  # fmt: skip
    """Read and clean all tasks; those that are done already are not done again.

    Raises:
        TinyForgeError: what stops the whole work: a missing package, a full disk.
        DataError: a worker dies again and again over the same file.
    """
    with disk_errors(tools.work):
        for name in ("chunks", "tasks"):
            (tools.work / name).mkdir(parents=True, exist_ok=True)
        shutil.rmtree(tools.work / "raw", ignore_errors=True)
        (tools.work / "raw").mkdir()
    left = [task for task in tasks if not _marker(tools.work, task).is_file()]
    if left:
        with Pool(min(workers, _useful(left)), tools, memory=memory) as pool:
            _Reading(pool, tasks, left, tools, patience, tell).run()
    shutil.rmtree(tools.work / "raw", ignore_errors=True)


def _useful(tasks: Sequence[Task]) -> int:
    """Workers that could find something to do: the chunks of a large task are shared."""
    return sum(1 + task.size // 4_000_000 for task in tasks)


def _marker(work: Path, task: Task) -> Path:
    return work / "tasks" / f"{task.number:09d}.json"


class _Reading:
    """Hands out tasks, then chunks of the tasks that are still being read."""

    def __init__(
        self,
        pool: Pool,
        tasks: Sequence[Task],
        left: Sequence[Task],
        tools: Tools,
        patience: float,
        tell: Tell,
    ) -> None:
        self.pool, self.tools, self.patience, self.tell = pool, tools, patience, tell
        self.waiting = deque(left)
        self.states: dict[int, _State] = {}
        self.chunks: deque[_Job] = deque()  # read, and waiting for a worker
        self.given: set[tuple[int, int]] = set()  # chunks that are not the reader's any more
        self.coming: set[tuple[int, int]] = set()  # of them, those not yet on the disk
        self.counts: dict[int, int] = {}  # chunks of a task that is read to its end
        self.open: Counter[int] = Counter()  # of them, those that other workers still have
        self.total = sum(task.size for task in tasks)
        self.done = self.total - sum(task.size for task in left)
        self.documents = 0
        self.tasks = {task.number: task for task in tasks}

    def run(self) -> None:
        """Until everything is done."""
        while True:
            self._hand_out()
            if not self.pool.busy:
                return
            event = self.pool.next(1.0) or self.pool.give_up(self.patience)
            if event is not None:
                self._handle(event)

    def _hand_out(self) -> None:
        for worker in self.pool.idle:
            if self.chunks:
                job = self.chunks.popleft()
                state = self._state(job.task)
                self.pool.call(
                    worker, job, clean_given,
                    job.task.number, job.chunk, state.faults, state.careful,
                )  # fmt: skip
            elif self.waiting:
                task = self.waiting.popleft()
                state = self._state(task)
                self.pool.call(worker, _Job(task), read_task, task, state.faults, state.careful)

    def _handle(self, event: Event) -> None:
        job: _Job = event.worker.job
        if event.kind == "died":
            self._bury(event.worker, job, cause_of_death(event.payload))
        elif event.kind == "asked":
            self._answer(event.worker, job, event.payload)
        elif event.kind == "told":
            self._told(job, event.payload)
        else:
            event.worker.job = None
            self._finished(job, event.payload)

    def _answer(self, worker: Worker, job: _Job, offer: Offer) -> None:
        place = (job.task.number, offer.chunk)
        others = sum(
            1 for w in self.pool.workers if w.job is None or w.job.chunk is not None
        )  # those that read no task
        if place in self.given:
            self.pool.answer(worker, "skip")
        elif not self.waiting and len(self.chunks) + len(self.coming) < _AHEAD * others:
            self.given.add(place)
            self.coming.add(place)
            self.open[job.task.number] += 1
            self.pool.answer(worker, "give")
        else:
            self.pool.answer(worker, "keep")

    def _told(self, job: _Job, message: Any) -> None:
        if isinstance(message, Given):
            self.coming.discard((job.task.number, message.chunk))
            self.chunks.append(_Job(job.task, message.chunk))
        elif isinstance(message, Alive) and job.chunk is None:
            job.documents = message.documents
            running = sum(w.job.documents for w in self.pool.busy)
            self.tell(self.done, self.total, self.documents + running)

    def _finished(self, job: _Job, result: Any) -> None:
        number = job.task.number
        if job.chunk is not None:
            self.open[number] -= 1
        else:
            self.counts[number] = result
            self.documents += job.documents
            self.done += job.task.size
            self.tell(self.done, self.total, self.documents)
        if number in self.counts and not self.open[number]:
            write_json(_marker(self.tools.work, job.task), {"chunks": self.counts[number]})

    def _state(self, task: Task) -> _State:
        return self.states.setdefault(task.number, _State())

    def _bury(self, worker: Worker, job: _Job, why: str) -> None:
        """A worker died: find out over what, then leave that out and go on."""
        state = self._state(job.task)
        state.deaths += 1
        if state.deaths > _MOST_DEATHS:
            raise DataError(
                "worker processes die over this file again and again",
                where=job.task.units[0].path, value=why,
                fix="Give it more memory (fewer --workers), or leave the file out",
            )  # fmt: skip
        said, worker.job = worker.said, None
        if state.careful and isinstance(said, AtUnit):
            stops = {**state.faults.stops, said.unit: (said.items, why)}
            state.faults = replace(state.faults, stops=stops)
            log.warning(f"{job.task.units[said.unit].path}: its reader crashed ({why})")
        elif state.careful and isinstance(said, AtItem):
            skips = {**state.faults.skips, (said.chunk, said.item): why}
            state.faults = replace(state.faults, skips=skips)
        state.careful = True
        if job.chunk is not None:
            self.chunks.append(job)
            return
        for place in [place for place in self.coming if place[0] == job.task.number]:
            self.coming.discard(place)  # it never came: the next reader gives or keeps it
            self.given.discard(place)
            self.open[job.task.number] -= 1
        self.waiting.appendleft(job.task)
