"""Worker processes as the process that starts them sees them. One that dies takes nothing along."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Literal, Self

from tinyforge.errors import DataError, TinyForgeError

log = logging.getLogger("tinyforge")

Kind = Literal["told", "asked", "done", "died"]

_PROGRAM = "from tinyforge.corpus.stages.worker import main; main()"
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS",
               "RAYON_NUM_THREADS")  # fmt: skip
_TRIES = 3
_LEAST_MEMORY = 1 << 30


@dataclass(eq=False)
class Worker:
    """One place for a worker process.

    Attributes:
        job: what it works on; None while it is idle.
        said: the last thing it told of this job.
        heard: when it last said anything of this job; infinite before it has begun, as a process
            takes its time to start on a busy machine.
    """

    job: Any = None
    said: Any = None
    heard: float = 0.0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    thread: threading.Thread | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """What a worker said, or that it died (``payload`` is then its exit status)."""

    worker: Worker
    kind: Kind
    payload: Any


class Pool:
    """A number of worker processes, started when they are first needed.

    Use it as a context; all processes are ended with it.

    Args:
        context: given to every function that is called, sent once to each process.
        memory: bytes that each may take; None sets no limit.
    """

    def __init__(self, workers: int, context: Any, *, memory: int | None = None) -> None:
        self.workers = [Worker() for _ in range(workers)]
        self._context, self._memory = context, memory
        self._events: SimpleQueue[tuple[Worker, Any, str, Any]] = SimpleQueue()
        self._notes: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self.workers:
            self.end(worker)

    @property
    def idle(self) -> list[Worker]:
        """Those with nothing to do."""
        return [worker for worker in self.workers if worker.job is None]

    @property
    def busy(self) -> list[Worker]:
        """Those at work."""
        return [worker for worker in self.workers if worker.job is not None]

    def call(self, worker: Worker, job: Any, function: Callable[..., Any], *arguments: Any) -> None:
        """Let an idle worker call ``function(channel, context, *arguments)``."""
        if worker.process is None:
            self._start(worker)
        worker.job, worker.said, worker.heard = job, None, math.inf
        self.answer(worker, (function, arguments))

    def answer(self, worker: Worker, message: Any) -> None:
        """Send a message, such as the answer to what it asked."""
        process = worker.process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):  # it has died, which it will be heard of
            pickle.dump(message, process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()

    def next(self, timeout: float) -> Event | None:
        """What is heard next; None where nothing is heard for so many seconds.

        Raises:
            TinyForgeError: a worker met what stops the whole work.
        """
        try:
            worker, process, kind, payload = self._events.get(timeout=timeout)
        except Empty:
            return None
        if process is not worker.process:
            return None  # of one that was ended
        worker.heard = time.monotonic()
        if kind == "began":
            return None
        if kind == "note":
            self._note(*payload)
            return None
        if kind == "refused":
            raise TinyForgeError(payload)
        if kind == "failed":
            raise RuntimeError(f"a worker process failed:\n{payload}")
        if kind == "told":
            worker.said = payload
        if kind == "died":
            self.end(worker)
        return Event(worker, kind, payload)  # type: ignore[arg-type]

    def end(self, worker: Worker) -> None:
        """End its process; a new one is started when it is next called."""
        process, thread = worker.process, worker.thread
        worker.process = worker.thread = None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)

    def map(
        self, function: Callable[..., Any], jobs: Iterable[Sequence[Any]], *, patience: float
    ) -> Iterator[tuple[Sequence[Any], Any]]:
        """Call ``function`` with each job's arguments; (job, result) in the order of completion.

        Raises:
            DataError: a worker died three times over the same job.
        """
        waiting = iter(jobs)
        again: list[tuple[Sequence[Any], int]] = []
        while True:
            for worker in self.idle:
                job, deaths = again.pop() if again else (next(waiting, None), 0)
                if job is None:
                    break
                self.call(worker, (job, deaths), function, *job)
            if not self.busy:
                return
            event = self.next(1.0) or self.give_up(patience)
            if event is None or event.kind in ("told", "asked"):
                continue
            job, deaths = event.worker.job
            event.worker.job = None
            if event.kind == "done":
                yield job, event.payload
            elif deaths + 1 < _TRIES:
                again.append((job, deaths + 1))
            else:
                raise DataError(
                    "a worker process died three times over the same work",
                    value=cause_of_death(event.payload),
                    fix="Give it more memory: fewer --workers",
                )

    def give_up(self, patience: float) -> Event | None:
        """End a worker of which nothing was heard for so many seconds; its death."""
        now = time.monotonic()
        for worker in self.busy:
            if now - worker.heard > patience:
                self.end(worker)
                return Event(worker, "died", None)
        return None

    def _start(self, worker: Worker) -> None:
        environment = dict.fromkeys(_ONE_THREAD, "1")
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        quiet = None if os.environ.get("TINYFORGE_DEBUG") else subprocess.DEVNULL
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=quiet, env={**os.environ, **environment},
        )  # fmt: skip
        worker.process = process
        worker.thread = threading.Thread(target=self._listen, args=(worker, process), daemon=True)
        worker.thread.start()
        self.answer(worker, self._memory)
        self.answer(worker, self._context)

    def _listen(self, worker: Worker, process: subprocess.Popen[bytes]) -> None:
        try:
            while process.stdout is not None:
                kind, payload = pickle.load(process.stdout)
                self._events.put((worker, process, kind, payload))
        except Exception:  # the stream ends, or breaks off within a message
            self._events.put((worker, process, "died", process.wait()))

    def _note(self, level: int, text: str) -> None:
        """Every worker may find the same; it is told once."""
        if text not in self._notes and len(self._notes) < 1_000:
            self._notes.add(text)
            log.log(level, text)


def cause_of_death(status: int | None) -> str:
    """An exit status in words; None for one that was ended because it took too long."""
    if status is None:
        return "it took too long"
    if status == -9:
        return "it was killed, most likely for want of memory"
    if status < 0:
        return f"it died of signal {-status}"
    return f"it ended with status {status}"


def default_workers() -> int:
    """One for each core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_memory(workers: int) -> int | None:
    """Each worker's share of four fifths of the free memory; None where it cannot be told."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - not a real file
            for line in file:
                if line.startswith("MemAvailable:"):
                    free = int(line.split()[1]) * 1024
    except (OSError, ValueError, AttributeError):
        return None
    return max(_LEAST_MEMORY, free * 4 // 5 // workers)
