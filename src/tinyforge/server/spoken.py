"""Questions on their way to a model and answers on their way out, past the safeguards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tinyforge.records.predictions import Prediction
from tinyforge.safety.rulings import Ruling
from tinyforge.server.asking import Question, predictions
from tinyforge.server.models import Served
from tinyforge.server.replies import Check

log = logging.getLogger("tinyforge")

REFUSED: Final = "content_filter"
"""OpenAI's word for an answer that a filter took away."""


@dataclass(frozen=True)
class Spoken:
    """One answer as it goes out.

    Attributes:
        check: what a safeguard did to the text or the answer; None: nothing.
    """

    prediction: Prediction
    check: Check | None = None

    @property
    def refused(self) -> bool:
        """Whether this is a refusal in the answer's place."""
        return self.prediction.finish_reason == REFUSED


def active_safeguards(state: Any) -> Any:
    """The server's safeguards; None where there are none, or none of them does anything."""
    safeguards = getattr(state, "safeguards", None)
    return safeguards if safeguards is not None and safeguards.active else None


async def looked_at(state: Any, question: Question) -> tuple[Question, list[Ruling | None]]:
    """The question as the model may see it, and what safeguards did to each of its texts or chats.

    One of which any text is refused is refused; its place in the question keeps its old words.
    """
    safeguards = active_safeguards(state)
    if safeguards is None:
        return question, [None] * len(question.given)
    rulings = await asyncio.to_thread(safeguards.check_input, question.texts)
    texts = [
        old if ruling.action == "refused" else ruling.text
        for old, ruling in zip(question.texts, rulings, strict=True)
    ]
    coming = iter(rulings)
    sizes = [1 if isinstance(each, str) else len(each) for each in question.given]
    strictest = [_strictest([next(coming) for _ in range(size)]) for size in sizes]
    return question.with_texts(texts), strictest


async def spoken(state: Any, served: Served, question: Question) -> list[Spoken]:
    """Answers to a question: all choices for its first text, then all for the second, and so on.

    Raises:
        Problem: as ``asking.predictions``.
    """
    allowed, rulings = await looked_at(state, question)
    open_ = [place for place, ruling in enumerate(rulings) if not _refuses(ruling)]
    asked = replace(allowed, given=[allowed.given[place] for place in open_])
    found = await predictions(served, asked, state.settings) if open_ else []
    await observe(served, asked, found)
    checked = iter(await _checked(state, served, found))
    answers = []
    for ruling in rulings:
        for _ in range(question.choices):
            if ruling is not None and ruling.action == "refused":
                answers.append(_refusal(ruling, served.version))
                continue
            answer = next(checked)
            if answer.check is None and ruling is not None:
                answer = replace(answer, check=_check(ruling))
            answers.append(answer)
    return answers


async def observe(served: Served, question: Question, found: Sequence[Prediction]) -> None:
    """Let the model's drift counters see its questions and the first answer to each."""
    if served.drift is None or not found:
        return
    texts = [each if isinstance(each, str) else each[-1]["content"] for each in question.given]
    first = found[:: question.choices]
    try:
        if len(texts) == 1:  # costs less than to hand it to a thread
            served.drift.observe(texts, first)
        else:
            await asyncio.to_thread(served.drift.observe, texts, first)
    except Exception as error:  # counters must not cost an answer
        log.error("drift could not be measured: %s", type(error).__name__)


async def _checked(state: Any, served: Served, found: Sequence[Prediction]) -> list[Spoken]:
    safeguards = active_safeguards(state)
    if safeguards is None or not found:
        return [Spoken(prediction) for prediction in found]
    rulings = await asyncio.to_thread(
        safeguards.check_output,
        [prediction.output for prediction in found],
        [prediction.confidence for prediction in found],
        labels=not served.writes,
    )
    return [_after(prediction, ruling) for prediction, ruling in zip(found, rulings, strict=True)]


def _after(prediction: Prediction, ruling: Ruling) -> Spoken:
    """The answer as the ruling leaves it; nothing beside the text tells what the text no longer
    does."""
    if ruling.action == "pass":
        return Spoken(prediction)
    if ruling.action == "refused":
        refusal = _refusal(ruling, prediction.model).prediction
        counts = replace(refusal, prompt_tokens=prediction.prompt_tokens, tokens=prediction.tokens)
        return Spoken(counts, _check(ruling))
    changed = replace(prediction, output=ruling.text, labels=(), scores={}, token_scores=())
    return Spoken(changed, _check(ruling))


def _refusal(ruling: Ruling, version: str) -> Spoken:
    prediction = Prediction(ruling.text, model=version, finish_reason=REFUSED)
    return Spoken(prediction, _check(ruling))


def _check(ruling: Ruling) -> Check:
    return Check(action=ruling.action, rule=ruling.rule)


def _strictest(rulings: Sequence[Ruling]) -> Ruling | None:
    """Of one text's or chat's rulings the one that matters most; None where all of them pass."""
    for action in ("refused", "changed"):
        for ruling in rulings:
            if ruling.action == action:
                return ruling
    return None


def _refuses(ruling: Ruling | None) -> bool:
    return ruling is not None and ruling.action == "refused"
