"""How likely each of several answers to one text is, with the text read only once.

The twin of ``inference.choosing.AnswerScorer`` for exported models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import CacheLayout
from tinyforge.errors import ModelError
from tinyforge.inference.batching import WRITTEN, by_length
from tinyforge.inference.candidates import Candidates, Ids
from tinyforge.inference.onnx.beams import log_softmax
from tinyforge.inference.onnx.cache import no_past, past_names, present_names
from tinyforge.inference.onnx.decoder import LEAST, SlotDecoder
from tinyforge.inference.onnx.engine_rows import common_start
from tinyforge.inference.onnx.sessions import Session
from tinyforge.tasks.tokens import pad

Array = NDArray[Any]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Scored = tuple[Floats, Flags]

CHUNK = 512
"""Tokens of a prompt that are read at one time."""
LOGITS = 2**24
"""Logits computed at one time, at most: 64 MB in float32."""


class OnnxScorer:
    """Measures answers with one exported model.

    Args:
        score: measures the answers of one row.
    """

    def __init__(self, score: Callable[[Candidates], Scored]) -> None:
        self._score = score

    def log_likelihoods(self, rows: Sequence[Candidates]) -> list[Floats]:
        """The natural-log likelihood of every answer of every row, summed over its tokens.

        Raises:
            ModelError: the model's outputs are not finite numbers.
        """
        return [scores for scores, _ in self.with_greedy(rows)]

    def with_greedy(self, rows: Sequence[Candidates]) -> list[Scored]:
        """``log_likelihoods``, and of every answer whether each of its tokens is the likeliest.

        Raises:
            ModelError: the model's outputs are not finite numbers.
        """
        with np.errstate(all="ignore"):
            found = [self._score(row) for row in rows]
        if not all(np.isfinite(scores).all() for scores, _ in found):
            raise ModelError(
                "the model's outputs are not finite numbers, so it is damaged",
                fix="Copy, download or export it again",
            )
        return found


class SlotScorer:
    """Answers read one after the other behind their text, in one slot.

    Each answer is written over the one before it. What a text has in common with the one before
    it, such as the instructions of a prompt, is not read again.

    Args:
        limit: tokens that the model's positions reach to; None where nothing bounds them.
    """

    def __init__(self, decoder: SlotDecoder, limit: int | None) -> None:
        self._decoder, self._limit = decoder, limit
        self._held: Ids = np.zeros(0, dtype=np.int32)

    def __call__(self, row: Candidates) -> Scored:
        """The answers of one row."""
        decoder, prompt = self._decoder, row.prompt
        most = len(prompt) + max(len(answer) for answer in row.answers)
        first = self._read(prompt, most)
        scores, greedy = [], []
        for answer in row.answers:
            shares = first
            if len(answer) > 1:
                decoder.set_length(0, len(prompt))
                rest = decoder.read(0, answer[:-1].astype(np.int64), every=True)
                shares = np.concatenate([first, log_softmax(rest)])
            total, likeliest = _along(shares, answer)
            scores.append(total)
            greedy.append(likeliest)
        decoder.set_length(0, len(prompt))
        return np.array(scores), np.array(greedy)

    def _read(self, prompt: Ids, most: int) -> NDArray[np.float32]:
        """Log-probabilities of the token after the prompt, shape (1, vocabulary)."""
        decoder, held = self._decoder, self._held
        self._held = prompt[:0]  # nothing is there until all is there
        if most > decoder.capacity:
            size = max(most, LEAST, 2 * decoder.capacity)
            size = size if self._limit is None else max(most, min(size, self._limit))
            decoder.resize(1, size, [(0, 0)] if decoder.slots else ())
        common = min(common_start(held, prompt), len(prompt) - 1)
        decoder.set_length(0, common)
        for start in range(common, len(prompt), CHUNK):
            part = prompt[start : start + CHUNK].astype(np.int64)
            logits = decoder.read(0, part)
        self._held = prompt
        return log_softmax(logits)


class GrowingScorer:
    """Answers read together behind their text, whose keys and values are repeated for each.

    Args:
        encode: what an encoder makes of texts: inputs of the decoder; nothing without one.
        start: behind an encoder, the token that answers begin after; None without one.
    """

    def __init__(
        self,
        session: Session,
        layout: CacheLayout,
        encode: Callable[[Sequence[Ids]], dict[str, Array]],
        start: int | None,
    ) -> None:
        self._session, self._layout = session, layout
        self._encode, self._start = encode, start
        self._names, self._outputs = past_names(layout), present_names(layout)

    def __call__(self, row: Candidates) -> Scored:
        """The answers of one row."""
        fixed, prompt = self._encode([row.prompt]), row.prompt
        if self._start is not None:
            prompt = np.array([self._start], dtype=np.int32)
        past = dict(zip(self._names, no_past(self._layout, 1), strict=True))
        for start in range(0, len(prompt), CHUNK):
            part = prompt[None, start : start + CHUNK]
            logits, past = self._run(part, start, past, fixed, last=True)
        first = log_softmax(logits)
        scores = np.array([float(first[0, int(answer[0])]) for answer in row.answers])
        greedy = scores >= first.max()
        longer = [place for place, answer in enumerate(row.answers) if len(answer) > 1]
        lengths = [len(row.answers[place]) - 1 for place in longer]
        longest = max(lengths, default=1)
        most = max(1, min(WRITTEN // (len(prompt) + longest), LOGITS // (longest * first.size)))
        for batch in by_length(lengths, rows=most, tokens=WRITTEN):
            places = [longer[i] for i in batch]
            answers = [row.answers[place] for place in places]
            shares = self._rest(answers, len(prompt), past, fixed)
            for place, answer, each in zip(places, answers, shares, strict=True):
                total, likeliest = _along(each[: len(answer) - 1], answer[1:])
                scores[place] += total
                greedy[place] &= likeliest
        return scores, greedy

    def _rest(
        self, answers: Sequence[Ids], before: int, past: dict[str, Array], fixed: dict[str, Array]
    ) -> list[NDArray[np.float32]]:
        """Log-probabilities after each token of each answer but its last."""
        ids, _ = pad([answer[:-1] for answer in answers], 0)
        count = len(answers)
        many = {name: np.repeat(array, count, axis=0) for name, array in past.items()}
        same = {name: np.repeat(array, count, axis=0) for name, array in fixed.items()}
        logits, _ = self._run(ids, before, many, same, last=False)
        return list(log_softmax(logits).reshape(count, ids.shape[1], -1))

    def _run(
        self,
        ids: Array,
        before: int,
        past: dict[str, Array],
        fixed: dict[str, Array],
        *,
        last: bool,
    ) -> tuple[NDArray[np.float32], dict[str, Array]]:
        rows, count = ids.shape
        keep = np.array([count - 1]) if last else np.arange(rows * count)
        feeds = {
            "input_ids": np.ascontiguousarray(ids, dtype=np.int64),
            # What fills up a row stands behind its tokens, and none of them sees it.
            "attention_mask": np.ones((rows, before + count), dtype=np.int64),
            "keep": keep.astype(np.int64), **past, **fixed,
        }  # fmt: skip
        if self._layout.positions:
            feeds["position_ids"] = np.tile(np.arange(before, before + count), (rows, 1))
        names = ["logits", *(self._outputs if last else ())]
        found = self._session.run(feeds, names)
        now = {n: found[o] for n, o in zip(self._names, self._outputs, strict=True)} if last else {}
        return found["logits"], now


def _along(shares: NDArray[np.float32], answer: Ids) -> tuple[float, bool]:
    """The log-likelihood of an answer from the log-probabilities at each of its places, and
    whether each token is the likeliest."""
    chosen = shares[np.arange(len(answer)), answer]
    return float(chosen.sum(dtype=np.float64)), bool((chosen >= shares.max(axis=1)).all())
