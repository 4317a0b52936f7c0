"""How far logits may lie from the source's, for each precision, and why so far.

Logits are compared in units of their own spread: the standard deviation of the source's logits
around their mean at a place. What is looked at:

- ``noise``: the root mean square of the differences. Rounding weights of n numbers independently
  adds up like a random walk, so the noise of a layer is about that of a single weight, and that of
  the model grows with the square root of its depth. float32 sums in another order differ by some
  1e-6 a layer. bfloat16 has 8 bits (a relative error of 2^-9, 0.2 %), float16 11 bits (0.02 %).
  8-bit weights by channel carry about 1 %, and as much again where activations are 8-bit too;
  4-bit weights in blocks about 10 %. The limits are four times and more what sound exports in
  float32 and 8 bits showed (those of 16 bits were set on one tiny random model, just above it),
  and far below what mistakes show: another template, a missing token, permuted outputs or another
  head change logits by 50 % of their spread and more.
- ``worst``: the largest single difference, for formats in which no single number should go astray.
- ``slope``: the source's logits times what fit the exported ones best. Rounding leaves it near 1,
  because its errors go both ways; a forgotten or doubled factor does not, and would leave every
  likeliest token in its place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_LEAST_SPREAD = 1e-2
"""Of the logits' size: a model that says nothing of any label has no spread to measure in."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What differences may be, in spreads; ``worst`` None: no limit on a single one."""

    noise: float
    worst: float | None
    slope: float


TOLERANCES: dict[str, Tolerance] = {
    "fp32": Tolerance(noise=2e-4, worst=5e-3, slope=2e-4),
    "fp16": Tolerance(noise=0.02, worst=0.2, slope=0.01),
    "bf16": Tolerance(noise=0.1, worst=1.0, slope=0.03),
    "int8": Tolerance(noise=0.2, worst=None, slope=0.06),
    "int4": Tolerance(noise=0.5, worst=None, slope=0.2),
}


@dataclass(frozen=True, slots=True)
class Gap:
    """How two sets of logits differ.

    Attributes:
        spread: the standard deviation of the source's logits around their mean at a place.
        noise, worst: root mean square and largest difference, in spreads.
        slope: factor from the source's logits to the exported ones.
        rest: root mean square of what that factor does not explain, in spreads.
        same: share of the places at which both have the same likeliest token or label.
        places: how many places were compared.
    """

    spread: float
    noise: float
    worst: float
    slope: float
    rest: float
    same: float
    places: int


def measure(source: Floats, exported: Floats) -> Gap:
    """Compare logits, shape (places, tokens or labels); a place is a row or a step of an answer.

    Not finite numbers in ``exported`` are an infinite difference.
    """
    ours, theirs = exported.astype(np.float64), source.astype(np.float64)
    centred = theirs - theirs.mean(axis=1, keepdims=True)
    spread = max(_rms(centred), _LEAST_SPREAD * _rms(theirs), float(np.finfo(np.float32).tiny))
    if not np.isfinite(ours).all():
        return Gap(spread, float("inf"), float("inf"), 0.0, float("inf"), 0.0, len(theirs))
    difference = ours - theirs
    moved = ours - ours.mean(axis=1, keepdims=True)
    energy = float((centred * centred).sum())
    slope = float((centred * moved).sum()) / energy if energy else 1.0
    return Gap(
        spread=spread,
        noise=_rms(difference) / spread,
        worst=float(np.abs(difference).max()) / spread,
        slope=slope,
        rest=_rms(moved - slope * centred) / spread,
        same=float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()),
        places=len(theirs),
    )


def excess(gap: Gap, precision: str) -> str:
    """Why the logits are too far apart, as a clause; empty where they are not."""
    allowed = TOLERANCES[precision]
    if not np.isfinite(gap.noise):
        return "the exported model's logits are not finite numbers"
    scaled = abs(gap.slope - 1) > allowed.slope
    if scaled and gap.rest <= abs(gap.slope) * allowed.noise:  # it is a factor, and nothing else
        return (
            f"the logits are {gap.slope:.4g} times the source's, and {precision} may change that "
            f"factor by {allowed.slope:.2g}"
        )
    if gap.noise > allowed.noise:
        return (
            f"the logits differ from the source's by {_share(gap.noise)} of their spread, and "
            f"{precision} may cost {_share(allowed.noise)}"
        )
    if allowed.worst is not None and gap.worst > allowed.worst:
        return (
            f"one logit differs from the source's by {_share(gap.worst)} of their spread, and "
            f"{precision} may cost {_share(allowed.worst)}"
        )
    if scaled:
        return f"the logits are {gap.slope:.4g} times the source's, and some more"
    return ""


def agreement(gap: Gap, precision: str) -> str:
    """The differences of logits that agree, as a clause."""
    allowed = TOLERANCES[precision]
    return (
        f"the logits differ by {_share(gap.noise)} of their spread ({_share(allowed.noise)} are "
        f"allowed for {precision}), the largest single difference is {_share(gap.worst)}"
    )


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values * values))) if values.size else 0.0


def _share(value: float) -> str:
    """Two digits: 31 %, 0.0021 %."""
    return f"{100 * value:.2g} %" if value < 10 else f"{100 * value:,.0f} %"
