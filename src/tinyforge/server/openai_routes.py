"""OpenAI's routes, as its clients know them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from tinyforge.server.asking import (
    answered,
    chat_of,
    check_texts,
    completion_tokens,
    prompt_tokens,
    usage_of,
    writing_options,
)
from tinyforge.server.models import Served
from tinyforge.server.problems import Problem, body_of
from tinyforge.server.queue import Job
from tinyforge.server.schemas import (
    Chat,
    ChatChoice,
    ChatRequest,
    Completion,
    CompletionRequest,
    Message,
    ModelCard,
    ModelList,
    OpenAIRequest,
    TextChoice,
)

routes = APIRouter(prefix="/v1")


@routes.get("/models")
async def models(request: Request) -> ModelList:
    """All models."""
    return ModelList(data=[_card(served) for served in request.app.state.pool.all()])


@routes.get("/models/{name}")
async def model(request: Request, name: str) -> ModelCard:
    """One model."""
    return _card(request.app.state.pool.get(name))


@routes.post("/completions", response_model=Completion)
async def completions(request: Request, asked: CompletionRequest) -> Any:
    """Continue or answer each prompt."""
    state = request.app.state
    served = state.pool.get(asked.model)
    prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    check_texts(prompts, state.settings, "prompt")
    options = writing_options(asked, served, state.settings, tokens=asked.max_tokens, top_k=None)
    if asked.stream:
        if len(prompts) > 1:
            raise Problem(400, "one prompt is streamed at a time", param="prompt")
        return await _stream(
            request, asked, served, prompts[0], options, "cmpl", "text_completion",
            lambda text: {"text": text},
        )  # fmt: skip
    found = await answered(request, served, list(prompts), options, state.settings)
    outputs = [prediction.output for prediction in found]
    choices = [
        TextChoice(index=i, text=p.output, finish_reason=_reason(p.finish_reason))
        for i, p in enumerate(found)
    ]
    usage = await asyncio.to_thread(usage_of, served, prompts, outputs)
    _count(state, served, usage.prompt_tokens, usage.completion_tokens)
    return Completion(**_head("cmpl", served), choices=choices, usage=usage)


@routes.post("/chat/completions", response_model=Chat)
async def chat_completions(request: Request, asked: ChatRequest) -> Any:
    """Answer a chat."""
    state = request.app.state
    served = state.pool.get(asked.model)
    given = chat_of(asked.messages, served, state.settings)
    tokens = asked.max_completion_tokens or asked.max_tokens
    options = writing_options(asked, served, state.settings, tokens=tokens, top_k=None)
    if asked.stream:
        return await _stream(
            request, asked, served, given, options, "chatcmpl", "chat.completion.chunk",
            lambda text: {"delta": {"content": text}},
        )  # fmt: skip
    (found,) = await answered(request, served, [given], options, state.settings)
    choice = ChatChoice(
        index=0, message=Message(content=found.output), finish_reason=_reason(found.finish_reason)
    )
    usage = await asyncio.to_thread(usage_of, served, [given], [found.output])
    _count(state, served, usage.prompt_tokens, usage.completion_tokens)
    return Chat(**_head("chatcmpl", served), choices=[choice], usage=usage)


async def _stream(
    request: Request,
    asked: OpenAIRequest,
    served: Served,
    given: Any,
    options: dict[str, Any],
    prefix: str,
    kind: str,
    piece_of: Callable[[str], dict[str, Any]],
) -> Response:
    """Server-sent events; what is refused before the first piece is a plain error."""
    state, started = request.app.state, time.monotonic()
    if not served.writes:
        raise Problem(
            400, "this model gives a label, which cannot be streamed", param="stream",
            code="not_streamable",
        )  # fmt: skip
    job = Job([given], options, asyncio.get_running_loop(), streamed=True)
    pieces = served.queue.stream(job, state.settings.request_seconds)
    first = await anext(pieces, None)
    state.measured.first.labels(served.name).observe(time.monotonic() - started)
    head = {**_head(prefix, served), "object": kind}

    def event(content: dict[str, Any], ended: str | None = None) -> bytes:
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": ended}
        return _event({**head, "choices": [choice]})

    async def events() -> AsyncIterator[bytes]:
        text = ""
        try:
            if kind.startswith("chat"):
                yield event({"delta": {"role": "assistant", "content": ""}})
            if first is not None:
                text += first
                yield event(piece_of(first))
                async for piece in pieces:
                    text += piece
                    yield event(piece_of(piece))
        except Problem as problem:
            yield _event(body_of(problem.status, problem.message, code=problem.code))
            return
        finally:
            await pieces.aclose()
        read, written = await asyncio.to_thread(_counts, served, given, text)
        longest = options.get("max_new_tokens")
        yield event(
            {"delta": {}} if kind.startswith("chat") else {"text": ""},
            "length" if longest is not None and written >= longest else "stop",
        )
        _count(state, served, read, written)
        if asked.stream_options is not None and asked.stream_options.include_usage:
            counts = {
                "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written
            }  # fmt: skip
            yield _event({**head, "choices": [], "usage": counts})
        yield b"data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


def _counts(served: Served, given: Any, text: str) -> tuple[int, int]:
    return prompt_tokens(served, [given]), completion_tokens(served, [text])


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def _count(state: Any, served: Served, read: int, written: int) -> None:
    state.measured.read.labels(served.name).inc(read)
    state.measured.written.labels(served.name).inc(written)


def _head(prefix: str, served: Served) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time()),
        "model": served.name, "system_fingerprint": served.version,
    }  # fmt: skip


def _card(served: Served) -> ModelCard:
    return ModelCard(
        id=served.name, created=served.created, task=served.task, version=served.version
    )


def _reason(reason: str) -> str:
    """OpenAI knows no labels: an answer that is one ended as it should."""
    return "length" if reason == "length" else "stop"
