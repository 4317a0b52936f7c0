"""What texts and answers look like, in counts that later ones can be compared with.

A reference is plain JSON: for each figure the edges of its bins and how many observations each
holds, or counts by name. No text stands in it; the words that are known are kept as hashes.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.errors import FolderError
from tinyforge.safety.drift_tokens import Tokens
from tinyforge.text.languages import language_model

BINS = 10
MOST_WORDS = 20_000
READ = 2_000
"""Characters of a text that are looked at, but for its length."""
_LANGUAGE_SAMPLE = 200
_FEWEST_LETTERS = 20
_LEAST_PROBABILITY = 0.5
_WORD = re.compile(r"[^\W\d_]+")
OTHER = "(other)"
MOST_NAMES = 100
"""Labels and languages that are counted by name; the rest are taken together."""

NUMBERS = ("input_length", "unknown_words", "unknown_tokens", "token_length", "confidence")
"""Figures that are numbers; the others are names."""

Words = frozenset[int]


@dataclass(frozen=True, slots=True)
class Observation:
    """What is kept of a text and its answer: a few numbers.

    Attributes:
        length: characters.
        unknown: share of its words that training never had; None where that cannot be told.
        unknown_tokens: share of its tokens that are the unknown one; None where there is none.
        token_length: characters of a token on average; None where nothing tells it.
        language: ISO 639-1 code, empty where it is not sure; None where no package tells it.
        confidence: of the answer.
        labels: of the answer.
    """

    length: int
    unknown: float | None
    unknown_tokens: float | None
    token_length: float | None
    language: str | None
    confidence: float | None
    labels: tuple[str, ...]


def observe(
    text: str,
    confidence: float | None,
    labels: Sequence[str],
    words: Words | None,
    tokens: Tokens | None = None,
) -> Observation:
    """What is kept of a text and the answer to it.

    Args:
        words: that are known.
        tokens: of the model's tokenizer.
    """
    unknown = None if words is None else unknown_share(text, words)
    strange, length = (None, None) if tokens is None else tokens.of(text[:READ])
    return Observation(
        len(text), unknown, strange, length, language_of(text), confidence, tuple(labels)
    )


def unknown_share(text: str, words: Words) -> float | None:
    """The share of a text's words that are not among these; None where it has no words."""
    found = words_of(text)
    return sum(word not in words for word in found) / len(found) if found else None


def words_of(text: str) -> list[int]:
    """Hashes of a text's words: CRC-32 of their folded UTF-8."""
    return [
        zlib.crc32(word.encode("utf-8", "replace")) for word in _WORD.findall(text[:READ].lower())
    ]


def common_words(texts: Iterable[str]) -> Words:
    """Hashes of the most frequent words of some texts."""
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(words_of(text))
    return frozenset(word for word, _ in counts.most_common(MOST_WORDS))


def language_of(text: str) -> str | None:
    """A text's language; empty where it is too short to tell, None without the package."""
    if not can_tell_languages():
        return None
    sample = text[:_LANGUAGE_SAMPLE]
    if sum(map(str.isalpha, sample)) < _FEWEST_LETTERS:
        return ""
    language, probability = language_model().classify(sample)
    return str(language) if probability >= _LEAST_PROBABILITY else ""


@lru_cache(maxsize=1)
def can_tell_languages() -> bool:
    """Whether the package py3langid is installed."""
    try:
        language_model()
    except ImportError:
        return False
    return True


def make_reference(
    observations: Sequence[Observation],
    words: Words | None,
    *,
    source: str,
    labels: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """A reference of some observations.

    Args:
        words: that are known; the observations' unknown words were counted by them, and should be
            of other texts.
        source: what they were: ``training`` or ``requests``.
        labels: counts of labels that are to be expected, where the observations have none.
    """
    names = Counter(label for seen in observations for label in seen.labels)
    languages = Counter(seen.language for seen in observations if seen.language is not None)
    reference: dict[str, Any] = {
        "source": source,
        "texts": len(observations),
        "input_length": _bins([seen.length for seen in observations]),
        "unknown_words": _bins([s.unknown for s in observations if s.unknown is not None]),
        "unknown_tokens": _bins(
            [s.unknown_tokens for s in observations if s.unknown_tokens is not None]
        ),
        "token_length": _bins([s.token_length for s in observations if s.token_length is not None]),
        "confidence": _bins([s.confidence for s in observations if s.confidence is not None]),
        "language": _names(languages),
        "labels": _names(names or Counter(labels or {})),
        "words": None if words is None else pack_words(words),
    }
    return reference


def reference_of_requests(first: Sequence[tuple[str, Observation]]) -> tuple[Words, dict[str, Any]]:
    """A reference of the first texts that were asked.

    The words of the first half are the known ones, and unknown words are counted in the second.

    Args:
        first: texts, and what was kept of them.
    """
    half = len(first) // 2
    words = common_words(text for text, _ in first[:half])
    seen = [observation for _, observation in first[:half]]
    seen += [replace(s, unknown=unknown_share(text, words)) for text, s in first[half:]]
    return words, make_reference(seen, words, source="requests")


def check_reference(reference: Mapping[str, Any]) -> None:
    """See that a reference has its form.

    Raises:
        FolderError: it has not.
    """
    tables = [reference.get(name) for name in NUMBERS]
    names = [reference.get(name) for name in ("language", "labels")]
    good = all(part is None or _is_histogram(part) for part in tables)
    good = good and all(
        part is None or (isinstance(part, Mapping) and _numbers(part.values())) for part in names
    )
    if not good:
        raise FolderError("the drift reference is damaged", fix="Train or export the model again")


def _is_histogram(part: Any) -> bool:
    if not isinstance(part, Mapping):
        return False
    edges, counts = part.get("edges"), part.get("counts")
    if not isinstance(edges, list) or not isinstance(counts, list):
        return False
    return len(counts) == len(edges) + 1 and _numbers([*edges, *counts])


def _numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int | float) and value == value for value in values)


def _bins(values: Sequence[float]) -> dict[str, Any] | None:
    """Counts between the deciles; equal deciles are one, so that ties share a bin."""
    if not values:
        return None
    numbers = np.asarray(values, dtype=np.float64)
    edges = np.unique(np.quantile(numbers, np.arange(1, BINS) / BINS))
    return {"edges": edges.tolist(), "counts": count_bins(numbers, edges).tolist()}


def count_bins(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many values lie in each bin; a value on an edge belongs to the bin below it."""
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)


def _names(counts: Mapping[str, int]) -> dict[str, int] | None:
    """The most frequent names, and what is left under one."""
    ranked = Counter(counts).most_common()
    if not ranked:
        return None
    named = dict(ranked[:MOST_NAMES])
    rest = sum(count for _, count in ranked[MOST_NAMES:])
    return {**named, OTHER: rest} if rest else named


def pack_words(words: Words) -> str:
    """Hashes as base64 of sorted little-endian 32-bit numbers."""
    return base64.b64encode(np.array(sorted(words), dtype="<u4").tobytes()).decode("ascii")


def unpack_words(text: str | None) -> Words | None:
    """The hashes of ``pack_words``.

    Raises:
        FolderError: it is damaged.
    """
    if text is None:
        return None
    try:
        numbers = np.frombuffer(base64.b64decode(text, validate=True), dtype="<u4")
    except (ValueError, TypeError) as error:
        raise FolderError("the drift reference is damaged", value=str(error)) from error
    return frozenset(numbers.tolist())
