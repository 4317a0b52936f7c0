"""Open the local pages, for this machine alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import uvicorn

from tinyforge.config.serve import ServeSettings
from tinyforge.errors import FolderError, Interrupted
from tinyforge.server.run import listen
from tinyforge.server.ui.pages import Pages

HOST = "127.0.0.1"
"""There is no setting for it: these pages ask for no key, so no other machine may reach them."""


def show_pages(top: Path, port: int, *, tell: Callable[[str], None]) -> None:
    """Serve the pages until a signal stops it.

    Args:
        top: the folder whose runs are shown.
        port: 0: any free one.
        tell: told the address once the pages are there.

    Raises:
        FolderError: there is no such folder, or something else listens on the port.
    """
    if not top.is_dir():
        raise FolderError("no such folder", where=str(top), fix="Give a folder that holds runs")
    with listen(ServeSettings(host=HOST, port=port)) as listener:
        port = listener.getsockname()[1]
        pages = Pages(top.resolve(), ServeSettings(port=port))
        config = uvicorn.Config(
            pages, lifespan="off", ws="none", access_log=False, log_config=None,
            log_level="warning", server_header=False, proxy_headers=False,
        )  # fmt: skip
        tell(f"http://{HOST}:{port}")
        try:
            with contextlib.suppress(KeyboardInterrupt, Interrupted):
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            pages.close()
