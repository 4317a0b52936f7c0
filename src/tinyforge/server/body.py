"""A request's body, read whole within limits and looked at before anything parses it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any

from tinyforge.config.serve import ServeSettings
from tinyforge.server.problems import Problem

_PAIRS = re.compile(rb"\[\]|\{\}")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Body:
    """``receive`` that reads a body within its limits, and gives it in one piece.

    Args:
        receive: of the connection.
    """

    def __init__(self, receive: Any, settings: ServeSettings) -> None:
        self._receive, self._settings = receive, settings
        self._message: Any = None

    def check_length(self, scope: Any) -> None:
        """Refuse by the header alone where it says enough."""
        most = self._settings.max_body_bytes
        for name, value in scope["headers"]:
            # Many digits are too many, and Python would refuse to read thousands of them.
            if name == b"content-length" and (len(value) > 18 or int(value) > most):
                raise self._too_large()

    async def read(self) -> None:
        """Read it.

        Raises:
            Problem: it is too large, too slow, or no JSON that anybody should parse.
        """
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                self._message = await self._read()
        except TimeoutError:
            raise Problem(408, "the body took too long to come", code="slow_body") from None

    async def __call__(self) -> Any:
        if self._message is not None:
            message, self._message = self._message, None
            return message
        return await self._receive()  # only a disconnect comes now, and it may take long

    async def _read(self) -> Any:
        parts, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._settings.max_body_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                break
        body = b"".join(parts)
        check_shape(body, self._settings)
        return {"type": "http.request", "body": body, "more_body": False}

    def _too_large(self) -> Problem:
        most = self._settings.max_body_bytes
        return Problem(413, f"the body is larger than {most:,} bytes", code="body_too_large")


def check_shape(body: bytes, settings: ServeSettings) -> None:
    """Raise Problem where JSON is nested too deep or has too many values.

    Brackets within each other cost a parser its stack, and a list of a hundred thousand wrong
    values costs a validator seconds; both are counted here in a few passes of C code.
    """
    opened = body.count(b"[") + body.count(b"{")
    commas = body.count(b",")
    if opened <= settings.max_json_depth and opened + commas <= settings.max_json_items:
        return
    # What escapes hide goes first; then every second part between quotes stands in no string.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    bare = b"".join(plain.split(b'"')[::2])
    opened = bare.count(b"[") + bare.count(b"{")
    if opened + bare.count(b",") > settings.max_json_items:
        raise Problem(
            400,
            f"the body has more than {settings.max_json_items:,} values",
            code="too_many_values",
        )
    if opened > settings.max_json_depth and _deeper(bare, settings.max_json_depth):
        raise Problem(
            400, f"the body has more than {settings.max_json_depth} lists and objects within each "
            "other", code="too_deep",
        )  # fmt: skip


def _deeper(bare: bytes, most: int) -> bool:
    """Whether brackets are nested deeper; brackets that do not match count as deep."""
    brackets = bare.translate(None, _NOT_BRACKETS)
    for _ in range(most):
        # Each pass takes the innermost ones away.
        fewer = _PAIRS.sub(b"", brackets)
        if len(fewer) == len(brackets):
            break
        brackets = fewer
    return bool(brackets)


async def discard(receive: Any, settings: ServeSettings) -> None:
    """Read what a client still sends, within limits, and forget it.

    A client that is still sending would not see the answer if its connection were closed.
    """
    most = 16 * settings.max_body_bytes
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(settings.body_seconds):
            while most > 0:
                message = await receive()
                most -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
