"""What every request passes before any route sees it."""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response

from tinyforge.config.serve import ServeSettings
from tinyforge.server import tracing
from tinyforge.server.body import Body, discard
from tinyforge.server.logs import REQUEST, tell_request
from tinyforge.server.measured import Measured
from tinyforge.server.problems import Problem, queue_full
from tinyforge.server.rates import Rates

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("tinyforge")

OPEN = {"/health", "/ready"}
"""Routes that ask for no key: what watches the server has none."""
ASKING = {"/predict", "/v1/completions", "/v1/chat/completions", "/v1/embeddings"}
"""Routes that ask a model."""
LOCAL = {"localhost", "127.0.0.1", "::1"}
SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
"""Headers of every answer."""
HEADERS = 100
"""Headers of a request, at most."""

_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.-]+))(?::\d{1,5})?", re.ASCII)
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Guards:
    """Checks size, host, origin, key and rate, counts and logs; then the application.

    Args:
        app: what answers.
        state: of the application. Read at each request: ``draining`` (the server is about to stop
            and says so), ``closed`` (it takes nothing new), ``connections`` (all open ones),
            ``pool``, ``keys``.
        rates: shared with other processes; default: this one's own.
        tracer: makes a span for each request; None: there are no traces.
    """

    def __init__(
        self,
        app: App,
        settings: ServeSettings,
        measured: Measured,
        state: Any,
        *,
        rates: Rates | None = None,
        tracer: tracing.Tracing | None = None,
    ) -> None:
        self._app, self._settings = app, settings
        self._measured, self.state, self._tracer = measured, state, tracer
        self._hosts = LOCAL | {settings.host, *settings.allowed_hosts}
        # Whoever listens on all addresses is called by names that we cannot know; a key is needed
        # there, which a page in a browser does not have.
        self._any_host = settings.host not in LOCAL and not settings.allowed_hosts
        limit = settings.requests_per_minute
        self._rates = Rates(limit) if limit is not None and rates is None else rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request = _Request(scope, self._measured, self.state)
        with contextlib.ExitStack() as stack:
            if self._tracer is not None:
                request.span = stack.enter_context(self._tracer.request(scope, request.id))
            stack.callback(request.close)
            stack.enter_context(self.state.pool.request())
            await self._answer(request, scope, receive, send)

    async def _answer(self, request: _Request, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request.owner = self._check(scope)
            body = Body(receive, self._settings)
            body.check_length(scope)
            if (seconds := self._full_for(scope)) is not None:
                request.route = scope["path"]
                self._measured.refused.labels("queue_full").inc()
                # What comes of its body is forgotten by the connection, which stays open.
                await _busy(seconds)(scope, receive, request.sending(send))
                return
            if scope["method"] not in ("GET", "HEAD"):
                await body.read()
            await self._app(scope, body, request.sending(send))
        except Problem as problem:
            await self._refuse(problem, request, scope, receive, send)
        except Exception as error:
            # The traceback goes to the log, and no text of the client with it.
            log.error("request %s failed", request.id, exc_info=error)
            failed = Problem(500, "the server failed; its log says more", code="server_failed")
            await self._refuse(failed, request, scope, receive, send)

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
        answer = problem.response()
        start = {"type": "http.response.start", "status": 413, "headers": answer.raw_headers}
        await sending(start)
        body = {"type": "http.response.body", "body": answer.body}
        await sending({**body, "more_body": True})
        await discard(receive, self._settings)
        await sending({"type": "http.response.body", "body": b"", "more_body": False})

    def _full_for(self, scope: Scope) -> int | None:
        """Where every model would refuse this request for want of room: seconds to wait.

        That is found out here, before its body is read and parsed and its route is looked for: a
        server that is asked for more than it can do must not spend its time on saying no.
        """
        if scope["path"] not in ASKING or scope["method"] != "POST":
            return None
        found: int | None = self.state.pool.full_for()
        return found

    def _check(self, scope: Scope) -> str:
        """The key's name; raises Problem."""
        watching = scope["path"] in OPEN
        self._check_size(scope)
        if not watching:
            self._check_room()
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        self._check_host(headers.get(b"host", ""))
        self._check_origin(headers)
        if watching:
            return ""
        owner = self._owner(headers) if self.state.keys.needed else ""
        self._check_rate(owner)
        return owner

    def _check_size(self, scope: Scope) -> None:
        """Headers that came in one piece are not bounded by who reads them."""
        headers = scope["headers"]
        size = len(scope["raw_path"]) + len(scope["query_string"])
        size += sum(len(name) + len(value) for name, value in headers)
        if size > self._settings.max_header_bytes or len(headers) > HEADERS:
            raise Problem(431, "the headers are too large or too many", code="headers_too_large")

    def _check_room(self) -> None:
        if self.state.closed:
            raise Problem(503, "the server is stopping", code="draining", retry_after=5)
        if len(self.state.connections) > self._settings.max_connections:
            raise Problem(
                503, "too many connections are open", code="too_many_connections", retry_after=1
            )

    def _owner(self, headers: dict[bytes, str]) -> str:
        given = headers.get(b"authorization", "")
        scheme, _, key = given.partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else headers.get(b"x-api-key", "")
        owner: str | None = self.state.keys.owner(key) if key else None
        if owner is None:
            problem = Problem(
                401, "a valid API key is needed: Authorization: Bearer KEY", code="invalid_api_key"
            )
            problem.headers["WWW-Authenticate"] = "Bearer"
            raise problem
        return owner

    def _check_host(self, host: str) -> None:
        if not self._any_host and _name_in(host) not in self._hosts:
            raise Problem(
                421, "this server does not go by that name; its owner can add it to "
                "serve.allowed_hosts", code="wrong_host",
            )  # fmt: skip

    def _check_origin(self, headers: dict[bytes, str]) -> None:
        origin = headers.get(b"origin")
        if origin is None or origin in self._settings.allowed_origins:
            return
        if _place_of(origin) != headers.get(b"host"):
            raise Problem(403, "pages of other sites may not ask this server", code="wrong_origin")

    def _check_rate(self, owner: str) -> None:
        if self._rates is None:
            return
        wait = self._rates.wait(owner)
        if wait:
            limit = self._settings.requests_per_minute
            who = "this key may ask" if owner else "this server may be asked"
            raise Problem(
                429, f"{who} {limit} times a minute", code="rate_limit",
                retry_after=max(1, round(wait)),
            )  # fmt: skip


@lru_cache(maxsize=64)
def _busy(seconds: int) -> Response:
    """The answer to who has to wait; the same to all."""
    return queue_full(seconds).response()


def _name_in(host: str) -> str | None:
    """The name in a Host header, without its port; None where it is no such header."""
    found = _HOST.fullmatch(host)
    return None if found is None else (found["v6"] or found["name"]).lower()


def _place_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


class _Request:
    """One request, for the counters and the log: no text, key or path parameter is kept."""

    def __init__(self, scope: Scope, measured: Measured, state: Any) -> None:
        self._scope, self._measured, self._state = scope, measured, state
        self._started = time.monotonic()
        self._first: float | None = None
        self.id = _id_in(scope) or secrets.token_hex(8)
        REQUEST.set(self.id)
        scope["tinyforge_request_id"] = self.id
        self.owner, self.route, self.status, self.span = "", "", 0, None

    def sending(self, send: Send) -> Send:
        """``send`` that adds the headers of every answer."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                own = (b"x-request-id", self.id.encode())
                close = self.status in (408, 413, 431) or self._state.draining
                ends = [(b"connection", b"close")] if close else []
                message["headers"] = [*message.get("headers", []), *SAFE, own, *ends]
            elif self._first is None and message.get("body"):
                self._first = time.monotonic() - self._started
                tracing.first_piece(self.span)
            await send(message)

        return add

    def close(self) -> None:
        """Count it and write its line."""
        seconds = time.monotonic() - self._started
        route = self.route or getattr(self._scope.get("route"), "path", "other")
        status = self.status or 499  # the client left before an answer
        self._measured.requests.labels(route, str(status)).inc()
        self._measured.seconds.labels(route).observe(seconds)
        tracing.ended(self.span, self._scope["method"], route, status)
        about = {
            "request": self.id, "method": self._scope["method"], "route": route, "status": status,
            "milliseconds": round(seconds * 1e3, 1), "key": self.owner,
        }  # fmt: skip
        if self._first is not None:
            about["first_milliseconds"] = round(self._first * 1e3, 1)
        if (trace := tracing.trace_id(self.span)) is not None:
            about["trace"] = trace
        tell_request(about)


def _id_in(scope: Scope) -> str | None:
    """The request's id that a proxy before us has given it, where it can stand in a log."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.fullmatch(value):
            found: str = value.decode()
            return found
    return None
