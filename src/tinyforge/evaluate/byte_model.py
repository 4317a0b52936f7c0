"""A byte n-gram model: the text model that needs no training loop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Prediction

ORDER = 5
"""Bytes looked at: four of context and the next one."""

TRAINING_BYTES = 16_000_000

_START = 256
_BASE = 257


@dataclass(frozen=True, slots=True)
class _Level:
    """Counts of n-grams of one length: sorted keys, and totals by context.

    Attributes:
        grams: keys of (context, byte), sorted. counts: how often each occurs.
        contexts: keys of contexts, sorted. totals: bytes that followed. kinds: different ones.
    """

    grams: NDArray[np.int64]
    counts: NDArray[np.int64]
    contexts: NDArray[np.int64]
    totals: NDArray[np.int64]
    kinds: NDArray[np.int64]


class ByteNgram:
    """Interpolated byte n-grams with Witten-Bell smoothing (Witten & Bell 1991, method C).

    p(b | context) = (count(context b) + kinds(context) p(b | shorter context))
                     / (count(context) + kinds(context)), down to uniform over 256 bytes.

    Any text is possible, so bits per byte are always finite. It has no tokens: likelihoods report
    0 of them.
    """

    title = "byte 5-gram model"

    def __init__(self, texts: Iterable[str]) -> None:
        started = time.monotonic()
        parts: list[NDArray[np.int64]] = []
        size = 0
        for text in texts:
            codes = _codes(text)
            parts.append(codes)
            size += len(codes)
            if size >= TRAINING_BYTES:
                break
        codes = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
        self._levels = [_count(codes, length) for length in range(ORDER)]
        self.parameters = sum(len(level.counts) for level in self._levels)
        self.size_bytes = sum(
            array.nbytes
            for level in self._levels
            for array in (level.grams, level.counts, level.contexts, level.totals, level.kinds)
        )
        self.fit_seconds = time.monotonic() - started
        self.note = (
            f"trained on the first {TRAINING_BYTES:,} bytes" if size >= TRAINING_BYTES else ""
        )

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        """Nothing: it measures text and writes none."""
        return [Prediction("", finish_reason="stop") for _ in examples]

    def log_likelihoods(self, examples: Sequence[Example]) -> list[Likelihood]:
        """Natural-log likelihood of each example's ``output``, byte by byte."""
        codes = [_codes(example.output or "") for example in examples]
        lengths = [len(part) - (ORDER - 1) for part in codes]
        if not sum(lengths):
            return [Likelihood(0.0, 0, 0) for _ in examples]
        probabilities = self._probabilities(np.concatenate(codes))
        ends = np.cumsum(lengths)
        rows = np.split(-np.log(probabilities), ends[:-1])
        return [
            Likelihood(float(row.sum()), 0, length, len(example.output or ""))
            for row, length, example in zip(rows, lengths, examples, strict=True)
        ]

    def _probabilities(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        at = _byte_places(codes)
        probability = np.full(len(at), 1 / 256)
        for length, level in enumerate(self._levels):
            context = _keys(codes, at, length)
            seen, place = _find(level.contexts, context)
            total = (
                np.where(seen, level.totals[place], 0) if len(level.totals) else np.zeros(len(at))
            )
            kinds = np.where(seen, level.kinds[place], 0) if len(level.kinds) else np.zeros(len(at))
            met, place = _find(level.grams, context * _BASE + codes[at])
            count = (
                np.where(met, level.counts[place], 0) if len(level.counts) else np.zeros(len(at))
            )
            mixed = (count + kinds * probability) / np.maximum(total + kinds, 1)
            probability = np.where(total > 0, mixed, probability)
        return probability


def _codes(text: str) -> NDArray[np.int64]:
    """Start marks and the text's UTF-8 bytes."""
    data = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int64)
    return np.concatenate([np.full(ORDER - 1, _START), data])


def _byte_places(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.flatnonzero(codes != _START)


def _keys(codes: NDArray[np.int64], at: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The ``length`` codes before each place as one number."""
    keys = np.zeros(len(at), dtype=np.int64)
    for back in range(length, 0, -1):
        keys = keys * _BASE + codes[at - back]
    return keys


def _count(codes: NDArray[np.int64], length: int) -> _Level:
    at = _byte_places(codes)
    keys = _keys(codes, at, length) * _BASE + codes[at]
    grams, counts = np.unique(keys, return_counts=True)
    contexts, starts, kinds = np.unique(grams // _BASE, return_index=True, return_counts=True)
    totals = np.add.reduceat(counts, starts) if len(starts) else counts
    return _Level(grams, counts, contexts, totals, kinds)


def _find(
    known: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    place = np.searchsorted(known, wanted)
    place = np.minimum(place, max(len(known) - 1, 0))
    return (known[place] == wanted if len(known) else np.zeros(len(wanted), dtype=bool)), place
