"""Golden answers: what an exported folder answered when it passed the gate, for later.

They are the exported model's own answers to a few rows and to made-up texts, chosen so that none of
them hangs by a thread: on another processor, sums come out a little different, and an answer that
was a near tie may fall the other way. Labels, texts and ends have to be the same again; confidence
may differ by what such sums make of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tinyforge.artifacts.export_folder import GOLDEN
from tinyforge.artifacts.files import write_bytes
from tinyforge.errors import FolderError
from tinyforge.records.examples import Example, Message
from tinyforge.records.predictions import Prediction
from tinyforge.records.rows import Source

MARGIN = {"fp32": 0.01, "fp16": 0.01, "bf16": 0.02, "int8": 0.05, "int4": 0.05}
"""How far ahead the answer has to be of the next one: in probability for labels, in spreads of the
logits for every token that is written."""

CONFIDENCE = {"fp32": 2e-3, "fp16": 2e-3, "bf16": 5e-3, "int8": 0.03, "int4": 0.03}
"""How much the confidence may differ on another machine."""

FEWEST = 3
"""Golden answers that there are at least, even if all of them are close."""


@dataclass(frozen=True, slots=True)
class Golden:
    """A text with its answer.

    Attributes:
        max_new_tokens: of a written answer; None for labels.
    """

    input: str
    messages: tuple[tuple[str, str], ...]
    max_new_tokens: int | None
    output: str
    labels: tuple[str, ...]
    finish_reason: str
    confidence: float | None
    tolerance: float

    def example(self, number: int) -> Example:
        """As it is asked."""
        chat = tuple(Message(role, content) for role, content in self.messages)
        return Example(input=self.input, messages=chat, source=Source(str(GOLDEN), number))

    def to_json(self) -> dict[str, Any]:
        """Plain data; a line of ``golden.jsonl``."""
        given: dict[str, Any] = {"input": self.input}
        if self.messages:
            given["messages"] = [{"role": role, "content": text} for role, text in self.messages]
        options = {} if self.max_new_tokens is None else {"max_new_tokens": self.max_new_tokens}
        return {
            "given": given, "options": options, "output": self.output,
            "labels": list(self.labels), "finish_reason": self.finish_reason,
            "confidence": self.confidence, "tolerance": self.tolerance,
        }  # fmt: skip


def golden_of(
    example: Example, answer: Prediction, *, max_new_tokens: int | None, precision: str
) -> Golden:
    """An example and its answer, to be kept."""
    return Golden(
        input=example.input,
        messages=tuple((message.role, message.content) for message in example.messages),
        max_new_tokens=max_new_tokens,
        output=answer.output,
        labels=answer.labels,
        finish_reason=answer.finish_reason,
        confidence=answer.confidence,
        tolerance=CONFIDENCE[precision],
    )


def write_golden(folder: Path, golden: Sequence[Golden]) -> None:
    """Into ``tinyforge/golden.jsonl``."""
    (folder / GOLDEN).parent.mkdir(parents=True, exist_ok=True)
    lines = [orjson.dumps(each.to_json(), option=orjson.OPT_APPEND_NEWLINE) for each in golden]
    write_bytes(folder / GOLDEN, b"".join(lines))


def read_golden(folder: Path) -> list[Golden]:
    """The golden answers of a folder.

    Raises:
        FolderError: there are none, or they cannot be read.
    """
    path = folder / GOLDEN
    try:
        return [_golden(orjson.loads(line)) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise FolderError("cannot be read", where=str(path), value=error.strerror) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FolderError("is damaged: no golden answers", where=str(path)) from error


def ask(model: Any, golden: Sequence[Golden]) -> list[Prediction]:
    """A model's answers to the golden texts, in order.

    Args:
        model: has ``predict_examples``, and answers greedily.
    """
    answers: list[Prediction] = []
    for most, rows in _by_length(golden):
        options = {} if most is None else {"max_new_tokens": most}
        answers += model.predict_examples(rows, **options)
    return answers


def differing(golden: Sequence[Golden], answers: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is otherwise than it was: a line for each answer.

    Args:
        answers: as ``plain`` makes them.
    """
    if len(golden) != len(answers):
        return [f"{len(answers)} answers instead of {len(golden)}"]
    found = []
    for number, (kept, now) in enumerate(zip(golden, answers, strict=True), start=1):
        where = f"{GOLDEN}:{number}"
        if now["output"] != kept.output or tuple(now["labels"]) != kept.labels:
            found.append(
                f"{where}: answered {_short(now['output'])} instead of {_short(kept.output)}"
            )
        elif now["finish_reason"] != kept.finish_reason:
            found.append(
                f"{where}: ended by {now['finish_reason']} instead of {kept.finish_reason}"
            )
        elif not _near(now["confidence"], kept.confidence, kept.tolerance):
            found.append(f"{where}: confidence {now['confidence']} instead of {kept.confidence}")
    return found


def plain(answers: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Answers as plain data."""
    return [
        {"output": a.output, "labels": list(a.labels), "finish_reason": a.finish_reason,
         "confidence": a.confidence}
        for a in answers
    ]  # fmt: skip


def _by_length(golden: Sequence[Golden]) -> Iterator[tuple[int | None, list[Example]]]:
    """Neighbours with the same length limit together, in order."""
    start = 0
    for end in range(1, len(golden) + 1):
        if end == len(golden) or golden[end].max_new_tokens != golden[start].max_new_tokens:
            rows = [golden[i].example(i + 1) for i in range(start, end)]
            yield golden[start].max_new_tokens, rows
            start = end


def _golden(line: Mapping[str, Any]) -> Golden:
    given = line["given"]
    return Golden(
        input=str(given["input"]),
        messages=tuple((turn["role"], turn["content"]) for turn in given.get("messages", ())),
        max_new_tokens=line["options"].get("max_new_tokens"),
        output=str(line["output"]),
        labels=tuple(line["labels"]),
        finish_reason=str(line["finish_reason"]),
        confidence=line["confidence"],
        tolerance=float(line["tolerance"]),
    )


def _near(now: float | None, kept: float | None, tolerance: float) -> bool:
    if now is None or kept is None:
        return now is kept
    return abs(now - kept) <= tolerance


def _short(text: str, most: int = 80) -> str:
    return repr(text if len(text) <= most else text[: most - 1] + "…")
