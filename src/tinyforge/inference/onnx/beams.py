"""Beam search, choosing as ``generate`` of transformers does with a length penalty of 1.

Of all continuations of an answer's beams the likeliest are looked at, as many as are left when
every end token took its share. Those that end stand aside with their mean log-likelihood for each
token; the likeliest others are the next beams. It is over when no beam can come before those that
stand aside, or when none goes on. (transformers' ``_beam_search`` with ``early_stopping=False``.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tinyforge.inference.onnx.engine_rows import Row
from tinyforge.inference.onnx.writer_rules import Rules
from tinyforge.inference.sampling import shortlist
from tinyforge.inference.stop_strings import StopStrings

Floats = NDArray[np.float32]
Places = NDArray[np.intp]

_NONE = np.float32(-1e9)
"""The score of a beam that is not there."""


class Branches(Protocol):
    """Rows in groups, one row for each beam of an answer, and their keys and values."""

    def begin(self, rows: Sequence[Row], width: int) -> Floats:
        """Read the prompts: logits of each answer's first token, shape (rows, vocabulary)."""
        ...

    def step(self, tokens: NDArray[np.int64], alive: NDArray[np.bool_]) -> Floats:
        """One more token for every beam of every answer.

        Args:
            alive: which of them matter.
        """
        ...

    def fork(self, sources: Places) -> None:
        """Each beam goes on from another one of its answer."""
        ...

    def select(self, rows: Places) -> None:
        """Only these beams go on, in this order."""
        ...

    def clear(self) -> None:
        """Give back all memory."""
        ...


class Search:
    """The beams of one answer.

    Attributes:
        row: the answer.
        tokens: what each beam reads next.
        done: whether the search is over.
        ids, logs: then: the answer's tokens, and the log-probability of each under the model.
    """

    def __init__(self, row: Row, width: int, rules: Rules, stops: StopStrings) -> None:
        self.row, self._width, self._rules, self._stops = row, width, rules, stops
        self._ends = frozenset(rules.ends)
        self._scores = np.full(width, _NONE, dtype=np.float32)
        self._scores[0] = 0  # all beams are the same as yet: only one of them counts
        self._beams: list[tuple[list[int], list[float]]] = [([], [])] * width
        self._best: list[tuple[list[int], list[float]]] = [([], [])] * width
        self._best_scores = np.full(width, _NONE, dtype=np.float32)
        self._finished = np.zeros(width, dtype=bool)
        self._open = True
        self.tokens = [0] * width
        self.done = False

    @property
    def ids(self) -> list[int]:
        """The answer's tokens."""
        return self._answer()[0]

    @property
    def logs(self) -> list[float]:
        """The log-probability of each of its tokens."""
        return self._answer()[1]

    def advance(self, logits: Floats) -> Places:
        """Choose the next beams.

        Args:
            logits: shape (beams, vocabulary).

        Returns:
            for each of the next beams, which one it goes on from.
        """
        length, vocabulary = len(self._beams[0][0]), logits.shape[1]
        shares = log_softmax(logits)
        allowed = shares
        if not self._rules.plain:
            allowed = self._rules.apply(shares, length, self.row.room)
        scores = (allowed + self._scores[:, None]).reshape(-1)
        top = largest(scores, max(2, 1 + len(self._ends)) * self._width)
        values, (parents, tokens) = scores[top], np.divmod(top, vocabulary)
        candidates = [
            ([*self._beams[beam][0], token], [*self._beams[beam][1], float(shares[beam, token])])
            for beam, token in zip(parents.tolist(), tokens.tolist(), strict=True)
        ]
        hits = np.array([self._ends_with(ids) for ids, _ in candidates])
        going = values + hits.astype(np.float32) * _NONE
        chosen = largest(going, self._width)
        self._finish(candidates, values, hits, length + 1)
        self._scores, self._beams = going[chosen], [candidates[i] for i in chosen]
        self.tokens = [ids[-1] for ids, _ in self._beams]
        worst = np.where(self._finished, self._best_scores.min(), _NONE)
        self._open &= bool((self._scores[0] / np.float32(length + 1) > worst).any())
        self.done = not self._open or bool(hits.all())
        return parents[chosen]

    def _ends_with(self, ids: list[int]) -> bool:
        if ids[-1] in self._ends or len(ids) >= self.row.room:
            return True
        return self._stops.end(ids)

    def _finish(
        self,
        candidates: Sequence[tuple[list[int], list[float]]],
        values: Floats,
        hits: NDArray[np.bool_],
        length: int,
    ) -> None:
        """Those that end stand aside, if they are among the likeliest and better than others."""
        ended = hits & (np.arange(len(hits)) < self._width)
        finals = values / np.float32(length)
        finals += (not self._open) * _NONE
        finals += (~ended).astype(np.float32) * _NONE
        merged = np.concatenate([self._best_scores, finals])
        chosen = largest(merged, self._width)
        both = [*self._best, *candidates]
        self._best, self._best_scores = [both[i] for i in chosen], merged[chosen]
        self._finished = np.concatenate([self._finished, ended])[chosen]

    def _answer(self) -> tuple[list[int], list[float]]:
        return self._best[0] if self._finished.any() else self._beams[0]


class Beams:
    """Several answers that are searched for at the same time.

    Attributes:
        alive: those that are not done.
    """

    def __init__(self, branches: Branches, searches: Sequence[Search], width: int) -> None:
        self._branches, self._width = branches, width
        self._searches = list(searches)
        self._begun = False

    @property
    def alive(self) -> list[Search]:
        """The searches that are not over."""
        return [search for search in self._searches if not search.done]

    def step(self) -> list[Search]:
        """One more token for every answer; the first call reads the prompts.

        Returns:
            the searches that are over now.
        """
        width = self._width
        if self._begun:
            tokens = np.array([t for s in self._searches for t in s.tokens], dtype=np.int64)
            alive = np.repeat([not search.done for search in self._searches], width)
            logits = self._branches.step(tokens, alive)
        else:
            logits = self._branches.begin([search.row for search in self._searches], width)
            logits = np.repeat(logits, width, axis=0)
            self._begun = True
        sources = np.arange(len(logits))
        going = [(place, search) for place, search in enumerate(self._searches) if not search.done]
        for place, search in going:
            rows = slice(place * width, (place + 1) * width)
            sources[rows] = place * width + search.advance(logits[rows])
        if self.alive:
            self._go_on(sources)
        return [search for _, search in going if search.done]

    def leave(self, row: Row) -> None:
        """Nobody wants this answer any more."""
        for search in self._searches:
            if search.row is row:
                search.done = True

    def _go_on(self, sources: Places) -> None:
        """Beams go on from their sources; answers that are done leave once they are many."""
        alive = self.alive
        if 2 * len(alive) <= len(self._searches):
            kept = np.repeat([not search.done for search in self._searches], self._width)
            self._searches = alive
            self._branches.select(sources[kept])
        elif (sources != np.arange(len(sources))).any():
            self._branches.fork(sources)


def log_softmax(logits: Floats) -> Floats:
    """Natural-log probabilities, row by row."""
    found: Floats = logits - logits.max(axis=1, keepdims=True)
    found -= np.log(np.exp(found).sum(axis=1, keepdims=True))
    return found


def largest(values: Floats, count: int) -> Places:
    """Places of the largest values, the largest first, of equal ones the first place."""
    places = shortlist(values, count)
    return places[np.argsort(-values[places], kind="stable")[:count]]
