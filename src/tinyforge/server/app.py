"""The application: routes, errors in one form, and the guards around them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from tinyforge import __version__
from tinyforge.config.serve import ServeSettings
from tinyforge.server import openai_routes, routes
from tinyforge.server.guards import Guards
from tinyforge.server.keys import Keys
from tinyforge.server.measured import Measured
from tinyforge.server.models import Pool
from tinyforge.server.problems import Problem, of_validation
from tinyforge.server.schemas import Refusal

REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": Refusal}
    for code in (400, 401, 403, 404, 405, 408, 413, 421, 429, 500, 503, 504)
}


def make_app(pool: Pool, settings: ServeSettings, keys: Keys) -> Guards:
    """The application of a server, guarded.

    Its ``state``: ``pool``, ``settings``, ``measured``, ``draining``.
    """
    app = FastAPI(
        title="TinyForge", version=__version__, description="Your own small language model.",
        docs_url=None, redoc_url=None, responses=REFUSALS,
    )  # fmt: skip
    app.state.pool, app.state.settings = pool, settings
    app.state.measured, app.state.draining = Measured(pool), False
    app.include_router(routes.routes)
    app.include_router(openai_routes.routes)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    return Guards(app, settings, keys, app.state.measured, app.state)


async def _problem(_: Request, error: Exception) -> Response:
    return error.response() if isinstance(error, Problem) else _unknown()


async def _invalid(_: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return of_validation(list(found)).response()


async def _gone(_: Request, error: Exception) -> Response:
    return Problem(499, "the client has left", code="client_left").response()


async def _http(_: Request, error: Exception) -> Response:
    cause = error.__cause__
    if isinstance(cause, Problem):  # raised while FastAPI read the body, which it wraps
        return cause.response()
    if isinstance(cause, ClientDisconnect):
        return await _gone(_, error)
    if not isinstance(error, HTTPException):
        return _unknown()
    known = {
        404: "there is no such route; GET /openapi.json lists them",
        405: "this route takes another method",
        400: "the body cannot be read as JSON",
    }
    problem = Problem(error.status_code, known.get(error.status_code, str(error.detail)))
    problem.headers.update(error.headers or {})
    return problem.response()


def _unknown() -> Response:
    return Problem(500, "the server failed; its log says more", code="server_failed").response()
