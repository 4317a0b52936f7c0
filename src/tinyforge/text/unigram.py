"""A Unigram vocabulary learnt the same way every time.

Method: Kudo 2018, "Subword regularization" (arXiv:1804.10959): start from many frequent substrings,
re-estimate their probabilities, drop those whose loss costs the text least, repeat. Here the
expectation step counts the single best segmentation of every distinct word (hard EM), so that all
counts are integers and two runs agree to the last bit; the parallel sums of the ``tokenizers``
trainer do not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST = 16
"""Longest piece, in characters."""

SEEDS_PER_PIECE = 8
"""Candidates at the start for each piece that is wanted."""

KEPT_EACH_ROUND = 0.75
UNSEEN = -1e4

Scores = NDArray[np.float64]


def learn_unigram(
    words: Mapping[str, int], size: int, alphabet: list[str]
) -> list[tuple[str, float]]:
    """The best ``size`` pieces for these words, with their log-probabilities.

    Args:
        words: every distinct word, with its marker of a word's start, and how often it occurs.
        size: pieces wanted; fewer come back where the words do not have so many.
        alphabet: single characters that are always pieces.

    Returns:
        Pieces, the likeliest first (ties: by text).
    """
    known = set(alphabet)
    ordered = sorted((w, n) for w, n in words.items() if n > 0)
    seeds = _seeds(ordered, size, known)
    pieces = list(seeds)
    numbers = {piece: i for i, piece in enumerate(pieces)}
    always = np.array([piece in known for piece in pieces], dtype=bool)
    text = Lattice([w for w, _ in ordered], numbers)
    frequencies = np.array([n for _, n in ordered], dtype=np.int64)
    inside = Lattice(pieces, numbers, themselves=False)
    alive = np.ones(len(pieces), dtype=bool)
    scores = _logarithms(np.array(list(seeds.values()), dtype=np.int64), alive)
    while True:
        for _ in range(2):
            counts = text.count(scores, frequencies)
            alive &= (counts > 0) | always
            scores = _logarithms(counts, alive)
        left = int(alive.sum())
        if left <= size:
            found = [(pieces[i], float(scores[i])) for i in np.flatnonzero(alive)]
            return sorted(found, key=lambda item: (-item[1], item[0]))
        keep = max(size, int(left * KEPT_EACH_ROUND))
        alive = _prune(pieces, scores, counts, inside.best(scores), alive, always, keep)
        scores = np.where(alive, scores, -np.inf)


def _seeds(words: Sequence[tuple[str, int]], size: int, known: set[str]) -> dict[str, int]:
    """The candidates and how often each one occurs."""
    counts: Counter[str] = Counter()
    for word, n in words:
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + LONGEST) + 1):
                counts[word[start:end]] += n
    pieces = [(p, n) for p, n in counts.items() if len(p) > 1 and n > 1 and known.issuperset(p)]
    pieces.sort(key=lambda item: (-item[1] * len(item[0]), item[0]))
    chosen = dict(pieces[: size * SEEDS_PER_PIECE])
    chosen.update({c: counts[c] for c in sorted(known)})
    return chosen


def _logarithms(counts: NDArray[np.int64], alive: NDArray[np.bool_]) -> Scores:
    """Log-probabilities by counts; of the dead, minus infinity.

    By Python's ``math``: numpy's logarithm differs between processors in the last bit.
    """
    total = math.log(int(counts[alive].sum()) or 1)
    scores = np.full(len(counts), -np.inf)
    places = np.flatnonzero(alive)
    logs = [math.log(n) - total if n else UNSEEN for n in counts[places].tolist()]
    scores[places] = logs
    return scores


def _prune(
    pieces: Sequence[str],
    scores: Scores,
    counts: NDArray[np.int64],
    without: Scores,
    alive: NDArray[np.bool_],
    always: NDArray[np.bool_],
    keep: int,
) -> NDArray[np.bool_]:
    """Which pieces stay: those without which the text's likelihood would fall most.

    Args:
        without: log-probability of each piece when it is made of others.
    """
    places = np.flatnonzero(alive & ~always)
    with np.errstate(invalid="ignore"):  # a piece that no others make is worth most
        losses = counts[places] * (scores[places] - without[places])
    losses = np.where(np.isneginf(without[places]), np.inf, losses)
    ranked = sorted(zip((-losses).tolist(), places.tolist(), strict=True),
                    key=lambda item: (item[0], pieces[item[1]]))  # fmt: skip
    stays = always & alive
    stays[[place for _, place in ranked[: max(0, keep - int(stays.sum()))]]] = True
    return stays


@dataclass(frozen=True)
class _Block:
    """Words of one length.

    Attributes:
        rows: which words they are.
        length: characters of each.
        pieces: number of the piece in each place, int32, shape (words, places); places go by
            start, then by end.
        first: the first place of each start.
    """

    rows: NDArray[np.int64]
    length: int
    pieces: NDArray[np.int32]
    first: NDArray[np.int64]


class Lattice:
    """All ways to make words of pieces, for finding the likeliest of all words at once (Viterbi).

    Args:
        words: the words.
        numbers: piece to its number, from 0 on without gaps.
        themselves: whether a piece may stand for a whole word.
    """

    def __init__(
        self, words: Sequence[str], numbers: Mapping[str, int], *, themselves: bool = True
    ) -> None:
        self._many, self._none = len(words), len(numbers)
        order = sorted(range(len(words)), key=lambda i: (len(words[i]), i))
        self._blocks = [
            self._block(words, list(rows), length, numbers, themselves)
            for length, rows in groupby(order, key=lambda i: len(words[i]))
            if length
        ]

    def _block(
        self, words: Sequence[str], rows: list[int], length: int, numbers: Mapping[str, int],
        themselves: bool,
    ) -> _Block:  # fmt: skip
        spans = [
            (start, end)
            for start in range(length)
            for end in range(start + 1, min(length, start + LONGEST) + 1)
        ]
        first = np.cumsum([0, *(min(LONGEST, length - start) for start in range(length - 1))])
        flat = [numbers.get(words[row][a:b], self._none) for row in rows for a, b in spans]
        pieces = np.array(flat, dtype=np.int32).reshape(len(rows), len(spans))
        if not themselves and length <= LONGEST:
            pieces[:, length - 1] = self._none
        return _Block(np.array(rows), length, pieces, first)

    def count(self, scores: Scores, frequencies: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often each piece is used where every word is made in its likeliest way.

        Args:
            scores: log-probability of each piece, shape (pieces,).
            frequencies: of each word, shape (words,).
        """
        counts = np.zeros(self._none + 1, dtype=np.int64)
        for block in self._blocks:
            best, back = self._viterbi(block, scores)
            made = np.flatnonzero(best[:, -1] > -np.inf)
            ends = np.full(len(made), block.length)
            while len(made):
                starts = back[made, ends]
                used = block.pieces[made, block.first[starts] + ends - starts - 1]
                # Sums of whole numbers below 2^53 are exact.
                weights = frequencies[block.rows[made]]
                counts += np.bincount(used, weights, minlength=len(counts)).astype(np.int64)
                going = starts > 0
                made, ends = made[going], starts[going]
        return counts[:-1]

    def best(self, scores: Scores) -> Scores:
        """Log-probability of each word's likeliest way; minus infinity where there is none."""
        found = np.full(self._many, -np.inf)
        for block in self._blocks:
            found[block.rows] = self._viterbi(block, scores)[0][:, -1]
        return found

    def _viterbi(self, block: _Block, scores: Scores) -> tuple[Any, Any]:
        table = np.append(scores, -np.inf)
        best = np.full((len(block.rows), block.length + 1), -np.inf)
        back = np.zeros(best.shape, dtype=np.int64)
        best[:, 0] = 0.0
        for end in range(1, block.length + 1):
            for start in range(max(0, end - LONGEST), end):
                place = block.first[start] + end - start - 1
                way = best[:, start] + table[block.pieces[:, place]]
                better = way > best[:, end]
                best[better, end] = way[better]
                back[better, end] = start
        return best, back
