"""Start a server, and stop it without losing an answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import uvicorn

from tinyforge.config.serve import ServeSettings
from tinyforge.errors import FolderError, Interrupted, SettingError
from tinyforge.server import logs
from tinyforge.server.app import make_app, make_safeguards
from tinyforge.server.connection import RESERVE, SWEEP_SECONDS, connection_class
from tinyforge.server.guards import LOCAL
from tinyforge.server.keys import all_keys
from tinyforge.server.models import Pool, names_of
from tinyforge.server.versions import Switch, Versions

log = logging.getLogger("tinyforge")

WAITING = 2_048
"""Connections that the system keeps until a worker takes them."""

UNSENT = 262_144
"""Bytes of an answer that the system keeps for a client until it has taken them."""

SWITCH_SECONDS = 0.0005
"""A thread that waits for Python's lock has it after this time. By itself Python lets it wait ten
times as long, in which a model that has made its step stands still for a request being parsed."""

AT_ONCE = 8
"""Connections that a worker takes before it looks at what else there is, and lets others take."""


class Server(uvicorn.Server):
    """uvicorn, which says that it is not ready before it stops, and cuts off who is too slow.

    Args:
        app: with a ``state``, as ``make_app`` gives it.
        begin: work of this process beside answering; run once requests are taken.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: Any,
        begin: Callable[[Server], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        super().__init__(config)
        self.app, self._begin = app, begin
        self._settings: ServeSettings = app.state.settings
        self._swept = 0.0
        self._tasks: set[asyncio.Task[Any]] = set()
        app.state.connections = self.server_state.connections

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain; second: stop at once."""
        if self.app.state.draining:
            self.should_exit = self.force_exit = True
        else:
            self._captured_signals.append(sig)
            self.drain()

    def drain(self) -> None:
        """Say that it is not ready; a little later take no more requests, end what runs, stop."""
        if not self.app.state.draining:
            self.app.state.draining = True
            loop = asyncio.get_running_loop()
            loop.call_later(self._settings.notice_seconds, self._close)

    def _close(self) -> None:
        self.app.state.closed = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then ``begin``."""
        await super().startup(sockets)
        for each in sockets or []:
            each.listen(WAITING)
        if self._begin is not None:
            self.start_task(self._begin(self))

    def start_task(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something beside answering."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def on_tick(self, counter: int) -> bool:
        """As uvicorn's, ten times a second; also looks at every connection now and then."""
        self._sweep()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; who is too slow is cut off meanwhile as well."""
        sweeping = asyncio.get_running_loop().create_task(self._go_on_sweeping())
        try:
            await super().shutdown(sockets)
        finally:
            sweeping.cancel()
            for task in self._tasks:
                task.cancel()

    async def _go_on_sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._sweep()

    def _sweep(self) -> None:
        now = time.monotonic()
        if now - self._swept < SWEEP_SECONDS:
            return
        self._swept = now
        for connection in list(self.server_state.connections):
            connection.sweep(now)  # type: ignore[union-attr]


def serve(
    models: Sequence[str],
    settings: ServeSettings,
    *,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Serve models until a signal stops it.

    SIGTERM and SIGINT: not ready any more, then no new requests, then running answers end, at most
    ``drain_seconds`` later. SIGHUP: what lies in the models' places now serves instead, and keys
    and safeguards are read anew. SIGUSR1: the version before serves again.

    Args:
        models: folders or hub ids, each as ``PLACE`` or ``NAME=PLACE``; a place may be
            ``BASE+ADAPTER``.
        tell: told the address once requests are taken.

    Raises:
        SettingError: other machines could ask and there is no key; or as ``names_of``.
        FolderError: the address is taken, or a model's folder is damaged.
    """
    named = names_of(models)
    keys = all_keys(settings.api_key_file)
    if settings.host not in LOCAL and not keys.needed:
        raise SettingError(
            "other machines could ask without a key", where="serve.host", value=settings.host,
            fix="Give --api-key-file, or leave --host out",
        )  # fmt: skip
    logs.configure(settings)
    with listen(settings) as listener, contextlib.closing(Versions(named, settings)) as versions:
        versions.begin()
        # uvicorn raises the signal again once all is answered; to stop is no failure here.
        with contextlib.suppress(KeyboardInterrupt, Interrupted):
            if settings.workers > 1:
                from tinyforge.server.workers import Workers

                Workers(versions, settings, listener, _teller(listener, tell)).run()
            else:
                _serve_here(versions, settings, listener, _teller(listener, tell))


def _serve_here(
    versions: Versions, settings: ServeSettings, listener: socket.socket, tell: Callable[[], None]
) -> None:
    """Answer in this process."""
    allow_files(settings)
    pool = Pool(versions.current, settings)
    pool.load()
    app = make_app(pool, settings, all_keys(settings.api_key_file))

    async def begin(server: Server) -> None:
        loop = asyncio.get_running_loop()

        def when(name: str, change: Callable[[Switch], Coroutine[Any, Any, bool]]) -> None:
            async def work() -> None:
                done = await change(lambda places: renew(app, places))
                app.state.measured.reloads.labels("done" if done else "failed").inc()

            if hasattr(signal, name):  # not on every system, and only in the main thread
                with contextlib.suppress(ValueError, RuntimeError):
                    number = getattr(signal, name)
                    loop.add_signal_handler(number, lambda: server.start_task(work()))

        when("SIGHUP", versions.reload)
        when("SIGUSR1", versions.roll_back)
        tell()

    try:
        with quick_switches():
            Server(_config(app, settings), app, begin).run(sockets=[listener])
    finally:
        pool.close()


async def renew(app: Any, places: Mapping[str, str]) -> None:
    """Serve from these places, and read keys and safeguards anew; all of it or nothing.

    Raises:
        TinyForgeError: something cannot be read or loaded; nothing has changed.
    """
    state = app.state
    keys = all_keys(state.settings.api_key_file)
    if state.keys.needed and not keys.needed:
        raise SettingError("would hold no key any more", where="serve.api_key_file")
    safeguards = await asyncio.to_thread(make_safeguards, state.settings, list(places.values()))
    await state.pool.switch(places)
    state.keys, state.safeguards = keys, safeguards


def _teller(listener: socket.socket, tell: Callable[[str], None] | None) -> Callable[[], None]:
    """Tells the address."""
    host, port = listener.getsockname()[:2]

    def told() -> None:
        if tell is not None:
            tell(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    return told


def _config(app: Any, settings: ServeSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=connection_class(settings),
        ws="none",
        loop="asyncio",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        backlog=AT_ONCE,
        timeout_keep_alive=max(1, round(settings.keep_alive_seconds)),
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        h11_max_incomplete_event_size=settings.max_header_bytes,
    )


@contextlib.contextmanager
def quick_switches() -> Iterator[None]:
    """While it lasts, no thread of this process waits long for Python's lock."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def allow_files(settings: ServeSettings) -> None:
    """Let this process have as many files open as it may have connections, where it may."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = settings.max_connections + RESERVE + 256
        if soft != resource.RLIM_INFINITY and soft < wanted:
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def listen(settings: ServeSettings) -> socket.socket:
    """The socket, bound before the models are loaded: a port that is taken is said at once.

    Raises:
        FolderError: the address is taken, or is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named for asyncio: only then does it turn off Nagle's algorithm for what this
    # accepts, by which an answer's body waits 40 ms for the client to confirm its headers.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name != "nt":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it. The system would keep megabytes for each reader who takes none.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT)
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise FolderError(
            "cannot listen there", where=f"{settings.host}:{settings.port}", value=error.strerror,
            fix="Give another --port, or stop what listens on it",
        ) from None  # fmt: skip
    return listener
