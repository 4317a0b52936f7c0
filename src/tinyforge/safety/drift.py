"""Whether what a served model is asked, and what it answers, is still like its training data.

The measure is the population stability index (Siddiqi 2006, "Credit Risk Scorecards"): the sum over
bins of (p - q) ln(p / q). By custom, 0.1 to 0.25 is some change and above 0.25 a large one. Of few
texts it is large by chance: where nothing changed, it is about (1/n + 1/m) times a chi-squared
variable with one degree of freedom less than there are bins (Yurdakul and Naranjo 2020, Journal of
Risk Model Validation). A figure raises its alarm above the higher of ``drift_line`` and the value
that chance exceeds once in a thousand times.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.safeguards import SafeguardSettings
from tinyforge.safety.drift_reference import (
    OTHER,
    READ,
    Observation,
    check_reference,
    count_bins,
    observe,
    reference_of_requests,
    unpack_words,
)
from tinyforge.safety.drift_tokens import Tokens

log = logging.getLogger("tinyforge")

Figure = tuple[str, dict[str, str], float]

FEWEST = 100
"""Texts below which nothing is said."""
_PER_CALL = 16
"""Texts of one request that are looked at: a request of many is still one client's."""
_Z = 3.0902  # of the normal distribution, exceeded once in a thousand times
_NAMED = 20


