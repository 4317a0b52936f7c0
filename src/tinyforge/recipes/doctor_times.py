"""How long usual jobs take on a machine, reckoned from its measured speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ROWS, TOKENS, PASSES = 1_000, 50, 5
"""The rows that every job is reckoned for."""

OF_PEAK = 0.6
"""Share of the measured matrix products that training reaches: 0.54 to 0.77 in
``docs/explain/speed.md``, from 23 to 124 million weights."""

FULL, ADAPTERS = 6, 4
"""Operations for a weight and token (Kaplan et al. 2020, arXiv:2001.08361): two forwards, two for
the gradient of what flows through, two for the gradient of the weights, which adapters spare."""

LONG = 1800.0
"""Seconds from which a job counts as slow."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something that people do.

    Attributes:
        name: what it is.
        weights: of the model, in millions.
        computing: weights that every token is multiplied with, in millions: those of embeddings
            are not, but where they give the next token too.
        adapters: whether only adapters are trained.
    """

    name: str
    weights: float
    computing: float
    adapters: bool = False


JOBS = (
    Job("a classifier on MiniLM", 23, 11),
    Job("a classifier on DistilBERT", 66, 43),
    Job("text to text with T5-small", 61, 50),
    Job("a chat model on GPT-2", 124, 124),
    Job("a chat model on GPT-2 with --lora", 124, 124, adapters=True),
    Job("a larger chat model with --lora", 500, 500, adapters=True),
    Job("a larger chat model with --lora", 1_100, 1_100, adapters=True),
)


@dataclass(frozen=True, slots=True)
class JobTime:
    """How long a job takes here; ``fits`` is whether memory is enough for it."""

    name: str
    seconds: float
    fits: bool

    def __str__(self) -> str:
        if not self.fits:
            return f"{self.name}: does not fit into the free memory"
        slow = " - slow" if self.seconds > LONG else ""
        return f"{self.name}: {_duration(self.seconds)}{slow}"


def job_times(speed: Mapping[str, float], full: float, adapters: float) -> list[JobTime]:
    """How long the usual jobs take; none where no speed was measured.

    Args:
        speed: floating point operations a second of matrix products, by number format.
        full: weights that fit into memory where all are trained, in millions.
        adapters: the same where only adapters are.
    """
    if not speed:
        return []
    tokens, best = ROWS * TOKENS * PASSES, max(speed.values())
    return [
        JobTime(
            f"{job.name} ({job.weights:,.0f} million weights)",
            (ADAPTERS if job.adapters else FULL) * job.computing * 1e6 * tokens / (OF_PEAK * best),
            job.weights <= (adapters if job.adapters else full),
        )
        for job in JOBS
    ]


def _duration(seconds: float) -> str:
    """Two digits are more than anybody knows beforehand."""
    for size, unit in ((3600.0, "hours"), (60.0, "minutes")):
        if seconds >= size:
            count = f"{seconds / size:.2g}"
            return f"about {count} {unit if count != '1' else unit[:-1]}"
    return f"about {max(seconds, 1):.0f} seconds"
