"""Learning rate over the course of a training, as a share of the peak.

A schedule sees progress from 0 to 1 and nothing else, so that it can follow steps or the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from tinyforge.config.train import TrainSettings


class Schedule(Protocol):
    """A curve over progress."""

    def share(self, progress: float, step: float) -> float:
        """The learning rate as a share of the peak.

        Args:
            progress: how much of the training is done before this step, in [0, 1].
            step: how much of the training this step is; the rise counts it in, so that the first
                step is not one of rate 0.
        """
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Rises over ``warmup`` (a share of the training), then stays at the peak."""

    warmup: float

    def share(self, progress: float, step: float) -> float:
        """See ``Schedule``."""
        return _rise(self.warmup, progress, step)


@dataclass(frozen=True, slots=True)
class Linear:
    """Rises over ``warmup``, then falls on a straight line that ends at 0."""

    warmup: float

    def share(self, progress: float, step: float) -> float:
        """See ``Schedule``."""
        return _rise(self.warmup, progress, step) * (1 - _fall(self.warmup, progress))


@dataclass(frozen=True, slots=True)
class Cosine:
    """Rises over ``warmup``, then falls on half a cosine that ends at 0 (arXiv:1608.03983)."""

    warmup: float

    def share(self, progress: float, step: float) -> float:
        """See ``Schedule``."""
        fall = 0.5 * (1 + math.cos(math.pi * _fall(self.warmup, progress)))
        return _rise(self.warmup, progress, step) * fall


@dataclass(frozen=True, slots=True)
class WarmupStableDecay:
    """Rises over ``warmup``, stays at the peak, and falls to 0 in the last ``decay``.

    Any point of the stable part can become the end of a shorter run (Hu et al. 2024,
    arXiv:2404.06395). It falls as 1 minus a square root, which ends lower than a straight line or
    half a cosine (Hägele et al. 2024, arXiv:2405.18392).
    """

    warmup: float
    decay: float

    def share(self, progress: float, step: float) -> float:
        """See ``Schedule``."""
        fallen = min(1.0, max(0.0, (progress - (1 - self.decay)) / self.decay))
        return _rise(self.warmup, progress, step) * (1 - math.sqrt(fallen))


SCHEDULES: dict[str, type[Constant] | type[Linear] | type[Cosine]] = {
    "constant": Constant,
    "cosine": Cosine,
    "linear": Linear,
}


def schedule_of(settings: TrainSettings) -> Schedule:
    """The schedule that the settings name."""
    if settings.schedule == "wsd":
        return WarmupStableDecay(settings.warmup_share, settings.decay_share)
    return SCHEDULES[settings.schedule](settings.warmup_share)


def progress_of(
    step: int, total_steps: int, seconds: float = 0.0, max_seconds: float | None = None
) -> float:
    """How much of the training is done: by steps, or by time where that is further on."""
    share = step / total_steps
    if max_seconds is not None:
        share = max(share, seconds / max_seconds)
    return min(share, 1.0)


def _rise(warmup: float, progress: float, step: float) -> float:
    """From above 0 to 1 over the warm-up, on a straight line."""
    return min(1.0, (progress + step) / warmup) if warmup > 0 else 1.0


def _fall(warmup: float, progress: float) -> float:
    """How much of the time after the warm-up is over, from 0 to 1."""
    return min(1.0, max(0.0, (progress - warmup) / (1 - warmup)))
