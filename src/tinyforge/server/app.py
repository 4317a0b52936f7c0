"""The application: routes, errors in one form, and the guards around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from tinyforge import __version__
from tinyforge.config.serve import ServeSettings
from tinyforge.safety.safeguards import Safeguards
from tinyforge.server import openai_routes, routes
from tinyforge.server.guards import Guards
from tinyforge.server.keys import Keys
from tinyforge.server.measured import Measured
from tinyforge.server.models import Pool
from tinyforge.server.problems import Problem, of_validation
from tinyforge.server.rates import Rates
from tinyforge.server.schemas import Refusal
from tinyforge.server.tracing import start_tracing
from tinyforge.server.versions import parts_of

REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": Refusal}
    for code in (400, 401, 403, 404, 405, 408, 413, 421, 429, 431, 500, 503, 504)
}
SILENT: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI's own telemetry, which would tell paths and queries; ``tracing`` is in its place."""


def make_app(
    pool: Pool, settings: ServeSettings, keys: Keys, *, rates: Rates | None = None
) -> Guards:
    """The application of a server, guarded.

    Its ``state``: ``pool``, ``settings``, ``keys``, ``safeguards``, ``measured``; ``draining``: it
    is to stop and says so; ``closed``: it takes no more requests; ``connections``: all open ones.

    Args:
        rates: that other processes share; default: this one's own.

    Raises:
        TinyForgeError: a safeguard's file or model cannot be read, or a package is missing.
    """
    app = FastAPI(
        title="TinyForge", version=__version__, description="Your own small language model.",
        docs_url=None, redoc_url=None, openapi_url=None, responses=REFUSALS, telemetry=SILENT,
    )  # fmt: skip
    state = app.state
    state.pool, state.settings, state.keys = pool, settings, keys
    state.draining, state.closed, state.connections = False, False, ()
    state.document = None
    state.safeguards = make_safeguards(settings, [served.place for served in pool.all()])
    state.measured = Measured(pool, state)
    app.include_router(routes.routes)
    app.include_router(openai_routes.routes)
    app.add_api_route("/openapi.json", _document, include_in_schema=False)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    tracer = start_tracing() if settings.traces else None
    return Guards(app, settings, state.measured, state, rates=rates, tracer=tracer)


def make_safeguards(settings: ServeSettings, places: Sequence[str]) -> Safeguards:
    """The safeguards that the settings ask for, for the models from these places.

    What was chosen when a model was trained holds for that model; with several models it has to be
    set instead.

    Raises:
        TinyForgeError: a file or a model of them cannot be read.
    """
    from tinyforge.recipes.load import load

    own = parts_of(places[0])[-1] if len(places) == 1 else None
    return Safeguards.from_settings(settings.safeguards, load=load, place=own)


async def _document(request: Request) -> Response:
    """The OpenAPI document, rendered once: it is large, and whoever asks for it often gains
    nothing."""
    state = request.app.state
    if state.document is None:
        state.document = orjson.dumps(request.app.openapi())
    return Response(state.document, media_type="application/json")


async def _problem(request: Request, error: Exception) -> Response:
    return _told(request, error) if isinstance(error, Problem) else _unknown()


async def _invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return _told(request, of_validation(list(found)))


async def _gone(request: Request, error: Exception) -> Response:
    return _told(request, Problem(499, "the client has left", code="client_left"))


async def _http(request: Request, error: Exception) -> Response:
    if isinstance(error.__cause__, ClientDisconnect):  # FastAPI wraps what it meets in a body
        return await _gone(request, error)
    if not isinstance(error, HTTPException):
        return _unknown()
    known = {
        404: "there is no such route; GET /openapi.json lists them",
        405: "this route takes another method",
        400: "the body cannot be read as JSON",
    }
    problem = Problem(error.status_code, known.get(error.status_code, str(error.detail)))
    problem.headers.update(error.headers or {})
    return _told(request, problem)


def _told(request: Request, problem: Problem) -> Response:
    request.app.state.measured.refused.labels(problem.code or str(problem.status)).inc()
    return problem.response()


def _unknown() -> Response:
    return Problem(500, "the server failed; its log says more", code="server_failed").response()
