"""Perplexity and bits per byte from likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinyforge.metrics.tally import Floats, Tally, divide
from tinyforge.records.predictions import Likelihood


def likelihood_tallies(likelihoods: Sequence[Likelihood]) -> dict[str, Tally]:
    """``bits_per_byte`` and, where tokens were counted, ``perplexity``.

    A predictor that has no tokens (a byte model) reports 0 of them: its perplexity per byte
    beside others' perplexity per token would mislead.
    """
    statistics = np.array(
        [[row.nll, row.tokens, row.bytes] for row in likelihoods], dtype=np.float64
    ).reshape(-1, 3)
    tallies = {}
    if statistics[:, 2].sum() > 0:
        tallies["bits_per_byte"] = Tally(statistics, bits_per_byte)
    if statistics[:, 1].sum() > 0:
        tallies["perplexity"] = Tally(statistics, perplexity)
    return tallies


def perplexity(sums: Floats) -> Floats:
    """exp(nll / tokens); from sums of (nll in nats, tokens, bytes). May be infinite."""
    with np.errstate(over="ignore"):
        return np.exp(divide(sums[..., 0], sums[..., 1]))


def bits_per_byte(sums: Floats) -> Floats:
    """nll / (bytes ln 2); from sums of (nll in nats, tokens, bytes)."""
    return divide(sums[..., 0], sums[..., 2] * math.log(2))
