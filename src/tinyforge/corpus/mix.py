"""The order in which a mix of sources is learnt: exact, repeatable, and open at any point.

Window number ``n`` follows from the settings and ``n`` alone, so that a run that goes on at step
1,000,000 needs nothing of what came before, and the number of processes has no part in it.

Which source a window is of follows a pattern that keeps every source, after any number of windows,
within one window of its weight (Tijdeman 1980, "The chairman assignment problem").

Within a source the epochs stand one behind the other as one endless stream, cut into windows. An
epoch is the source's documents in their order, turned so that it begins at another place each time;
the windows that lie wholly within an epoch are shuffled among themselves, and the one across its
end keeps its place. So nothing comes a second time before all of the source was seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.corpus.token_shards import TokenStore
from tinyforge.errors import DataError, SettingError
from tinyforge.registry import suggest

MOST_PARTS = 1 << 16
"""Weights are whole parts of at most so many; a weight of less is one part."""

_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Window:
    """A stretch of tokens to learn from.

    Attributes:
        tokens: ids, shape (window,).
        starts: where in it documents start, int64, rising; the first is 0, whether or not a
            document starts there. Only that one where documents are crossed.
        source: the source's name.
    """

    tokens: NDArray[Any]
    starts: NDArray[np.int64]
    source: str


class Mix:
    """A mix of the sources of a store.

    Args:
        store: the tokens.
        weights: source to weight, all sources named, 0 leaves one out; they need not sum to one.
            None: each source in proportion to its tokens, so that all are seen equally often.
        window: tokens of a window.
        seed: of the orders.
        cross_documents: whether a window is one text for attention, or several kept apart.

    Attributes:
        weights: source to its share, exactly as it is kept: a fraction.

    Raises:
        SettingError: a weight for an unknown source, or none for a known one.
        DataError: a source with a weight has no tokens.
    """

    def __init__(
        self,
        store: TokenStore,
        weights: Mapping[str, float] | None,
        window: int,
        seed: int,
        cross_documents: bool,
    ) -> None:
        if window < 1:
            raise SettingError("a window has at least one token", value=window)
        self.store, self.length, self.seed = store, window, seed
        self.cross_documents = cross_documents
        parts = _parts(store, weights, window)
        self.sources = tuple(parts)
        total = sum(parts.values())
        self.weights = {source: Fraction(part, total) for source, part in parts.items()}
        self._parts = np.array(list(parts.values()), dtype=np.int64)
        self._pattern = tijdeman(self._parts)
        self._rank = _ranks(self._pattern, len(parts))
        self._streams = [
            _Stream(source, store.tokens(source), window, seed) for source in self.sources
        ]

    def window(self, number: int) -> Window:
        """Window ``number``, from 0 on without end."""
        if number < 0:
            raise IndexError(f"there is no window {number}")
        turn, place = divmod(number, len(self._pattern))
        which = int(self._pattern[place])
        own = turn * int(self._parts[which]) + int(self._rank[place])
        source = self.sources[which]
        tokens, starts = [], []
        size = 0
        for start, stop in self._streams[which].ranges(own):
            ids, begins = self.store.stretch(source, start, stop)
            tokens.append(ids)
            starts.append(begins + size)
            size += stop - start
        ids = tokens[0] if len(tokens) == 1 else np.concatenate(tokens)
        begins = starts[0] if len(starts) == 1 else np.concatenate(starts)
        if self.cross_documents:
            begins = begins[:1]
        return Window(ids, begins, source)

    def counts(self, windows: int) -> dict[str, int]:
        """How many of the first ``windows`` windows are of each source."""
        turns, place = divmod(windows, len(self._pattern))
        begun = np.bincount(self._pattern[:place], minlength=len(self.sources))
        counts = turns * self._parts + begun
        return {source: int(n) for source, n in zip(self.sources, counts, strict=True)}

    def epochs(self, windows: int) -> dict[str, float]:
        """How often each source has been seen after so many windows; 1.0 is once."""
        return {
            source: count * self.length / self.store.tokens(source)
            for source, count in self.counts(windows).items()
        }


def _parts(store: TokenStore, weights: Mapping[str, float] | None, window: int) -> dict[str, int]:
    """Source to whole parts of the mix; sources with none are left out."""
    sizes = {source: store.tokens(source) for source in store.sources}
    if weights is None:
        total = sum(sizes.values())
        if not total:
            raise DataError("there are no tokens to learn from", where=str(store.folder))
        exact = {name: Fraction(size, total) for name, size in sizes.items() if size}
        return _whole_parts(exact, min(MOST_PARTS, max(1, total // window)))
    for name, weight in weights.items():
        if name not in sizes:
            raise SettingError(
                "there is no such source", where="mix", value=name, fix=suggest(name, sizes)
            )
        if not (weight >= 0 and weight < float("inf")):
            raise SettingError(
                "a weight is a number, at least 0", where=f"mix.{name}", value=weight
            )
        if weight > 0 and not sizes[name]:
            raise DataError("the source has no tokens", where=f"mix.{name}", value=weight)
    for name in sizes:
        if name not in weights:
            raise SettingError(
                "the source has no weight",
                where="mix",
                value=name,
                fix="Give it one; 0 leaves it out",
            )
    # Written out, a number is what its user meant: 0.1, not the binary number next to it.
    exact = {name: Fraction(repr(float(weights[name]))) for name in sizes if weights[name] > 0}
    if not exact:
        raise SettingError("all weights are 0", where="mix", fix="Give one source a weight")
    total_weight = sum(exact.values())
    return _whole_parts({name: w / total_weight for name, w in exact.items()}, MOST_PARTS)


def _whole_parts(shares: dict[str, Fraction], most: int) -> dict[str, int]:
    """Whole parts: exact where ``MOST_PARTS`` are enough, else to the nearest of ``most``."""
    exact = lcm(*(share.denominator for share in shares.values()))
    if exact <= MOST_PARTS:
        return {name: int(share * exact) for name, share in shares.items()}
    return {name: max(1, round(share * most)) for name, share in shares.items()}


def tijdeman(parts: NDArray[np.int64]) -> NDArray[np.int32]:
    """Which one comes when, so that after ``n`` turns each has come ``n`` times its share.

    The difference is at most 1 - 1 / (2 s - 2) for ``s`` of them, and after all parts it is 0.

    Args:
        parts: whole parts of each, all above 0.

    Returns:
        One number of ``parts`` for each part, shape (sum of parts,).
    """
    total, many = int(parts.sum()), len(parts)
    order = np.zeros(total, dtype=np.int32)
    if many == 1:
        return order
    scale = 2 * many - 2
    # What each one is owed, times ``total``: whole numbers, so that nothing drifts.
    owed = np.zeros(many, dtype=np.int64)
    for turn in range(total):
        owed += parts
        slack = (scale - 1) * total - scale * owed
        late = np.where(scale * owed >= total, slack / parts, np.inf)
        chosen = int(late.argmin())
        order[turn] = chosen
        owed[chosen] -= total
    return order


def _ranks(pattern: NDArray[np.int32], many: int) -> NDArray[np.int64]:
    """How often each place's source came before it in the pattern."""
    rank = np.empty(len(pattern), dtype=np.int64)
    for which in range(many):
        places = np.flatnonzero(pattern == which)
        rank[places] = np.arange(len(places))
    return rank


