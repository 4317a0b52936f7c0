"""From a request's body to a job for a model, and from predictions back to an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.requests import Request

from tinyforge.config.serve import ServeSettings
from tinyforge.server.models import Served
from tinyforge.server.problems import Problem
from tinyforge.server.queue import Job
from tinyforge.server.schemas import Sampling, Turn, Usage

Found = TypeVar("Found")


def writing_options(
    asked: Sampling,
    served: Served,
    settings: ServeSettings,
    *,
    tokens: int | None,
    top_k: int | None,
) -> dict[str, Any]:
    """The options of ``predict`` that a body asks for.

    Raises:
        Problem: the model is a classifier and writes nothing, or too much is asked for.
    """
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    given: dict[str, Any] = {
        "temperature": asked.temperature, "top_p": asked.top_p, "seed": asked.seed,
        "stop": stop, "max_new_tokens": tokens, "top_k": top_k,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    if not served.writes:
        # OpenAI's clients send some of these unasked; a label is the same whatever they are.
        return {}
    if tokens is not None and tokens > settings.max_new_tokens:
        raise Problem(
            400, f"at most {settings.max_new_tokens:,} tokens are written for a request",
            param="max_tokens", code="too_many_tokens",
        )  # fmt: skip
    if options.get("temperature") == 0 or "temperature" not in options:
        for name in ("top_p", "top_k", "seed"):  # without chance they have nothing to act on
            options.pop(name, None)
    return options


def check_texts(texts: Sequence[str], settings: ServeSettings, param: str) -> None:
    """Raise Problem where a text is too long, or there are too many or none."""
    if not texts:
        raise Problem(400, f"{param} is empty", param=param, code="empty")
    if len(texts) > settings.max_inputs:
        raise Problem(
            400, f"at most {settings.max_inputs} texts are answered in one request", param=param,
            code="too_many_inputs",
        )  # fmt: skip
    if max(map(len, texts)) > settings.max_input_characters:
        raise Problem(
            400, f"a text may have {settings.max_input_characters:,} characters", param=param,
            code="input_too_long",
        )  # fmt: skip


def chat_of(turns: Sequence[Turn], served: Served, settings: ServeSettings) -> Any:
    """What the model is given for a chat: the chat, or the last question where it cannot chat."""
    check_texts(["".join(turn.content for turn in turns)], settings, "messages")
    if turns[-1].role == "assistant":
        raise Problem(
            400, "the chat ends with the assistant's turn, so there is nothing to answer",
            param="messages", code="nothing_to_answer",
        )  # fmt: skip
    if served.task == "instruct":
        roles = {"developer": "system"}
        return [{"role": roles.get(t.role, t.role), "content": t.content} for t in turns]
    return turns[-1].content


async def answered(
    request: Request,
    served: Served,
    given: list[Any],
    options: Mapping[str, Any],
    settings: ServeSettings,
) -> list[Any]:
    """Predictions, in order; a client that leaves ends the wait and frees its place."""
    job = Job(given, options, asyncio.get_running_loop())
    return await _unless_gone(request, served.queue.answer(job, settings.request_seconds))


async def _unless_gone(request: Request, work: Awaitable[Found]) -> Found:
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        done, _ = await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        raise Problem(499, "the client has left", code="client_left")
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def usage_of(served: Served, given: Sequence[Any], outputs: Sequence[str]) -> Usage:
    """Tokens of prompts as the model reads them, and of answers by tokenizing them again."""
    read, written = prompt_tokens(served, given), completion_tokens(served, outputs)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def prompt_tokens(served: Served, given: Sequence[Any]) -> int:
    """Tokens that the model reads for these inputs."""
    from tinyforge.inference.inputs import to_example

    base = getattr(served.model, "base", served.model)
    items = base.task.encode([to_example(each) for each in given])
    return sum(len(item.input_ids) for item in items)


def completion_tokens(served: Served, outputs: Sequence[str]) -> int:
    """Tokens of answers."""
    base = getattr(served.model, "base", served.model)
    texts = [text for text in outputs if text]
    if not texts:
        return 0
    ids = base.tokenizer(texts, add_special_tokens=False)["input_ids"]
    return sum(map(len, ids))
