"""What the server writes of itself: lines for people, or an object a line for programs.

No text of a client, no key and no path stands in them: a request is known by its id, its route's
name and its key's name.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from contextvars import ContextVar
from typing import Any

import orjson

from tinyforge.config.serve import ServeSettings

ACCESS = logging.getLogger("tinyforge.access")
"""One line for each request; the record's ``request`` holds what is known of it."""

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""The id of the request that is being answered here."""

_OTHERS = ("uvicorn", "asyncio")


def configure(settings: ServeSettings, *, worker: int | None = None) -> None:
    """Set up logging for this process.

    Lines for people are left to whoever has set up the logger ``tinyforge`` already, as the command
    line has.

    Args:
        worker: the number of this worker process, told in every line.
    """
    if not settings.log_requests:
        ACCESS.setLevel(logging.WARNING)
    if settings.log_format == "text" and logging.getLogger("tinyforge").handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(worker) if settings.log_format == "json" else TextLines(worker))
    for name in ("tinyforge", *_OTHERS):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    logging.getLogger("tinyforge").setLevel(logging.INFO)


class TextLines(logging.Formatter):
    """A record as a line for people; a warning says so."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__("%(message)s" if worker is None else f"worker {worker}: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = super().format(record)
        return f"warning: {line}" if record.levelno >= logging.WARNING else line


class JsonLines(logging.Formatter):
    """A record as one JSON object: time, level, message; request, worker and error where known."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": clock(record.created), "level": record.levelname.lower(),
        }  # fmt: skip
        if self._worker is not None:
            line["worker"] = self._worker
        about = getattr(record, "request", None)
        if about is not None:
            line |= about
        else:
            line["message"] = record.getMessage()
            if found := REQUEST.get():
                line["request"] = found
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))
        return orjson.dumps(line, default=str).decode()


def clock(seconds: float) -> str:
    """A moment in UTC, to the millisecond."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e3):03d}Z"


def tell_request(about: dict[str, Any]) -> None:
    """Write a request's line.

    Args:
        about: ``request`` (its id), ``method``, ``route``, ``status``, ``milliseconds``, ``key``
            (its name), and ``first_milliseconds`` and ``trace`` where they are known.
    """
    if ACCESS.isEnabledFor(logging.INFO):
        ACCESS.info(
            "%s %s %s %s ms %s%s", about["status"], about["method"], about["route"],
            about["milliseconds"], about["request"], f" {about['key']}" if about["key"] else "",
            extra={"request": about},
        )  # fmt: skip
