"""OpenAI's routes, as its clients know them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request

from tinyforge.server.asking import (
    Question,
    chat_of,
    check_texts,
    choices_of,
    unless_gone,
    writing_options,
)
from tinyforge.server.embeddings import embedded
from tinyforge.server.event_stream import CHAT, TEXT, Form, count_tokens, head_of, stream
from tinyforge.server.logprobs import TextForm, of_chat
from tinyforge.server.models import Served
from tinyforge.server.problems import Problem
from tinyforge.server.replies import (
    Chat,
    ChatChoice,
    Completion,
    Embeddings,
    Message,
    ModelCard,
    ModelList,
    Reason,
    TextChoice,
    Usage,
)
from tinyforge.server.schemas import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    OpenAIRequest,
    Refusal,
)
from tinyforge.server.spoken import REFUSED, Spoken, active_safeguards, spoken

routes = APIRouter(prefix="/v1", responses={"4XX": {"model": Refusal}})

STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with stream=true server-sent events, `data: [DONE]` the last.",
        "content": {
            "text/event-stream": {
                "itemSchema": {
                    "type": "object",
                    "properties": {
                        "data": {"type": "string", "description": "A chunk as JSON, or [DONE]."}
                    },
                    "required": ["data"],
                }
            }
        },
    }
}


@routes.get("/models")
async def models(request: Request) -> ModelList:
    """All models."""
    return ModelList(data=[_card(served) for served in request.app.state.pool.all()])


@routes.get("/models/{name:path}")
async def model(request: Request, name: str) -> ModelCard:
    """One model."""
    return _card(request.app.state.pool.get(name))


@routes.post("/completions", response_model=Completion, responses=STREAM)
async def completions(request: Request, asked: CompletionRequest) -> Any:
    """Continue or answer each prompt."""
    state = request.app.state
    served = state.pool.get(asked.model)
    prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    check_texts(prompts, state.settings, "prompt")
    options = writing_options(
        asked, served, state.settings, tokens=asked.max_tokens, param="max_tokens",
        logprobs=asked.logprobs,
    )  # fmt: skip
    count = choices_of(asked.n, len(prompts), state.settings)
    question = Question(list(prompts), options, count, "prompt")
    if asked.stream:
        return await _streamed(request, asked, served, question, TEXT)
    answers = await _answers(request, served, question)
    tops = bool(asked.logprobs)
    stripped = served.task != "language-model"
    choices = [
        TextChoice(
            index=index,
            text=answer.prediction.output,
            finish_reason=_reason(answer),
            logprobs=TextForm(stripped=stripped, tops=tops).of(answer.prediction.token_scores)
            if asked.logprobs is not None and answer.prediction.token_scores
            else None,
        )
        for index, answer in enumerate(answers)
    ]
    usage = _usage(answers, count)
    count_tokens(state, served, usage)
    return Completion(**_head("cmpl", served, answers), choices=choices, usage=usage)


@routes.post("/chat/completions", response_model=Chat, responses=STREAM)
async def chat_completions(request: Request, asked: ChatRequest) -> Any:
    """Answer a chat."""
    state = request.app.state
    served = state.pool.get(asked.model)
    given = chat_of(asked.messages, served, state.settings, "messages")
    later = asked.max_completion_tokens is not None
    form = asked.response_format
    options = writing_options(
        asked, served, state.settings,
        tokens=asked.max_completion_tokens if later else asked.max_tokens,
        param="max_completion_tokens" if later else "max_tokens",
        logprobs=(asked.top_logprobs or 0) if asked.logprobs else None,
        json_schema=None if form is None else form.wanted,
    )  # fmt: skip
    count = choices_of(asked.n, 1, state.settings)
    question = Question([given], options, count, "messages")
    if asked.stream:
        return await _streamed(request, asked, served, question, CHAT)
    answers = await _answers(request, served, question)
    choices = [
        ChatChoice(
            index=index,
            message=Message(
                content=answer.prediction.output,
                refusal=answer.prediction.output if answer.refused else None,
            ),
            finish_reason=_reason(answer),
            logprobs=of_chat(answer.prediction.token_scores)
            if asked.logprobs and answer.prediction.token_scores
            else None,
        )
        for index, answer in enumerate(answers)
    ]
    usage = _usage(answers, count)
    count_tokens(state, served, usage)
    return Chat(**_head("chatcmpl", served, answers), choices=choices, usage=usage)


@routes.post("/embeddings", response_model=Embeddings)
async def embeddings(request: Request, asked: EmbeddingRequest) -> Any:
    """A vector for each text: the mean of the model's last states, of length 1."""
    state = request.app.state
    served = state.pool.get(asked.model)
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    check_texts(texts, state.settings, "input")
    return await unless_gone(request, embedded(state, served, texts, asked))


async def _streamed(
    request: Request, asked: OpenAIRequest, served: Served, question: Question, form: Form
) -> Any:
    options = asked.stream_options
    include = options is not None and bool(options.include_usage)
    return await stream(request, served, question, form, include_usage=include)


async def _answers(request: Request, served: Served, question: Question) -> list[Spoken]:
    state = request.app.state
    if active_safeguards(state) is not None and question.options.get("logprobs"):
        raise Problem(
            400, "the safeguards of this server do not see the tokens that could have stood in "
            "the place of those written, so they are not told here", param="top_logprobs",
            code="not_served",
        )  # fmt: skip
    return await unless_gone(request, spoken(state, served, question))


def _usage(answers: Sequence[Spoken], choices: int) -> Usage:
    """Prompts are read once, whatever the number of choices; every choice counts as written."""
    read = sum(answer.prediction.prompt_tokens for answer in answers[::choices])
    written = sum(answer.prediction.tokens for answer in answers)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def _head(prefix: str, served: Served, answers: Sequence[Spoken]) -> dict[str, Any]:
    return head_of(prefix, served.name, answers[0].prediction.model or served.version)


def _card(served: Served) -> ModelCard:
    return ModelCard(
        id=served.name, created=served.created, task=served.task, version=served.version,
        embeddings=bool(getattr(served.model, "can_embed", False)),
    )  # fmt: skip


def _reason(answer: Spoken) -> Reason:
    """OpenAI knows no labels: an answer that is one ended as it should."""
    if answer.refused:
        return REFUSED
    return "length" if answer.prediction.finish_reason == "length" else "stop"