class _Stream:
    """The endless stream of one source's epochs, in windows."""

    def __init__(self, source: str, tokens: int, window: int, seed: int) -> None:
        self._source, self._tokens, self._window, self._seed = source, tokens, window, seed
        self._known: dict[int, Sequence[int]] = {}

    def ranges(self, number: int) -> list[tuple[int, int]]:
        """Where in the source the tokens of its window ``number`` lie, in pieces (start, stop)."""
        position = self._shuffled(number) * self._window
        pieces: list[tuple[int, int]] = []
        left = self._window
        while left:
            epoch, place = divmod(position, self._tokens)
            start = (place + self._keys(epoch)[0]) % self._tokens
            size = min(left, self._tokens - place, self._tokens - start)
            pieces.append((start, start + size))
            position += size
            left -= size
        return pieces

    def _shuffled(self, number: int) -> int:
        """The window in the stream's own order that comes as window ``number``."""
        tokens, window = self._tokens, self._window
        epoch = number * window // tokens
        if (number + 1) * window > (epoch + 1) * tokens:
            return number  # it reaches into the next epoch
        first = -(-epoch * tokens // window)
        many = (epoch + 1) * tokens // window - first
        return first + permuted(number - first, many, self._keys(epoch)[1:])

    def _keys(self, epoch: int) -> Sequence[int]:
        """Where an epoch begins, and the keys of its order."""
        keys = self._known.get(epoch)
        if keys is None:
            text = f"{self._seed}\0{self._source}\0{epoch}".encode("utf-8", "surrogatepass")
            digest = hashlib.blake2b(text, digest_size=40).digest()
            numbers = [int.from_bytes(digest[i : i + 8], "little") for i in range(0, 40, 8)]
            keys = (numbers[0] % self._tokens, *numbers[1:])
            if len(self._known) > 1000:
                self._known.clear()
            self._known[epoch] = keys
        return keys


def permuted(index: int, many: int, keys: Sequence[int]) -> int:
    """Where ``index`` of ``many`` comes in a random order, without a list of it.

    A Feistel network over the next larger power of four, walked until it falls below ``many``
    (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
    """
    half = max(1, ((many - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for key in keys:
            left, right = right, left ^ (_mixed(right ^ key) & mask)
        index = left << half | right
        if index < many:
            return index


def _mixed(value: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)
