"""What every request passes before any route sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from tinyforge.config.serve import ServeSettings
from tinyforge.server.keys import Keys
from tinyforge.server.measured import Measured
from tinyforge.server.problems import Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("tinyforge")
access = logging.getLogger("tinyforge.access")

OPEN = {"/health", "/ready"}
"""Routes that ask for no key: what watches the server has none."""
LOCAL = {"localhost", "127.0.0.1", "::1"}
SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
"""Headers of every answer."""


class Guards:
    """Checks host, origin, key, rate and size, counts and logs; then the application.

    Args:
        app: what answers.
        state: of the application; ``draining`` is read: a server that is about to stop takes
            nothing new.
    """

    def __init__(
        self, app: App, settings: ServeSettings, keys: Keys, measured: Measured, state: Any
    ) -> None:
        self._app, self._settings, self._keys = app, settings, keys
        self._measured, self.state = measured, state
        self._hosts = LOCAL | {settings.host, *settings.allowed_hosts}
        # Whoever listens on all addresses is called by names that we cannot know; a key is needed
        # there, which a page in a browser does not have.
        self._any_host = settings.host not in LOCAL and not settings.allowed_hosts
        self._times: dict[str, deque[float]] = defaultdict(deque)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request = _Request(scope, self._measured)
        try:
            request.owner = self._check(scope)
            body = _Body(receive, self._settings)
            body.check_length(scope)
            await self._app(scope, body, request.sending(send))
        except Problem as problem:
            await self._refuse(problem, request, scope, receive, send)
        except Exception as error:
            # The traceback goes to the log, and no text of the client with it.
            log.error("request %s failed", request.id, exc_info=error)
            failed = Problem(500, "the server failed; its log says more", code="server_failed")
            await self._refuse(failed, request, scope, receive, send)
        finally:
            request.close()

    async def _refuse(
        self, problem: Problem, request: _Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if request.status:  # its beginning is sent, and the connection just ends
            return
        self._measured.refused.labels(problem.code or str(problem.status)).inc()
        sending = request.sending(send)
        if problem.status != 413:
            await problem.response()(scope, receive, sending)
            return
        # A client that is still sending would not see the answer if the connection closed now.
        answer = problem.response()
        start = {"type": "http.response.start", "status": 413, "headers": answer.raw_headers}
        await sending(start)
        body = {"type": "http.response.body", "body": answer.body}
        await sending({**body, "more_body": True})
        await _discard(receive, 16 * self._settings.max_body_bytes, self._settings.body_seconds)
        await sending({"type": "http.response.body", "body": b"", "more_body": False})

    def _check(self, scope: Scope) -> str:
        """The key's name; raises Problem."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self.state.draining and scope["path"] not in OPEN:
            raise Problem(503, "the server is stopping", code="draining", retry_after=5)
        self._check_host(headers.get(b"host", ""))
        self._check_origin(headers)
        if not self._keys.needed or scope["path"] in OPEN:
            return ""
        given = headers.get(b"authorization", "")
        scheme, _, key = given.partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else headers.get(b"x-api-key", "")
        owner = self._keys.owner(key) if key else None
        if owner is None:
            problem = Problem(
                401, "a valid API key is needed: Authorization: Bearer KEY", code="invalid_api_key"
            )
            problem.headers["WWW-Authenticate"] = "Bearer"
            raise problem
        self._check_rate(owner)
        return owner

    def _check_host(self, host: str) -> None:
        name = urlsplit(f"//{host}").hostname if _is_plain(host) else None
        if not self._any_host and name not in self._hosts:
            raise Problem(
                421, "this server does not go by that name; its owner can add it to "
                "serve.allowed_hosts", code="wrong_host",
            )  # fmt: skip

    def _check_origin(self, headers: dict[bytes, str]) -> None:
        origin = headers.get(b"origin")
        if origin is None or origin in self._settings.allowed_origins:
            return
        if urlsplit(origin).netloc != headers.get(b"host"):
            raise Problem(403, "pages of other sites may not ask this server", code="wrong_origin")

    def _check_rate(self, owner: str) -> None:
        limit = self._settings.requests_per_minute
        if limit is None:
            return
        now, times = time.monotonic(), self._times[owner]
        while times and now - times[0] > 60:
            times.popleft()
        if len(times) >= limit:
            raise Problem(
                429, f"this key may ask {limit} times a minute", code="rate_limit",
                retry_after=max(1, round(60 - (now - times[0]))),
            )  # fmt: skip
        times.append(now)


async def _discard(receive: Receive, most: int, seconds: float) -> None:
    """Read what a client still sends, within limits, and forget it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while most > 0:
                message = await receive()
                most -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def _is_plain(host: str) -> bool:
    return bool(host) and not any(c in host for c in "/@?# \t,")


class _Body:
    """``receive`` that lets only so many bytes through, and waits only so long for them."""

    def __init__(self, receive: Receive, settings: ServeSettings) -> None:
        self._receive, self._most = receive, settings.max_body_bytes
        self._seconds = settings.body_seconds
        self._end: float | None = None
        self._size, self._complete = 0, False

    def check_length(self, scope: Scope) -> None:
        """Refuse by the header alone where it says enough."""
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._most:
                raise self._too_large()

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()  # only a disconnect comes now, and it may take long
        self._end = self._end or time.monotonic() + self._seconds
        try:
            async with asyncio.timeout(max(0.0, self._end - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise Problem(408, "the body took too long to come", code="slow_body") from None
        self._size += len(message.get("body", b""))
        if self._size > self._most:
            raise self._too_large()
        self._complete = not message.get("more_body", False)
        return message

    def _too_large(self) -> Problem:
        return Problem(413, f"the body is larger than {self._most:,} bytes", code="body_too_large")


class _Request:
    """One request, for the counters and the log: no text, key or path parameter is kept."""

    def __init__(self, scope: Scope, measured: Measured) -> None:
        self._scope, self._measured = scope, measured
        self._started = time.monotonic()
        self.id = secrets.token_hex(8)
        scope["tinyforge_request_id"] = self.id
        self.owner, self.status = "", 0

    def sending(self, send: Send) -> Send:
        """``send`` that adds the headers of every answer."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                own = (b"x-request-id", self.id.encode())
                close = [(b"connection", b"close")] if self.status in (408, 413) else []
                message["headers"] = [*message.get("headers", []), *SAFE, own, *close]
            await send(message)

        return add

    def close(self) -> None:
        """Count it and write its line."""
        seconds = time.monotonic() - self._started
        route = getattr(self._scope.get("route"), "path", "other")
        status = self.status or 499  # the client left before an answer
        self._measured.requests.labels(route, str(status)).inc()
        self._measured.seconds.labels(route).observe(seconds)
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "request": self.id,
            "method": self._scope["method"], "route": route, "status": status,
            "milliseconds": round(seconds * 1e3, 1), "key": self.owner,
        }  # fmt: skip
        access.info(orjson.dumps(line).decode())
