"""Start a server, and stop it without losing an answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from tinyforge.config.serve import ServeSettings
from tinyforge.errors import FolderError, Interrupted, SettingError
from tinyforge.server.app import make_app
from tinyforge.server.connection import connection_class
from tinyforge.server.guards import LOCAL
from tinyforge.server.keys import Keys, read_keys
from tinyforge.server.models import Pool, names_of

log = logging.getLogger("tinyforge")

NOTICE = 0.5
"""Seconds between no longer being ready and taking no more connections, for who watches."""


class Server(uvicorn.Server):
    """uvicorn, which says that it is not ready before it stops, and loads anew on SIGHUP."""

    def __init__(self, config: uvicorn.Config, app: Any) -> None:
        super().__init__(config)
        self._app = app
        self._reloading: asyncio.Task[Any] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain; second: stop at once."""
        if self._app.state.draining:
            super().handle_exit(sig, frame)
            return
        self._app.state.draining = True
        loop = asyncio.get_running_loop()
        loop.call_later(NOTICE, super().handle_exit, sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, with SIGHUP where the system has it."""
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.get_running_loop().create_task(self._app.state.pool.reload())


def serve(
    models: Sequence[str],
    settings: ServeSettings,
    *,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Serve models until a signal stops it.

    SIGTERM and SIGINT: not ready any more, then no new connections, then running answers end, at
    most ``drain_seconds`` later. SIGHUP: every model is loaded anew from its place.

    Args:
        models: folders or hub ids, each as ``PLACE`` or ``NAME=PLACE``.
        tell: told the address once requests are taken.

    Raises:
        SettingError: other machines could ask and there is no key; or as ``names_of``.
        FolderError: the address is taken, or a model's folder is damaged.
    """
    named = names_of(models)
    keys = read_keys(Path(settings.api_key_file)) if settings.api_key_file else Keys()
    if settings.host not in LOCAL and not keys.needed:
        raise SettingError(
            "other machines could ask without a key", where="serve.host", value=settings.host,
            fix="Give --api-key-file, or leave --host out",
        )  # fmt: skip
    listener = _listen(settings)
    with listener:
        pool = Pool(named, settings)
        pool.load()
        app = make_app(pool, settings, keys)
        server = Server(_config(app, settings), app)
        host, port = listener.getsockname()[:2]
        if tell is not None:
            tell(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        try:
            # uvicorn raises the signal again once all is answered; to stop is no failure here.
            with contextlib.suppress(KeyboardInterrupt, Interrupted):
                server.run(sockets=[listener])
        finally:
            pool.close()


def _config(app: Any, settings: ServeSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=connection_class(settings.head_seconds, settings.write_seconds),
        ws="none",
        loop="asyncio",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=max(1, round(settings.keep_alive_seconds)),
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        h11_max_incomplete_event_size=16_384,
    )


def _listen(settings: ServeSettings) -> socket.socket:
    """The socket, bound before the models are loaded: a port that is taken is said at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name != "nt":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise FolderError(
            "cannot listen there", where=f"{settings.host}:{settings.port}", value=error.strerror,
            fix="Give another --port, or stop what listens on it",
        ) from None  # fmt: skip
    return listener
