"""A text and the answers it may have, as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.records.examples import Example
from tinyforge.tasks.decoder import answer_start

_ENCODED = 2_048
"""Texts turned into tokens at one time, at most."""

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Candidates:
    """A text and the answers it may have.

    Attributes:
        prompt: what is read whichever the answer is; at least one token. Encoder-decoder: what
            the encoder reads.
        answers: the tokens whose likelihood counts, at least one each.
    """

    prompt: Ids
    answers: tuple[Ids, ...]


class AnswerReader:
    """Turns texts with the same answers into tokens, as one task does.

    A model that continues raw text reads text and answer as one: what their tokens have in common
    for all answers is the prompt, and each answer is what follows; no end token is counted, since
    raw text goes on. In other tasks an answer stands alone and has its end token.

    Args:
        task: of the model.
        words: the answers.
        lead: spaces before an answer that continues raw text.
    """

    def __init__(self, task: Any, words: Sequence[str], lead: str) -> None:
        self._task = task
        self._continues = task.name == "language-model"
        self._words = [(lead if self._continues else "") + word for word in words]

    def candidates(self, contexts: Sequence[str]) -> list[Candidates]:
        """Each text with all answers."""
        encode = self._task.encode
        if not self._continues:
            items = encode([Example(input=context) for context in contexts])
            return [Candidates(item.input_ids, self._alone) for item in items]
        size = len(self._words) + 1
        step = max(1, _ENCODED // size)
        found = []
        for start in range(0, len(contexts), step):
            part = contexts[start : start + step]
            texts = [Example(input=text + tail) for text in part for tail in ("", *self._words)]
            ids = [item.input_ids for item in encode(texts)]
            found += [self._split(ids[i : i + size]) for i in range(0, len(ids), size)]
        return found

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest answer, and one more that a joint encoding may need."""
        if not self._continues:
            return max(len(answer) for answer in self._alone)
        items = self._task.encode([Example(input=word) for word in self._words])
        return 1 + max(len(item.input_ids) for item in items)

    @cached_property
    def _alone(self) -> tuple[Ids, ...]:
        items = self._task.encode([Example(input="?", output=word) for word in self._words])
        if self._task.family != "decoder":
            return tuple(item.labels for item in items)
        return tuple(item.labels[answer_start(item.labels) :] for item in items)

    def _split(self, ids: Sequence[Ids]) -> Candidates:
        """A text, and the same with each answer, divided where any of them goes its own way."""
        alone, wholes = ids[0], ids[1:]
        common = min(len(alone), *(len(whole) - 1 for whole in wholes))
        for whole in wholes:
            differ = np.flatnonzero(whole[:common] != alone[:common])
            common = int(differ[0]) if len(differ) else common
        prompt = alone[:common]
        if not common:  # something has to be read before a first token can be likely or not
            start = self._task.tokenizer.bos_token_id
            prompt = np.array([self._task.end_ids[0] if start is None else start], np.int32)
        return Candidates(prompt, tuple(whole[common:] for whole in wholes))
