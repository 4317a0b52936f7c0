"""A worker process: ``python -m tinyforge.server.worker``, started by ``workers``.

What it serves stands as JSON on its standard input. Over a socket it hears what to do, and says
when that is done; where the socket ends, so does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

from tinyforge.config.serve import ServeSettings
from tinyforge.errors import Interrupted, TinyForgeError
from tinyforge.server import logs
from tinyforge.server.app import make_app
from tinyforge.server.keys import all_keys
from tinyforge.server.measured import count_together
from tinyforge.server.models import Pool
from tinyforge.server.rates import Rates
from tinyforge.server.run import Server, _config, allow_files, quick_switches, renew

REFRESH_SECONDS = 1.0
"""How often a worker writes down what only it knows, for the sum over all."""


def main() -> None:
    """Serve until told to stop."""
    spec = json.load(sys.stdin)
    settings = ServeSettings.model_validate(spec["settings"])
    logs.configure(settings, worker=spec["worker"])
    count_together(spec["worker"])
    control = socket.socket(fileno=spec["control"])
    with control, socket.socket(fileno=spec["listener"]) as listener:
        pool = Pool(spec["places"], settings)
        try:
            pool.load()
            app = make_app(
                pool, settings, all_keys(settings.api_key_file), rates=_rates(spec, settings)
            )
        except TinyForgeError as error:
            control.sendall(_line(done=False, why=str(error)))
            return
        if spec["restarts"]:
            app.state.measured.restarts.inc()
        _serve(app, settings, control, listener)
        pool.close()


def _serve(
    app: Any, settings: ServeSettings, control: socket.socket, listener: socket.socket
) -> None:
    async def begin(server: Server) -> None:
        server.start_task(_refresh(app))
        reader, writer = await asyncio.open_connection(sock=control)
        writer.write(_line(done=True))
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                asked = json.loads(line)
                if asked["do"] == "stop":
                    break
                writer.write(await _do(app, asked))
        server.drain()  # also where the process that looks after this one is gone

    allow_files(settings)
    for name in (signal.SIGHUP, signal.SIGUSR1):  # they are for that process
        signal.signal(name, signal.SIG_IGN)
    with contextlib.suppress(KeyboardInterrupt, Interrupted), quick_switches():
        Server(_config(app, settings), app, begin).run(sockets=[listener])


async def _do(app: Any, asked: Mapping[str, Any]) -> bytes:
    """Do what is asked; the line that says how it went."""
    if asked["do"] != "load":
        return _line(done=True)
    reloads = app.state.measured.reloads
    try:
        await renew(app, asked["places"])
    except TinyForgeError as error:
        reloads.labels("failed").inc()
        return _line(done=False, why=str(error))
    reloads.labels("done").inc()
    return _line(done=True)


async def _refresh(app: Any) -> None:
    while True:
        app.state.measured.refresh()
        await asyncio.sleep(REFRESH_SECONDS)


def _rates(spec: Mapping[str, Any], settings: ServeSettings) -> Rates | None:
    limit = settings.requests_per_minute
    return None if limit is None else Rates(limit, spec["rates"])


def _line(**told: Any) -> bytes:
    return json.dumps(told).encode() + b"\n"


if __name__ == "__main__":
    main()
