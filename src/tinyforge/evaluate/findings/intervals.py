"""Exact limits for a share of independent rows (Clopper and Pearson 1934)."""

from __future__ import annotations


def share_interval(hits: float, rows: float, level: float = 0.95) -> tuple[float, float]:
    """Two-sided Clopper-Pearson interval of ``hits / rows``; (0, 1) without rows.

    Args:
        hits, rows: need not be whole: counts scaled down to the number of independent rows.
    """
    tail = (1 - level) / 2
    return lower_limit(hits, rows, tail), upper_limit(hits, rows, tail)


def upper_limit(hits: float, rows: float, tail: float) -> float:
    """The share above which so few hits have a chance below ``tail``."""
    from scipy.special import betaincinv

    return 1.0 if hits >= rows else float(betaincinv(hits + 1, rows - hits, 1 - tail))


def lower_limit(hits: float, rows: float, tail: float) -> float:
    """The share below which so many hits have a chance below ``tail``."""
    from scipy.special import betaincinv

    return 0.0 if hits <= 0 else float(betaincinv(hits, rows - hits + 1, tail))
