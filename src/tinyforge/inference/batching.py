"""Rows of like length together, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Sequence

WRITTEN = 8_192
"""Tokens of prompts and answers together, padding included, in a batch that is written."""

READ = {"cpu": 1_024, "cuda": 32_768}
"""The same for a batch that is read once: a CPU is fastest where activations stay in its caches."""


def reading_budget(device: str) -> int:
    """Tokens of a batch that is only read, for a kind of device."""
    return READ.get(device, READ["cuda"])


def by_length(lengths: Sequence[int], *, rows: int, tokens: int) -> list[list[int]]:
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
