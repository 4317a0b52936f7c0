"""Rows of like length together, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Sequence

TOKENS = 8_192
"""Tokens, padding included, that are run through a model at once."""


def by_length(lengths: Sequence[int], *, rows: int, tokens: int = TOKENS) -> list[list[int]]:
    """Batches of row indices, the longest rows first.

    The order depends on the lengths alone, and the largest batch comes first, so that memory that
    does not suffice is noticed at once. A single row may exceed ``tokens``.

    Args:
        lengths: tokens of each row.
        rows: rows of a batch, at most.
        tokens: rows times the longest row of a batch, at most.
    """
    batches: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        full = not batches or len(batches[-1]) == rows or (len(batches[-1]) + 1) * longest > tokens
        if full:
            batches.append([])
            longest = max(1, lengths[index])
        batches[-1].append(index)
    return batches
