"""Streams that arrive at random: what is asked when, and what is told of the answers."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

Request = dict[str, Any]

FEWEST, MOST = 32, 160
"""Tokens of an answer."""

GAP = 0.05
"""Seconds between two arrivals on average; they come as a Poisson process."""


def burst(prompts: Sequence[Sequence[int]], streams: int, seed: int) -> list[Request]:
    """Requests in the order of their arrival, the first at 0.

    Returns:
        ``arrives`` (seconds), ``ids`` (the prompt), ``new`` (tokens to write) of each.
    """
    chooser = random.Random(seed)
    arrives, found = 0.0, []
    for ids in chooser.sample(list(prompts), streams):
        found.append(
            {"arrives": arrives, "ids": list(ids), "new": chooser.randint(FEWEST, MOST)}
        )  # fmt: skip
        arrives += chooser.expovariate(1 / GAP)
    return found


def told(bursts: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """Figures over all bursts of a run.

    Args:
        bursts: of each request ``arrives``, ``first`` and ``end`` (seconds from the burst's start)
            and ``tokens`` (written).

    Returns:
        ``tokens_per_second``: all tokens over the seconds from each burst's first arrival to its
        last token; ``first_p50`` and ``first_p95``: seconds from arrival to first token.
    """
    seconds = sum(
        max(one["end"] for one in some) - min(one["arrives"] for one in some) for some in bursts
    )
    tokens = sum(one["tokens"] for some in bursts for one in some)
    waits = [one["first"] - one["arrives"] for some in bursts for one in some]
    return {
        "tokens_per_second": tokens / seconds,
        "first_p50": quantile(waits, 0.5),
        "first_p95": quantile(waits, 0.95),
    }


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]
