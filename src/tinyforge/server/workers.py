"""Several processes that answer, and the one that looks after them.

This process loads no model and answers nothing. It holds the listening socket, so that no
connection is lost while a worker is away; starts the workers, and another in the place of one that
ended or no longer reacts; and has them load new versions one by one, so that the others answer
meanwhile. What it says to a worker goes over a pair of sockets, a JSON object a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyforge.config.serve import ServeSettings
from tinyforge.errors import ModelError, SettingError
from tinyforge.server.measured import FOLDER, forget_worker
from tinyforge.server.rates import make_file
from tinyforge.server.versions import Places, Versions

log = logging.getLogger("tinyforge")

START_SECONDS = 300.0
"""For a worker to load its models."""
ALIVE_EVERY, ALIVE_SECONDS = 5.0, 30.0
"""How often a worker is asked whether it reacts, and how long it may take."""
STEADY_SECONDS = 30.0
"""A worker that lived so long did not fail from the start: the next one begins at once."""
LONGEST_PAUSE = 30.0
"""Seconds between two tries to start a worker that ends again and again."""


@dataclass(eq=False)
class Worker:
    """A process that answers.

    Attributes:
        places: what its models were loaded from.
        since: when it was ready.
    """

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    places: Places
    since: float = field(default_factory=time.monotonic)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, what: Mapping[str, Any], seconds: float) -> None:
        """Tell it something and wait until it is done.

        Raises:
            ModelError: it could not do that, or has ended.
        """
        async with self.lock:
            with contextlib.suppress(ConnectionError):
                self.writer.write(json.dumps(what).encode() + b"\n")
                await self.writer.drain()
            await self.hear(seconds)

    async def hear(self, seconds: float) -> None:
        """Wait for what it says next; raises as ``ask``."""
        try:
            line = await asyncio.wait_for(self.reader.readline(), seconds)
        except TimeoutError:
            self.kill()  # a late answer would be taken for that to the next question
            raise ModelError("a worker does not react", value=self.process.pid) from None
        except ConnectionError:
            line = b""
        if not line:
            raise ModelError("a worker has ended while it was asked", value=self.process.pid)
        told = json.loads(line)
        if not told["done"]:
            raise ModelError(told["why"])

    def stop(self) -> None:
        """Let it end what runs, and take nothing new."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            self.writer.write(b'{"do": "stop"}\n')

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


