"""TinyForge's own routes: answers, health, counters, and a page to try the model by hand."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from tinyforge.server.asking import answered, chat_of, check_texts, writing_options
from tinyforge.server.measured import CONTENT_TYPE
from tinyforge.server.models import Served
from tinyforge.server.schemas import Answer, PredictRequest, Turn

routes = APIRouter()

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page runs its own script and asks its own server, nothing else."""


@routes.post("/predict")
async def predict(request: Request, asked: PredictRequest) -> Answer | list[Answer]:
    """Answer one text, one chat, or a list of texts."""
    state = request.app.state
    served = state.pool.get(asked.model)
    several = False
    if isinstance(asked.input, str):
        check_texts([asked.input], state.settings, "input")
        given: list[Any] = [asked.input]
    elif asked.input and isinstance(asked.input[0], Turn):
        given = [chat_of([t for t in asked.input if isinstance(t, Turn)], served, state.settings)]
    else:
        given, several = list(asked.input), True
        check_texts(given, state.settings, "input")
    options = writing_options(
        asked, served, state.settings, tokens=asked.max_new_tokens, top_k=asked.top_k
    )
    found = await answered(request, served, given, options, state.settings)
    answers = [_answer(prediction, served, scores=asked.scores) for prediction in found]
    return answers if several else answers[0]


@routes.get("/health")
async def health() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@routes.get("/ready", responses={503: {"description": "about to stop"}})
async def ready(request: Request) -> JSONResponse:
    """Whether requests are taken: false before the models are loaded and once it is to stop."""
    good = not request.app.state.draining
    return JSONResponse({"ready": good}, status_code=200 if good else 503)


@routes.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Counters, in OpenMetrics' form."""
    return Response(request.app.state.measured.text(), media_type=CONTENT_TYPE)


@routes.get("/", response_class=HTMLResponse, include_in_schema=False)
async def page() -> Response:
    """A page to try the model by hand."""
    return _file("page.html", "text/html", {"Content-Security-Policy": POLICY})


@routes.get("/page.js", include_in_schema=False)
async def script() -> Response:
    """The page's script."""
    return _file("page.js", "text/javascript")


@routes.get("/page.css", include_in_schema=False)
async def style() -> Response:
    """The page's style."""
    return _file("page.css", "text/css")


def _file(name: str, kind: str, headers: dict[str, str] | None = None) -> Response:
    content = (files("tinyforge.server") / name).read_bytes()
    return Response(content, media_type=kind, headers=headers)


def _answer(prediction: Any, served: Served, *, scores: bool) -> Answer:
    return Answer(
        output=prediction.output, confidence=prediction.confidence, model=served.name,
        version=prediction.model or served.version,
        labels=list(prediction.labels) if prediction.labels else None,
        scores=dict(prediction.scores) if scores and prediction.scores else None,
        finish_reason=prediction.finish_reason,
    )  # fmt: skip
