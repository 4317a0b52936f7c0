"""Perplexity, bits per byte and bits per character from likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinyforge.metrics.spill import Column
from tinyforge.metrics.tally import Floats, RowMetric, Tally, divide
from tinyforge.records.predictions import Likelihood


class Surprise:
    """Likelihoods, taken in part by part."""

    def __init__(self) -> None:
        self._rows = Column(np.float64, 4)

    def add(self, likelihoods: Sequence[Likelihood]) -> Floats:
        """Take in some rows; their bits per byte, 0 where a text is empty."""
        part = np.array(
            [[row.nll, row.tokens, row.bytes, row.characters] for row in likelihoods],
            dtype=np.float64,
        ).reshape(-1, 4)
        self._rows.extend(part)
        return bits_per_byte(part)

    def close(self) -> dict[str, RowMetric]:
        """``bits_per_byte``, ``bits_per_character`` and ``perplexity``, where they were counted.

        A predictor that has no tokens (a byte model) reports 0 of them: its perplexity per byte
        beside others' perplexity per token would mislead.
        """
        statistics = self._rows.close()
        counted: NDArray[np.float64] = statistics.sum(axis=0)
        tallies: dict[str, RowMetric] = {}
        if counted[2] > 0:
            tallies["bits_per_byte"] = Tally(statistics, bits_per_byte)
        if counted[3] > 0:
            tallies["bits_per_character"] = Tally(statistics, bits_per_character)
        if counted[1] > 0:
            tallies["perplexity"] = Tally(statistics, perplexity)
        return tallies


def likelihood_tallies(likelihoods: Sequence[Likelihood]) -> dict[str, RowMetric]:
    """The tallies of all rows at once; see ``Surprise``."""
    seen = Surprise()
    seen.add(likelihoods)
    return seen.close()


def perplexity(sums: Floats) -> Floats:
    """exp(nll / tokens); from sums of (nll in nats, tokens, bytes, characters). May be infinite."""
    with np.errstate(over="ignore"):
        return np.exp(divide(sums[..., 0], sums[..., 1]))


def bits_per_byte(sums: Floats) -> Floats:
    """nll / (bytes ln 2); from sums of (nll in nats, tokens, bytes, characters)."""
    return divide(sums[..., 0], sums[..., 2] * math.log(2))


def bits_per_character(sums: Floats) -> Floats:
    """nll / (characters ln 2); from sums of (nll in nats, tokens, bytes, characters)."""
    return divide(sums[..., 0], sums[..., 3] * math.log(2))
