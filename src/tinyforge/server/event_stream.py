"""Answers told while they are written, as server-sent events in OpenAI's two forms."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tinyforge.records.predictions import Piece, Prediction, TokenScore
from tinyforge.safety.rulings import Ruling, Stopped
from tinyforge.server.asking import Question, unless_gone
from tinyforge.server.jobs import Job, Told
from tinyforge.server.logprobs import TextForm, of_chat
from tinyforge.server.models import Served
from tinyforge.server.problems import Problem, body_of
from tinyforge.server.replies import Usage
from tinyforge.server.spoken import REFUSED, active_safeguards, looked_at, observe

DONE = b"data: [DONE]\n\n"
HEADERS = {"X-Accel-Buffering": "no"}
"""A proxy that gathers an answer before it hands it on would take the stream away."""


@dataclass(frozen=True)
class Form:
    """How one of the two routes tells a stream.

    Attributes:
        prefix: of the answer's id.
        kind: the ``object`` of each event.
        chat: whether it is the chat's route.
    """

    prefix: str
    kind: str
    chat: bool


CHAT = Form("chatcmpl", "chat.completion.chunk", True)
TEXT = Form("cmpl", "text_completion", False)


@dataclass
class Line:
    """One answer that is being written, and the choices that it stands for.

    Attributes:
        choices: places in ``choices``; several where chance has no part, so that all are the same.
        guard: what its text goes through; None: nothing.
        said: whether any text went out.
    """

    given: int
    choices: list[int]
    guard: Any
    form: TextForm
    text: list[str] = field(default_factory=list)
    said: bool = False


class EventStream(StreamingResponse):
    """A stream that lets go of what it tells of, however it ends, begun or not."""

    def __init__(self, events: AsyncIterator[bytes], told: Told) -> None:
        super().__init__(events, media_type="text/event-stream", headers=HEADERS)
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._told.close()


async def stream(
    request: Request,
    served: Served,
    question: Question,
    form: Form,
    *,
    include_usage: bool,
) -> Response:
    """Server-sent events; what is refused before the first piece is a plain error.

    Raises:
        Problem: the model writes nothing, or as ``Queue.ask`` and ``Told.next``.
    """
    state, started = request.app.state, time.monotonic()
    if not served.writes:
        raise Problem(
            400, "this model gives a label, which cannot be streamed", param="stream",
            code="not_streamable",
        )  # fmt: skip
    safeguards = active_safeguards(state)
    if safeguards is not None and question.options.get("logprobs") is not None:
        raise Problem(
            400, "tokens are told before the safeguards of this server have seen the text, so "
            "logprobs are not streamed here", param="logprobs", code="not_streamable",
        )  # fmt: skip
    question, rulings = await looked_at(state, question)
    lines, jobs = _lines(served, question, rulings, safeguards)
    told = served.queue.ask(jobs, state.settings.request_seconds)
    try:
        items = await unless_gone(request, told.next())
    except BaseException:
        told.close()
        raise
    state.measured.first.labels(served.name).observe(time.monotonic() - started)
    version = next((job.version for job in jobs if job.version), served.version)
    teller = _Teller(form, head_of(form.prefix, served.name, version), include_usage)
    run = _Run(state, served, question, lines, told, teller)
    return EventStream(run.events(items, rulings), told)


def head_of(prefix: str, name: str, version: str) -> dict[str, Any]:
    """What every answer of OpenAI's routes begins with."""
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": name,
        "system_fingerprint": version,
    }  # fmt: skip


def _lines(
    served: Served, question: Question, rulings: Sequence[Ruling | None], safeguards: Any
) -> tuple[list[Line], list[Job]]:
    """The answers to be written, each with its job."""
    lines, jobs = [], []
    count = question.choices
    for place, given in enumerate(question.given):
        ruling = rulings[place]
        if ruling is not None and ruling.action == "refused":
            continue
        first = place * count
        seeds = question.seeds if question.drawn else [None]
        for number, seed in enumerate(seeds):
            choices = [first + number] if question.drawn else [*range(first, first + count)]
            form = TextForm(
                stripped=served.task != "language-model",
                tops=bool(question.options.get("logprobs")),
            )
            guard = None if safeguards is None else safeguards.stream()
            lines.append(Line(place, choices, guard, form))
            jobs.append(Job([given], question.seeded(seed), "stream"))
    return lines, jobs


