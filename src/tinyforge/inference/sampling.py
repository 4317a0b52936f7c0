"""How the next token is drawn, with the same noise whatever computes the logits.

Drawing is the Gumbel-max trick (Gumbel 1954; Maddison et al. 2014, arXiv:1411.0030): the largest
of the log-probabilities plus Gumbel noise is distributed like a draw from them. The noise of a
token depends on the seed, the prompt, the step and the token alone, so that an answer does not
depend on the rows beside it, and so that two backends whose logits agree draw the same answer. It
comes from SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators"), whose n-th number is computed without those before it: where only the k likeliest
tokens can be drawn, k numbers are made and not one for each token of the vocabulary.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.evaluate import GenerateSettings

COLDEST = 1e-4
"""Temperatures below are as good as greedy, and dividing by them would overflow."""

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]

_BLOCK = 64
_GAMMA = 0x9E3779B97F4A7C15
_WORD = 2**64 - 1


def source_of_noise(prompt: Sequence[int] | NDArray[Any], seed: int | None) -> int:
    """Where a prompt's noise begins: 64 bits.

    With a seed it depends on the seed and the prompt's tokens alone: the same text is answered
    the same way whatever stands beside it. Without one it is drawn from the operating system.
    """
    if seed is None:
        return secrets.randbits(64)
    text = f"{seed}:{','.join(str(int(i)) for i in prompt)}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def gumbel(source: int, step: int, vocabulary: int, tokens: Tokens | None = None) -> Floats:
    """Gumbel noise of tokens at one step of an answer.

    Args:
        source: see ``source_of_noise``.
        step: tokens that were drawn before.
        vocabulary: how many tokens there are.
        tokens: those whose noise is wanted; default: all.

    Returns:
        float32, as many as there are tokens, between -2.9 and 16.7: 23 random bits each.
    """
    places = _multiples(vocabulary)
    start = np.uint64((source + _GAMMA * (step * vocabulary + 1)) & _WORD)
    bits = (places if tokens is None else places[tokens]) + start
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    bits >>= np.uint64(41)
    noise = bits.astype(np.float32)
    noise += np.float32(0.5)
    noise *= np.float32(2.0**-23)  # strictly between 0 and 1
    for _ in range(2):
        np.log(noise, out=noise)
        np.negative(noise, out=noise)
    return noise


@lru_cache(maxsize=4)
def _multiples(count: int) -> NDArray[np.uint64]:
    return np.arange(count, dtype=np.uint64) * np.uint64(_GAMMA)


class Draw:
    """Draws one answer's tokens.

    Args:
        settings: with a temperature above 0.
        source: see ``source_of_noise``.
    """

    def __init__(self, settings: GenerateSettings, source: int) -> None:
        self._source = source
        self._temperature = np.float32(max(COLDEST, settings.temperature))
        self._top_k, self._top_p = settings.top_k, settings.top_p
        self._step = 0

    def __call__(self, logits: Floats) -> int:
        """The next token, for its logits: shape (vocabulary,)."""
        vocabulary = len(logits)
        scores = logits / self._temperature
        tokens = None
        if 0 < self._top_k < vocabulary:
            tokens = likeliest(scores, self._top_k)
            scores = scores[tokens]
        if self._top_p < 1:
            kept = nucleus(scores, self._top_p)
            tokens = kept if tokens is None else tokens[kept]
            scores = scores[kept]
        scores = scores + gumbel(self._source, self._step, vocabulary, tokens)
        self._step += 1
        best = int(scores.argmax())
        return best if tokens is None else int(tokens[best])


def likeliest(scores: Floats, count: int) -> Tokens:
    """Places of the largest scores, with all that equal the least of them, in order of place."""
    places = shortlist(scores, count)
    if len(places) <= count:
        return places
    some = scores[places]
    kept = places[some >= np.partition(some, len(some) - count)[len(some) - count]]
    return kept if len(kept) else places[:1]  # the scores are no numbers


def shortlist(values: Floats, count: int) -> Tokens:
    """Places, few if they can be, among which are those of the largest values and their equals."""
    blocks = len(values) // _BLOCK
    if blocks >= 2 * count:
        # As many blocks as values are wanted reach this, so no lower value is wanted.
        peaks = values[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
        places = np.flatnonzero(values >= np.partition(peaks, blocks - count)[blocks - count])
        if len(places) >= count:
            return places
    return np.arange(len(values))


def nucleus(scores: Floats, mass: float) -> Tokens:
    """Places of the fewest likeliest tokens that hold the probability mass, in order of place.

    Holtzman et al. 2020 (arXiv:1904.09751), with transformers' rule at the bound: tokens go, the
    least likely first, as long as what has gone is no more than 1 - mass.
    """
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    # Those below an even share of what may go would all go: only the others need sorting.
    places = np.flatnonzero(shares >= (1 - mass) / len(shares))
    if not len(places):  # the logits are no numbers
        return np.zeros(1, dtype=np.int64)
    order = np.argsort(shares[places], kind="stable")
    gone = 1.0 - float(shares[places].sum(dtype=np.float64))
    keep = gone + np.cumsum(shares[places][order], dtype=np.float64) > 1 - mass
    keep[-1] = True
    return np.sort(places[order[keep]])


def log_probability(logits: Floats, token: int, room: Floats) -> float:
    """A token's natural-log probability.

    Args:
        logits: shape (vocabulary,).
        room: of the same shape, written over.
    """
    top, rest = _total(logits, room)
    return float(logits[token]) - top - rest


@dataclass(frozen=True, slots=True)
class Chances:
    """How likely the token at one place was.

    Attributes:
        log_probability: natural logarithm, under the model itself.
        top: the likeliest tokens, by id, and theirs; the likeliest first.
    """

    log_probability: float
    top: tuple[tuple[int, float], ...] = ()


def chances(logits: Floats, token: int, count: int, room: Floats) -> Chances:
    """``log_probability`` of a token, and of the likeliest ``count``.

    Tokens that cannot be, at minus infinity, are not among these.
    """
    top, rest = _total(logits, room)
    found: list[tuple[int, float]] = []
    if count:
        places = likeliest(logits, min(count, len(logits)))
        ranked = places[np.argsort(-logits[places], kind="stable")[:count]]
        found = [(int(i), float(logits[i]) - top - rest) for i in ranked if logits[i] > -np.inf]
    return Chances(float(logits[token]) - top - rest, tuple(found))


def mean_probability(total: float, count: int) -> float | None:
    """The geometric mean of probabilities from the sum of their logarithms."""
    if not count:
        return None
    return math.exp(min(0.0, total / count)) if math.isfinite(total) else None


def _total(logits: Floats, room: Floats) -> tuple[float, float]:
    """The largest logit, and the logarithm of the sum of all exponentials relative to it."""
    top = logits.max()
    np.subtract(logits, top, out=room)
    np.exp(room, out=room)
    return float(top), float(np.log(room.sum(dtype=np.float32)))
