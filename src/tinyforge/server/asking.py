"""From a request's body to what a model is asked, and back to answers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from starlette.requests import Request

from tinyforge.config.serve import ServeSettings
from tinyforge.inference.limits import MAX_NEW_TOKENS
from tinyforge.records.predictions import Prediction
from tinyforge.server.jobs import Job
from tinyforge.server.models import Served
from tinyforge.server.problems import Problem
from tinyforge.server.schemas import Sampling, Turn

Found = TypeVar("Found")


@dataclass(frozen=True)
class Question:
    """What one request asks of a model.

    Attributes:
        given: texts or chats, in order.
        options: of ``predict``.
        choices: answers wanted to each of them.
        param: the field that the texts came in, for errors.
    """

    given: list[Any]
    options: dict[str, Any]
    choices: int = 1
    param: str = "input"

    @property
    def texts(self) -> list[str]:
        """Every text in it, turn by turn."""
        return [text for each in self.given for text in _texts_of(each)]

    def with_texts(self, texts: Sequence[str]) -> Question:
        """The same with other words, as many as ``texts``."""
        coming = iter(texts)
        given = [
            next(coming)
            if isinstance(each, str)
            else [{**turn, "content": next(coming)} for turn in each]
            for each in self.given
        ]
        return replace(self, given=given)

    @property
    def drawn(self) -> bool:
        """Whether chance has a part in the answers, so that several of them differ."""
        return bool(self.options.get("temperature", 0) > 0)

    @property
    def seeds(self) -> list[int | None]:
        """One for each choice; the first choice is what is answered where one is wanted."""
        seed = self.options.get("seed")
        if seed is None:
            return [None] * self.choices
        return [seed, *(_derived(seed, number) for number in range(1, self.choices))]

    def seeded(self, seed: int | None) -> dict[str, Any]:
        """The options with this seed."""
        return self.options if seed is None else {**self.options, "seed": seed}


def writing_options(
    asked: Sampling,
    served: Served,
    settings: ServeSettings,
    *,
    tokens: int | None,
    param: str,
    **more: Any,
) -> dict[str, Any]:
    """The options of ``predict`` that a body asks for.

    Args:
        tokens: how many may be written; ``param`` is the field that says so.
        more: further options; None: not given.

    Raises:
        Problem: too much is asked for, or something that a classifier cannot do.
    """
    if not served.writes:
        for name, field in (("logprobs", "logprobs"), ("json_schema", "response_format")):
            if more.get(name) is not None:
                raise Problem(
                    400, "this model gives a label and writes no tokens; /predict tells the "
                    "probability of every label", param=field, code="not_written",
                )  # fmt: skip
        # OpenAI's clients send some of these unasked; a label is the same whatever they are.
        return {}
    if tokens is not None and tokens > settings.max_new_tokens:
        raise Problem(
            400, f"at most {settings.max_new_tokens:,} tokens are written for a request",
            param=param, code="too_many_tokens",
        )  # fmt: skip
    own = getattr(served.model, "settings", None)
    if tokens is None and _longest(served.model, own) > settings.max_new_tokens:
        tokens = settings.max_new_tokens
    given = {
        "temperature": asked.temperature, "top_p": asked.top_p,
        "seed": None if asked.seed is None else asked.seed % 2**63,
        "stop": asked.stop or None,
        "max_new_tokens": tokens, **more,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    usual = getattr(own, "temperature", 0)
    if options.get("temperature", usual) == 0:
        for name in ("top_p", "top_k", "seed"):  # without chance they have nothing to act on
            options.pop(name, None)
    elif usual:
        options.setdefault("temperature", usual)
    return options


def _longest(model: Any, own: Any) -> int:
    """Tokens that the model writes at most where nobody says."""
    task = getattr(model, "base", model).task
    longest = getattr(own, "max_new_tokens", None) or getattr(task, "max_new_tokens", None)
    return int(longest or MAX_NEW_TOKENS)


def choices_of(wanted: int | None, texts: int, settings: ServeSettings) -> int:
    """How many answers to each text are wanted; raises Problem where they are too many."""
    count = wanted or 1
    if count > settings.max_choices or (count > 1 and count * texts > settings.max_inputs):
        raise Problem(
            400, f"at most {settings.max_choices} answers to a text, and {settings.max_inputs} "
            "in one request, are written", param="n", code="too_many_choices",
        )  # fmt: skip
    return count


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


def chat_of(turns: Sequence[Turn], served: Served, settings: ServeSettings, param: str) -> Any:
    """What the model is given for a chat: the chat, or the last question where it cannot chat."""
    check_texts(["".join(turn.content for turn in turns)], settings, param)
    if turns[-1].role == "assistant":
        raise Problem(
            400, "the chat ends with the assistant's turn, so there is nothing to answer",
            param=param, code="nothing_to_answer",
        )  # fmt: skip
    if served.task == "instruct":
        roles = {"developer": "system"}
        return [{"role": roles.get(t.role, t.role), "content": t.content} for t in turns]
    return turns[-1].content


async def predictions(
    served: Served, question: Question, settings: ServeSettings
) -> list[Prediction]:
    """Answers: all choices for the first text, then all for the second, and so on.

    Raises:
        Problem: as ``Queue.answer``.
    """
    given, choices = question.given, question.choices
    if choices == 1 or not question.drawn:  # without chance all choices are the same
        jobs = [Job(given, question.options)]
        (found,) = await served.queue.answer(jobs, settings.request_seconds)
        return [prediction for prediction in found for _ in range(choices)]
    if question.seeds[0] is None:
        jobs = [Job([each for each in given for _ in range(choices)], question.options)]
        (found,) = await served.queue.answer(jobs, settings.request_seconds)
        return list(found)
    jobs = [Job(given, question.seeded(seed)) for seed in question.seeds]
    columns = await served.queue.answer(jobs, settings.request_seconds)
    return [column[place] for place in range(len(given)) for column in columns]


async def unless_gone(request: Request, work: Awaitable[Found]) -> Found:
    """What the work gives; a client that leaves ends the wait, and the work.

    Raises:
        Problem: 499 where the client has left.
    """
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


def _texts_of(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else [turn["content"] for turn in given]


def _derived(seed: int, number: int) -> int:
    """Another seed, which no near seed of the user's leads to."""
    digest = hashlib.blake2b(f"{seed} {number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
