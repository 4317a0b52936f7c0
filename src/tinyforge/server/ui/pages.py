"""The local pages: a list of runs, each run's report, and each model's own page of the server.

Trying a model is the server itself: below ``/runs/KEY/try/`` stands the application that
``tinyforge serve`` would start for that run, its page included.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tinyforge.artifacts.run_folder import RunFolder
from tinyforge.artifacts.runs_page import runs_page
from tinyforge.config.serve import ServeSettings
from tinyforge.errors import TinyForgeError
from tinyforge.recipes.runs import RunRecord, find_runs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Open = Callable[[str, Path, ServeSettings], tuple[Any, Callable[[], None]]]

log = logging.getLogger("tinyforge")

LOCAL = ["localhost", "127.0.0.1", "[::1]"]
"""Names by which this machine calls itself; a page of elsewhere that points its name here is
turned away."""

MOST_MODELS = 2
"""Models in memory at a time; the one that was asked for longest ago makes room."""

_TRY = re.compile(r"/runs/(?P<key>[0-9a-f]{10})/try/(?P<rest>.*)")
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store"}  # fmt: skip


class Pages:
    """The application.

    Args:
        top: the folder whose runs are shown; looked through again for every list.
        settings: of the servers behind the boxes.
        open_server: gives the application that answers with a run's model, and what closes it;
            default: the server's.
    """

    def __init__(
        self, top: Path, settings: ServeSettings, *, open_server: Open | None = None
    ) -> None:
        self._top, self._settings = top, settings
        self._open = open_server or serve_run
        self._opened: OrderedDict[str, tuple[Any, Callable[[], None]]] = OrderedDict()
        self._opening = asyncio.Lock()
        routes = [
            Route("/", self._list),
            Route("/runs/{key}/report", self._report),
            Route("/runs/{key}/try", self._to_box),
        ]
        guard = Middleware(TrustedHostMiddleware, allowed_hosts=LOCAL, www_redirect=False)
        self._pages = Starlette(routes=routes, middleware=[guard])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        box = _TRY.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if box is None:
            await self._pages(scope, receive, send)
            return
        try:
            server = await self._server(box["key"])
        except TinyForgeError as error:
            log.warning("the model cannot be opened: %s", error)
            await self._listed(str(error), 500)(scope, receive, send)
            return
        if server is None:
            await self._listed("There is no such run any more.", 404)(scope, receive, send)
            return
        path = f"/{box['rest']}"
        await server({**scope, "path": path, "raw_path": path.encode()}, receive, send)

    def close(self) -> None:
        """Let go of all models."""
        while self._opened:
            self._opened.popitem()[1][1]()

    async def _list(self, _: Request) -> Response:
        return self._listed()

    async def _report(self, request: Request) -> Response:
        run = self._runs().get(request.path_params["key"])
        page = RunFolder(Path(run.folder)).page if run else None
        if page is None or not page.is_file():
            return self._listed("This run has no report.", 404)
        return FileResponse(page, media_type="text/html", headers=_HEADERS)

    async def _to_box(self, request: Request) -> Response:
        return RedirectResponse(f"/runs/{request.path_params['key']}/try/")

    def _listed(self, problem: str = "", status: int = 200) -> Response:
        rows = [_row(key, run, self._top) for key, run in self._runs().items()]
        return HTMLResponse(runs_page(str(self._top), rows, problem), status, headers=_HEADERS)

    def _runs(self) -> dict[str, RunRecord]:
        """Runs by their part of the address, the newest first."""
        return {_key(run): run for run in find_runs(self._top)}

    async def _server(self, key: str) -> Any:
        """The server of a run's model, opened on first use; None where there is no such run."""
        async with self._opening:
            if key not in self._opened:
                run = self._runs().get(key)
                if run is None:
                    return None
                folder = Path(run.folder)
                while len(self._opened) >= MOST_MODELS:
                    self._opened.popitem(last=False)[1][1]()
                made = await asyncio.to_thread(self._open, folder.name, folder, self._settings)
                self._opened[key] = made
            self._opened.move_to_end(key)
            return self._opened[key][0]


def serve_run(name: str, folder: Path, settings: ServeSettings) -> tuple[Any, Callable[[], None]]:
    """The server's application for one run, and what closes it.

    Raises:
        TinyForgeError: the model cannot be loaded.
    """
    from tinyforge.server.app import make_app
    from tinyforge.server.keys import Keys
    from tinyforge.server.models import Pool

    pool = Pool({name: str(folder)}, settings)
    pool.load()
    return make_app(pool, settings, Keys()), pool.close


def _key(run: RunRecord) -> str:
    return hashlib.sha256(str(Path(run.folder).resolve()).encode()).hexdigest()[:10]


def _row(key: str, run: RunRecord, top: Path) -> dict[str, Any]:
    folder = RunFolder(Path(run.folder))
    return {
        **asdict(run),
        "key": key,
        "name": str(folder.path.relative_to(top)) if folder.path != top else folder.path.name,
        "date": run.date.replace("T", " ")[:16],
        "has_report": folder.page.is_file(),
        "can_answer": run.state == "finished" and (folder.path / "config.json").is_file(),
    }
