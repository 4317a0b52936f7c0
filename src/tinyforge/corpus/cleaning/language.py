"""Which language a text is in."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tinyforge.corpus.cleaning.measure import Measured
from tinyforge.errors import MissingPackageError, SettingError
from tinyforge.text.languages import language_model

LEAST_LETTERS = 20
"""Letters below which a text says too little to tell its language."""

LEAST_PROBABILITY = 0.5
"""Below it the likeliest language is not named."""

ENGLISH = frozenset((
    "the", "of", "and", "to", "that", "with", "was", "for", "is", "are", "this", "have", "from",
    "they", "which", "were", "would", "been", "their", "there", "what", "when", "not", "you",
    "your", "it", "its", "be", "by", "he", "she", "his", "her", "we", "our", "will", "can",
    "has", "had", "but", "if", "than", "then", "these", "those", "about", "into", "who", "how",
))  # fmt: skip
"""Words so common in English that texts without them are rare; few are words elsewhere."""

_CLEARLY_ENGLISH = 0.15
_PARTS = 3


class LanguageFinder:
    """Tells languages by py3langid (a naive Bayes model over bytes, Lui and Baldwin 2012).

    A text of which every seventh word is among the most common ones of English is English;
    looking these up costs far less than the model.

    Args:
        wanted: ISO 639-1 codes; none: every language.
        sample: characters that the model reads, from three places of the text.

    Raises:
        SettingError: a code that the model does not know.
    """

    def __init__(self, wanted: Collection[str], sample: int) -> None:
        self._wanted = frozenset(wanted)
        self._sample = sample
        if wanted:
            known = set(_model().labels)
            for code in wanted:
                if code not in known:
                    raise SettingError(
                        "unknown language", where="clean.languages", value=code,
                        fix="Use two-letter ISO 639-1 codes, for example en or de",
                    )  # fmt: skip

    def find(self, measured: Measured) -> tuple[str, float]:
        """The language, and the probability that it is a wanted one.

        Returns:
            Its ISO 639-1 code, empty where the model is not sure, for what is no language, and
            for a text too short to tell (which counts as wanted); and a probability in [0, 1], 1
            where all are wanted.
        """
        sample = _sample_of(measured.text, self._sample)
        if is_clearly_english(sample):
            return "en", float(self.wants("en"))
        if measured.letters < LEAST_LETTERS:
            return "", 1.0
        ranked = _model().rank(sample)
        best, probability = ranked[0]
        if self._wanted:
            wanted = min(1.0, sum(share for code, share in ranked if code in self._wanted))
        else:
            wanted = 1.0
        return (best if probability >= LEAST_PROBABILITY and len(best) == 2 else ""), wanted

    def wants(self, language: str) -> bool:
        """Whether a language is to be kept; an unknown one is."""
        return not self._wanted or not language or language in self._wanted


def is_clearly_english(sample: str) -> bool:
    """Whether every seventh word is a common one of English, several different ones among them."""
    words = sample.lower().split()
    common = [word for word in words if word in ENGLISH]
    different = min(6, 2 + len(words) // 10)
    return len(common) >= _CLEARLY_ENGLISH * len(words) and len(set(common)) >= different


def _sample_of(text: str, size: int) -> str:
    """Pieces from the start, the middle and the end, cut between words."""
    if len(text) <= size:
        return text
    piece = size // _PARTS
    pieces = []
    for part in range(_PARTS):
        start = (len(text) - piece) * part // (_PARTS - 1)
        taken = text[start : start + piece]
        first = taken.find(" ") + 1 if start else 0
        pieces.append(taken[first : taken.rfind(" ") if taken.rfind(" ") > first else None])
    return "\n".join(pieces)


def _model() -> Any:
    try:
        return language_model()
    except ImportError as error:
        raise MissingPackageError(
            "py3langid",
            needed_for="Identifying languages (clean.identify_language)",
            extra="data",
        ) from error