class Drift:
    """Compares the latest texts and answers of one model with a reference. For several threads.

    Without a reference of the model, the first ``drift_first`` texts become one.

    Args:
        reference: as ``make_reference`` makes it; None: the first texts.
        settings: ``drift``, ``drift_window``, ``drift_first`` and ``drift_line`` are read.
        tokens: of the model's tokenizer; None: nothing is said of tokens.

    Raises:
        FolderError: the reference is damaged.
    """

    def __init__(
        self,
        reference: Mapping[str, Any] | None,
        settings: SafeguardSettings,
        tokens: Tokens | None = None,
    ) -> None:
        self._settings, self._tokens = settings, tokens
        self._lock = threading.Lock()
        self._reference = reference if settings.drift else None
        if self._reference is not None:
            check_reference(self._reference)
        self._words = unpack_words((self._reference or {}).get("words"))
        self._window: deque[Observation] = deque(maxlen=settings.drift_window)
        self._first: list[tuple[str, Observation]] = []
        self._failed = False

    @classmethod
    def from_reference(
        cls,
        reference: Mapping[str, Any] | None,
        settings: SafeguardSettings,
        tokens: Tokens | None = None,
    ) -> Self:
        """As the class."""
        return cls(reference, settings, tokens)

    def observe(self, texts: Sequence[str], predictions: Sequence[Any]) -> None:
        """Take in what was asked and answered; never raises, since nobody's answer may fail by it.

        Args:
            texts: of one request.
            predictions: each with ``confidence`` and ``labels``; as many as there are texts.
        """
        if not self._settings.drift:
            return
        try:
            pairs = list(zip(texts, predictions, strict=False))
            chosen = pairs[:: max(1, math.ceil(len(pairs) / _PER_CALL))]
            for text, prediction in chosen:
                confidence = getattr(prediction, "confidence", None)
                self._take(text, confidence, tuple(getattr(prediction, "labels", ()) or ()))
        except Exception as error:  # a figure that cannot be had is no reason to fail a request
            if not self._failed:
                self._failed = True
                log.warning("drift cannot be observed (%s); said once", type(error).__name__)

    def _take(self, text: str, confidence: float | None, labels: tuple[str, ...]) -> None:
        seen = observe(text, confidence, labels, self._words, self._tokens)
        with self._lock:
            if self._reference is not None:
                self._window.append(seen)
                return
            self._first.append((text[:READ], seen))
            if len(self._first) >= self._settings.drift_first:
                first, self._first = self._first, []
                self._words, self._reference = reference_of_requests(first)
        if self._reference is not None:
            log.info("drift: the first %d texts are the reference from now on", len(first))

    def figures(self) -> list[Figure]:
        """(name, labels, value) of each figure, for a scraper.

        ``drift_reference_texts`` with ``source`` training or requests, and collecting for those
        that are to become one; ``drift_window_texts``; and for each of input_length,
        unknown_words, unknown_tokens, token_length, confidence, language and labels, by the label
        ``of``: ``drift_index``, ``drift_line`` and ``drift_alarm`` (0 or 1); ``drift_mean`` of
        those that are numbers and ``drift_share`` by ``name`` of the others. What the reference or
        the texts lack is left out.
        """
        if not self._settings.drift:
            return []
        with self._lock:
            window, reference, waiting = list(self._window), self._reference, len(self._first)
        found: list[Figure] = [
            ("drift_reference_texts", {"source": "collecting"}, float(waiting)),
            ("drift_window_texts", {}, float(len(window))),
        ]
        if reference is not None:
            source, texts = str(reference.get("source")), float(reference.get("texts", 0))
            found.append(("drift_reference_texts", {"source": source}, texts))
        if reference is None or len(window) < FEWEST:
            return found
        for name, numbers in (
            ("input_length", [float(seen.length) for seen in window]),
            ("unknown_words", [s.unknown for s in window if s.unknown is not None]),
            (
                "unknown_tokens",
                [s.unknown_tokens for s in window if s.unknown_tokens is not None],
            ),
            ("token_length", [s.token_length for s in window if s.token_length is not None]),
            ("confidence", [s.confidence for s in window if s.confidence is not None]),
        ):
            found += self._of_numbers(name, numbers, reference.get(name))
        for name, names in (
            ("language", [s.language for s in window if s.language is not None]),
            ("labels", [label for seen in window for label in seen.labels]),
        ):
            found += self._of_names(name, names, reference.get(name))
        return found

    def _of_numbers(
        self, name: str, values: Sequence[float], reference: Mapping[str, Any] | None
    ) -> list[Figure]:
        if len(values) < FEWEST or not reference:
            return []
        numbers = np.asarray(values, dtype=np.float64)
        edges = np.asarray(reference["edges"], dtype=np.float64)
        expected = np.asarray(reference["counts"], dtype=np.float64)
        compared = self._compared(name, count_bins(numbers, edges).astype(np.float64), expected)
        return [*compared, ("drift_mean", {"of": name}, float(numbers.mean()))]

    def _of_names(
        self, name: str, values: Sequence[str], reference: Mapping[str, int] | None
    ) -> list[Figure]:
        if len(values) < FEWEST or not reference:
            return []
        counts = Counter(value if value in reference else OTHER for value in values)
        known = [*reference, *({OTHER} - set(reference))]
        expected = np.array([reference.get(each, 0) for each in known], dtype=np.float64)
        seen = np.array([counts[each] for each in known], dtype=np.float64)
        # Always the same names: a scraper would go on showing one that is left out.
        named = [each for each in reference if each != OTHER][:_NAMED]
        shares: list[Figure] = [
            ("drift_share", {"of": name, "name": each or "unsure"}, counts[each] / len(values))
            for each in named
        ]
        rest = len(values) - sum(counts[each] for each in named)
        shares.append(("drift_share", {"of": name, "name": OTHER}, rest / len(values)))
        return [*self._compared(name, seen, expected), *shares]

    def _compared(
        self, name: str, seen: NDArray[np.float64], expected: NDArray[np.float64]
    ) -> list[Figure]:
        used = (seen > 0) | (expected > 0)
        value = stability_index(seen[used], expected[used])
        chance = chance_line(float(seen.sum()), float(expected.sum()), int(used.sum()))
        line = max(self._settings.drift_line, chance)
        return [
            ("drift_index", {"of": name}, value),
            ("drift_line", {"of": name}, line),
            ("drift_alarm", {"of": name}, float(value > line)),
        ]


def stability_index(seen: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """The population stability index of two rows of counts; half a count is added to each, since
    an empty bin would make it infinite."""
    p = (seen + 0.5) / (seen + 0.5).sum()
    q = (expected + 0.5) / (expected + 0.5).sum()
    return float(((p - q) * np.log(p / q)).sum())


def chance_line(seen: float, expected: float, bins: int) -> float:
    """The index that counts of one and the same distribution exceed once in a thousand times.

    The quantile of chi-squared by Wilson and Hilferty 1931.
    """
    if bins < 2 or not seen or not expected:
        return 0.0
    freedom = bins - 1
    spread = 2 / (9 * freedom)
    quantile = freedom * float(1 - spread + _Z * math.sqrt(spread)) ** 3
    return quantile * (1 / seen + 1 / expected)
