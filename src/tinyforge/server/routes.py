"""TinyForge's own routes: answers, health, counters, and a page to try the model by hand."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from tinyforge.server.asking import (
    Question,
    chat_of,
    check_texts,
    unless_gone,
    writing_options,
)
from tinyforge.server.measured import CONTENT_TYPE
from tinyforge.server.models import Served
from tinyforge.server.replies import Answer, Health, Ready
from tinyforge.server.schemas import PredictRequest, Refusal, Turn
from tinyforge.server.spoken import Spoken, spoken

routes = APIRouter(responses={"4XX": {"model": Refusal}})

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
        turns = [turn for turn in asked.input if isinstance(turn, Turn)]
        given = [chat_of(turns, served, state.settings, "input")]
    else:
        given, several = list(asked.input), True
        check_texts(given, state.settings, "input")
    options = writing_options(
        asked, served, state.settings, tokens=asked.max_new_tokens, param="max_new_tokens",
        top_k=asked.top_k,
    )  # fmt: skip
    found = await unless_gone(request, spoken(state, served, Question(given, options)))
    answers = [_answer(each, served, scores=asked.scores) for each in found]
    return answers if several else answers[0]


@routes.get("/health")
async def health() -> Health:
    """The process lives."""
    return Health()


@routes.get("/ready", response_model=Ready, responses={503: {"model": Ready}})
async def ready(request: Request) -> JSONResponse:
    """Whether requests are taken: false before the models are loaded and once it is to stop."""
    good = not request.app.state.draining
    return JSONResponse({"ready": good}, status_code=200 if good else 503)


@routes.get(
    "/metrics", response_class=Response,
    responses={200: {"content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}},
)  # fmt: skip
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


def _answer(answer: Spoken, served: Served, *, scores: bool) -> Answer:
    prediction = answer.prediction
    return Answer(
        output=prediction.output, confidence=prediction.confidence, model=served.name,
        version=prediction.model or served.version,
        labels=list(prediction.labels) if prediction.labels else None,
        scores=dict(prediction.scores) if scores and prediction.scores else None,
        finish_reason=prediction.finish_reason, safeguard=answer.check,
    )  # fmt: skip
