"""A measured quality, with how sure it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's value on some rows.

    Attributes:
        name: the metric's standard name, for example ``accuracy`` or ``macro_f1``.
        value: the point estimate.
        low: lower end of the 95 % bootstrap interval; equals ``value`` where none was made.
        high: upper end.
        rows: how many rows it was measured on.
        higher_is_better: False for perplexity and the like.
    """

    name: str
    value: float
    low: float
    high: float
    rows: int
    higher_is_better: bool = True