class Workers:
    """All workers of a server.

    Args:
        versions: has taken in the models.
        listener: bound; the workers take its connections.
        tell: called once all workers take requests.
    """

    def __init__(
        self,
        versions: Versions,
        settings: ServeSettings,
        listener: socket.socket,
        tell: Callable[[], None],
    ) -> None:
        if not hasattr(os, "fork"):
            raise SettingError(
                "workers share a socket, which this system cannot do", where="serve.workers",
                value=settings.workers, fix="Leave it out",
            )  # fmt: skip
        self._versions, self._settings, self._tell = versions, settings, tell
        self._listener = listener
        self._places = versions.current
        self._there: dict[int, Worker] = {}
        self._changed = asyncio.Condition()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._counts = Path()
        self._rates: Any = None

    def run(self) -> None:
        """Until a signal stops it.

        Raises:
            ModelError: a worker could not start the first time.
        """
        limit = self._settings.requests_per_minute
        with contextlib.ExitStack() as stack:
            counts = tempfile.TemporaryDirectory(prefix="tinyforge-counts-")
            self._counts = Path(stack.enter_context(counts))
            if limit is not None:
                self._rates = stack.enter_context(make_file(limit))
            asyncio.run(self._run())

    async def _run(self) -> None:
        with self._signals():
            slots = range(self._settings.workers)
            starting = [asyncio.create_task(self._start(slot, restarts=0)) for slot in slots]
            try:
                stop = self._begin(self._stop.wait())
                all_there = asyncio.gather(*starting)
                await asyncio.wait({stop, all_there}, return_when=asyncio.FIRST_COMPLETED)
                if all_there.done():
                    all_there.result()
                    self._tell()
                    for slot in slots:
                        self._begin(self._look_after(slot))
                await stop
            finally:
                await _cancelled(starting)
                await self._end()

    async def _look_after(self, slot: int) -> None:
        """Wait until this slot's worker ends, and start another, for ever."""
        failed = 0
        while not self._stop.is_set():
            worker = self._there[slot]
            alive = asyncio.create_task(self._watch(worker))
            code = await worker.process.wait()
            alive.cancel()
            worker.writer.close()
            async with self._changed:
                del self._there[slot]
            forget_worker(slot, self._counts)
            failed = 0 if time.monotonic() - worker.since > STEADY_SECONDS else failed
            while not self._stop.is_set() and slot not in self._there:
                log.error("worker %d ended (%s); another takes its place", slot, _ending(code))
                pause = min(LONGEST_PAUSE, 0.5 * 2 ** (failed - 1)) if failed else 0.0
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), pause)
                failed += 1
                try:
                    await self._start(slot, restarts=1)
                except ModelError as error:
                    log.error("worker %d could not start: %s", slot, error)

    async def _watch(self, worker: Worker) -> None:
        """Kill a worker that no longer reacts."""
        while True:
            await asyncio.sleep(ALIVE_EVERY)
            with contextlib.suppress(ModelError):
                await worker.ask({"do": "nothing"}, ALIVE_SECONDS)

    async def _start(self, slot: int, *, restarts: int) -> None:
        """Start a worker and wait until it takes requests.

        Raises:
            ModelError: it could not.
        """
        places = self._places
        ours, theirs = socket.socketpair()
        with theirs:
            process = await _whole(asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "tinyforge.server.worker",
                stdin=asyncio.subprocess.PIPE, pass_fds=self._handed_on(theirs),
                env=self._environment(),
                start_new_session=True,  # the terminal's signals are for this process alone
            ))  # fmt: skip
            spec = {
                "settings": self._settings.model_dump(mode="json"), "places": dict(places),
                "worker": slot, "restarts": restarts, "control": theirs.fileno(),
                "listener": self._listener.fileno(),
                "rates": None if self._rates is None else self._rates.fileno(),
            }  # fmt: skip
            if process.stdin is not None:
                process.stdin.write(json.dumps(spec).encode())
                process.stdin.close()
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            await _ended(process)
            raise
        worker = Worker(process, reader, writer, places)
        try:
            await worker.hear(START_SECONDS)
        except BaseException:
            writer.close()
            await _ended(process)
            raise
        worker.since = time.monotonic()
        async with self._changed:
            self._there[slot] = worker
            self._changed.notify_all()

    async def switch(self, places: Places) -> None:
        """Have all workers serve from these places, one after the other; all of them or none.

        Raises:
            ModelError: one could not; the others serve what they served before.
        """
        before, self._places = self._places, places
        slots = range(self._settings.workers)
        try:
            for slot in slots:
                await self._bring(slot, places)
            for slot in slots:  # one that was started meanwhile may have begun with the old ones
                await self._bring(slot, places)
        except ModelError:
            self._places = before
            for worker in list(self._there.values()):
                try:
                    await self._load(worker, before)
                except ModelError:
                    worker.kill()  # the next one begins with them
            raise

    async def _bring(self, slot: int, places: Places) -> None:
        worker = await self._worker(slot)
        await self._load(worker, places)

    async def _load(self, worker: Worker, places: Places) -> None:
        if worker.places == places and self._settings.keep_versions:
            return
        await worker.ask({"do": "load", "places": dict(places)}, START_SECONDS)
        worker.places = places

    async def _worker(self, slot: int) -> Worker:
        """A slot's worker, once it is there."""
        try:
            async with asyncio.timeout(START_SECONDS), self._changed:
                await self._changed.wait_for(lambda: slot in self._there)
        except TimeoutError:
            raise ModelError("a worker does not start", value=slot) from None
        return self._there[slot]

    async def _end(self) -> None:
        """Let all workers end what runs; kill those that do not end in time."""
        await _cancelled(self._tasks)
        there = list(self._there.values())
        for worker in there:
            worker.stop()
        settings = self._settings
        # Ours is a copy of the socket: while it is open, connections come and nobody takes them.
        asyncio.get_running_loop().call_later(settings.notice_seconds, self._listener.close)
        seconds = settings.notice_seconds + settings.drain_seconds + 5.0
        ended = asyncio.gather(*(worker.process.wait() for worker in there))
        try:
            await asyncio.wait_for(ended, seconds)
        except TimeoutError:
            log.error("workers are ended that did not end by themselves")
            for worker in there:
                worker.kill()
            await asyncio.gather(*(worker.process.wait() for worker in there))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """What signals do while this lasts."""
        loop = asyncio.get_running_loop()
        wanted = {
            signal.SIGTERM: self._asked_to_stop, signal.SIGINT: self._asked_to_stop,
            signal.SIGHUP: lambda: self._begin(self._versions.reload(self.switch)),
            signal.SIGUSR1: lambda: self._begin(self._versions.roll_back(self.switch)),
        }  # fmt: skip
        before = {number: signal.getsignal(number) for number in wanted}
        try:
            for number, action in wanted.items():
                loop.add_signal_handler(number, action)
        except (ValueError, RuntimeError):
            raise SettingError(
                "workers are looked after by a program's main thread", where="serve.workers",
                value=self._settings.workers, fix="Leave it out, or serve from the main thread",
            ) from None  # fmt: skip
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():  # the second time
            for worker in self._there.values():
                worker.kill()
        self._stop.set()

    def _begin(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _handed_on(self, control: socket.socket) -> tuple[int, ...]:
        files = [control.fileno(), self._listener.fileno()]
        return tuple(files if self._rates is None else [*files, self._rates.fileno()])

    def _environment(self) -> dict[str, str]:
        """That of this process, with this worker's share of the cores."""
        from tinyforge.inference.onnx.sessions import allowed_cores

        share = str(max(1, allowed_cores() // self._settings.workers))
        return {**os.environ, "OMP_NUM_THREADS": share, FOLDER: str(self._counts)}


async def _whole(making: Coroutine[Any, Any, asyncio.subprocess.Process]) -> Any:
    """A process; where this is cancelled while it is made, it is ended before that goes on."""
    task = asyncio.ensure_future(making)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _ended(await task)
        raise


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End a process at once. One that outlived the event loop would be told of on the terminal."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    over = asyncio.ensure_future(process.wait())
    try:
        await asyncio.shield(over)
    except asyncio.CancelledError:  # while it was ending already
        await over
        raise


async def _cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them and wait until they have ended."""
    found = list(tasks)
    for task in found:
        task.cancel()
    await asyncio.gather(*found, return_exceptions=True)


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
