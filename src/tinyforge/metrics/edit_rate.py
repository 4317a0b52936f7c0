"""Translation edit rate as sacrebleu computes it, in a fraction of its time.

Nearly all of that time goes into the edit distance after each shift that might be made, which
sacrebleu reads off a table with a trace. Here that distance is counted bit by bit, without a
trace; the search for shifts itself, and every distance that sacrebleu's beam could miss, are left
to sacrebleu. The counts are the same (the tests compare them).
"""

from __future__ import annotations

from typing import Any

from sacrebleu.metrics import TER
from sacrebleu.metrics.lib_ter import _MAX_SHIFT_CANDIDATES, BeamEditDistance, _shift

_SAFE = 46
"""Twice sacrebleu's beam of 25 words, less what rounding may cost."""


class FastTER(TER):  # type: ignore[misc]
    """sacrebleu's TER with its settings and its signature."""

    def _compute_segment_statistics(
        self, hypothesis: str, ref_kwargs: dict[str, Any]
    ) -> list[float]:
        """The fewest edits to any reference, and the references' mean length, in words."""
        words = hypothesis.split()
        references = ref_kwargs["ref_words"]
        edits = min(_edits(words, reference) for reference in references)
        return [edits, sum(map(len, references)) / len(references)]


def _edits(words: list[str], reference: list[str]) -> int:
    """Shifts, as long as they make the rest shorter, and the edits that are left."""
    if not reference:
        return len(words)
    distance = EditDistance(reference)
    shifts = candidates = 0
    while True:
        distance.traced = words
        gain, shifted, candidates = _shift(words, reference, distance, candidates)
        if candidates >= _MAX_SHIFT_CANDIDATES or gain <= 0:
            break
        shifts += 1
        words = shifted
    distance.traced = words
    return shifts + int(distance(words)[0])


class EditDistance(BeamEditDistance):  # type: ignore[misc]
    """The edit distance from a reference; with a trace only for ``traced``.

    A path of ``d`` edits between texts whose lengths differ by ``n`` words leaves the straight
    line between their ends by (d + n) / 2 words at most, so that a beam wider than that holds it.
    """

    def __init__(self, reference: list[str]) -> None:
        super().__init__(reference)
        self.traced: list[str] = []
        self._places: dict[str, int] = {}
        for i, word in enumerate(reference):
            self._places[word] = self._places.get(word, 0) | 1 << i

    def __call__(self, words: list[str]) -> tuple[int, str]:
        if words is not self.traced:
            distance = self._without_trace(words)
            if distance + abs(len(words) - self._n_words_ref) <= _SAFE:
                return distance, ""
        found: tuple[int, str] = super().__call__(words)
        return found

    def _without_trace(self, words: list[str]) -> int:
        """Levenshtein's distance in words (Myers 1999, in the form of Hyyrö 2003)."""
        size = self._n_words_ref
        mask, last = (1 << size) - 1, 1 << (size - 1)
        rises, falls = mask, 0
        distance = int(size)
        for word in words:
            same = self._places.get(word, 0)
            level = (((same & rises) + rises) ^ rises) | same | falls
            up, down = falls | (mask & ~(level | rises)), rises & level
            if up & last:
                distance += 1
            elif down & last:
                distance -= 1
            up = (up << 1) | 1
            rises = (down << 1 | ~(level | up)) & mask
            falls = up & level & mask
        return distance