class _Teller:
    """Writes events.

    Attributes:
        counts: whether usage was asked for.
    """

    def __init__(self, form: Form, head: dict[str, Any], include_usage: bool) -> None:
        self.form, self.counts = form, include_usage
        self._head = {**head, "object": form.kind}

    def begin(self, choice: int) -> bytes:
        """A chat's first event."""
        return self._event(choice, {"delta": {"role": "assistant", "content": ""}})

    def text(self, line: Line, text: str, scores: Sequence[TokenScore]) -> Iterable[bytes]:
        """More of an answer, for each of its choices."""
        chat = self.form.chat
        logprobs: BaseModel | None = None
        if scores:
            logprobs = of_chat(scores) if chat else line.form.of(scores)
        told = None if logprobs is None else logprobs.model_dump()
        content = {"delta": {"content": text}} if chat else {"text": text}
        return [self._event(choice, content, told) for choice in line.choices]

    def refusal(self, choice: int, text: str, *, alone: bool) -> bytes:
        """A safeguard's words.

        Args:
            alone: nothing was said before them, so that they are the answer's text too.
        """
        if not self.form.chat:
            return self._event(choice, {"text": text if alone else ""})
        delta = {"content": text, "refusal": text} if alone else {"refusal": text}
        return self._event(choice, {"delta": delta})

    def end(self, choice: int, reason: str) -> bytes:
        """An answer's last event."""
        return self._event(choice, {"delta": {}} if self.form.chat else {"text": ""}, None, reason)

    def usage(self, usage: Usage) -> bytes:
        """The stream's last event, where it was asked for."""
        return _event({**self._head, "choices": [], "usage": usage.model_dump()})

    def _event(
        self,
        choice: int,
        content: dict[str, Any],
        logprobs: dict[str, Any] | None = None,
        reason: str | None = None,
    ) -> bytes:
        told = {"index": choice, **content, "logprobs": logprobs, "finish_reason": reason}
        event = {**self._head, "choices": [told]}
        if self.counts:
            event["usage"] = None
        return _event(event)


class _Run:
    """One stream from its first event to its last."""

    def __init__(
        self,
        state: Any,
        served: Served,
        question: Question,
        lines: Sequence[Line],
        told: Told,
        teller: _Teller,
    ) -> None:
        self._state, self._served, self._question = state, served, question
        self._lines, self._told, self._teller = lines, told, teller
        self._read: dict[int, int] = {}
        self._written = 0

    async def events(
        self, items: list[tuple[int, Any]], rulings: Sequence[Ruling | None]
    ) -> AsyncIterator[bytes]:
        """All events; an error while they come is the last."""
        teller, count = self._teller, self._question.choices
        if teller.form.chat:
            for choice in range(len(rulings) * count):
                yield teller.begin(choice)
        for place, ruling in enumerate(rulings):
            if ruling is not None and ruling.action == "refused":
                for choice in range(place * count, (place + 1) * count):
                    yield teller.refusal(choice, ruling.text, alone=True)
                    yield teller.end(choice, REFUSED)
        try:
            while items:
                for place, piece in _joined(items):
                    if events := await self._said(place, piece):
                        yield b"".join(events)
                items = await self._told.next()
        except Problem as problem:
            yield _event(body_of(problem.status, problem.message, code=problem.code))
            return
        read = sum(self._read.values())
        usage = Usage(
            prompt_tokens=read, completion_tokens=self._written,
            total_tokens=read + self._written,
        )  # fmt: skip
        count_tokens(self._state, self._served, usage)
        yield teller.usage(usage) + DONE if teller.counts else DONE

    async def _said(self, place: int, piece: Piece) -> list[bytes]:
        """The events of one line's next piece."""
        line, teller = self._lines[place], self._teller
        last = piece.finish_reason is not None
        text = piece.text
        try:
            if line.guard is not None:
                text = await asyncio.to_thread(_through, line.guard, text, last)
        except Stopped as stopped:
            self._told.leave(place)
            self._count(line, piece)
            return [
                event
                for choice in line.choices
                for event in (
                    teller.refusal(choice, stopped.ruling.text, alone=not line.said),
                    teller.end(choice, REFUSED),
                )
            ]
        events: list[bytes] = []
        if text or piece.token_scores:
            line.said = line.said or bool(text)
            events += teller.text(line, text, piece.token_scores)
        if self._served.drift is not None:
            line.text.append(text)
        if last:
            self._count(line, piece)
            events += [teller.end(c, _reason(piece.finish_reason)) for c in line.choices]
            await self._observe(line, piece)
        return events

    def _count(self, line: Line, piece: Piece) -> None:
        """Only an answer's last piece knows how much was read and written."""
        self._read[line.given] = max(piece.prompt_tokens, self._read.get(line.given, 0))
        self._written += piece.tokens * len(line.choices)

    async def _observe(self, line: Line, piece: Piece) -> None:
        if line.choices[0] % self._question.choices:
            return  # the first answer to each text is looked at
        found = Prediction("".join(line.text), confidence=piece.confidence)
        asked = replace(self._question, given=[self._question.given[line.given]], choices=1)
        await observe(self._served, asked, [found])


def count_tokens(state: Any, served: Served, usage: Usage) -> None:
    """Add to the counters of a model's tokens."""
    state.measured.read.labels(served.name).inc(usage.prompt_tokens)
    state.measured.written.labels(served.name).inc(usage.completion_tokens)


def _joined(items: Sequence[tuple[int, Piece]]) -> list[tuple[int, Piece]]:
    """Each answer's pieces as one: where the client's side is slower than the model, events grow
    and do not pile up."""
    found: dict[int, Piece] = {}
    for place, piece in items:
        before = found.get(place)
        found[place] = piece if before is None else replace(
            piece, text=before.text + piece.text,
            token_scores=before.token_scores + piece.token_scores,
        )  # fmt: skip
    return list(found.items())


def _through(guard: Any, text: str, last: bool) -> str:
    push: Callable[[str], str] = guard.push
    out = push(text) if text else ""
    return out + guard.end() if last else out


def _reason(reason: str | None) -> str:
    return "length" if reason == "length" else "stop"


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"
