"""Weights in whole numbers with one scale for each output, for products of whole numbers.

Inputs are unsigned and weights signed, which is what processors multiply fastest (VNNI). Those
without VNNI add two products in 16 bits, where 255 x 127 x 2 does not fit: numbers would be cut,
and answers differ from the ones that were tested. So weights use the codes from -64 to 64 only
("reduced range"), with which they are the same on every machine. It costs little: the inputs'
rounding weighs more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyforge.compress.quantize.blocks import SHRUNK, Grid
from tinyforge.compress.quantize.gptq import gptq

LARGEST = 64
"""The largest code of a weight: 255 x 64 x 2 is less than 2**15."""

_BINS = 2048


def channel_codes(
    weight: NDArray[np.float32], gram: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes (inputs, outputs) and scales (outputs,) of a weight (outputs, inputs).

    Args:
        gram: (inputs, inputs), the products of the inputs with each other, summed over tokens:
            the codes are those with which the outputs change least (``gptq``). None: the nearest.
    """
    scales = np.abs(weight).max(axis=1) / np.float32(LARGEST)
    scales = np.where(scales > np.finfo(np.float32).tiny, scales, np.float32(1.0))
    scales = scales.astype(np.float32)
    if gram is None:
        codes = np.rint(weight / scales[:, None])
    else:
        # Seven bits: codes from -64 to 63, so that the largest weight needs a little wider steps.
        widest = scales * np.float32(LARGEST / (LARGEST - 1))
        scales = _fitting(weight, widest, np.diagonal(gram))
        grid = Grid(7, weight.shape[1], scales[:, None], None)
        codes = gptq(grid, weight, gram).astype(np.int16) - np.int16(grid.middle)
    return np.ascontiguousarray(codes.astype(np.int8).T), scales


def _fitting(
    weight: NDArray[np.float32], widest: NDArray[np.float32], importance: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The scale of each output with the least error, each input's weighed with its importance."""
    best, found = np.full(len(weight), np.inf, np.float32), widest
    for part in SHRUNK:
        scales = widest * np.float32(part)
        codes = np.clip(np.rint(weight / scales[:, None]), -LARGEST, LARGEST - 1)
        error = ((codes * scales[:, None] - weight) ** 2) @ importance
        found = np.where(error < best, scales, found)
        best = np.minimum(best, error)
    return found


@dataclass(frozen=True, slots=True)
class Rounding:
    """How an input is rounded to unsigned 8 bits: ``round(x / divisors / scale) + zero``.

    Attributes:
        divisors: (width,), which the weights are multiplied by in turn; None: no division.
    """

    scale: np.float32
    zero: np.uint8
    divisors: NDArray[np.float32] | None = None

    def rounded(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What stands for some values (tokens, width) after rounding, still divided."""
        even = values if self.divisors is None else values / self.divisors
        codes = np.clip(np.rint(even / self.scale) + np.float32(self.zero), 0, 255)
        return np.asarray((codes - np.float32(self.zero)) * self.scale, np.float32)

    def weight(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """A weight (outputs, width) for the divided input."""
        return weight if self.divisors is None else weight * self.divisors


class Range:
    """The range of a tensor over some rows, found in two passes.

    ``widen`` sees all rows first, then ``count`` sees them again.
    """

    def __init__(self) -> None:
        self.low, self.high = 0.0, 0.0
        self._counts: NDArray[np.int64] = np.zeros(_BINS, np.int64)

    def widen(self, values: NDArray[np.float32]) -> None:
        """Take in a row's numbers."""
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))

    def count(self, values: NDArray[np.float32]) -> None:
        """Count a row's numbers."""
        if self.high > self.low:
            found, _ = np.histogram(values, bins=_BINS, range=(self.low, self.high))
            self._counts += found

    def quantizer(self) -> tuple[np.float32, np.uint8]:
        """Scale and zero of unsigned 8 bits with the least squared error over what was counted.

        The range may be narrower than what was seen: its ends are then cut.
        """
        if self.high <= self.low:
            return np.float32(1.0), np.uint8(0)
        edges = np.linspace(self.low, self.high, _BINS + 1)
        middles = (edges[:-1] + edges[1:]) / 2
        best = (np.inf, np.float32(1.0), np.uint8(0))
        for low in np.linspace(1.0, 0.3, 15) * self.low:
            for high in np.linspace(1.0, 0.3, 15) * self.high:
                scale = max((high - low) / 255.0, float(np.finfo(np.float32).tiny))
                zero = np.clip(np.rint(-low / scale), 0, 255)
                codes = np.clip(np.rint(middles / scale) + zero, 0, 255)
                # A bin is as wide as its numbers are spread: rounding within a step is not seen
                # at its middle, so the step's own variance stands for it.
                cut = np.maximum(middles - (255 - zero) * scale, 0)
                cut += np.maximum(-zero * scale - middles, 0)
                errors = np.where(cut > 0, (middles - (codes - zero) * scale) ** 2, scale**2 / 12)
                error = float((errors * self._counts).sum())
                if error < best[0]:
                    best = (error, np.float32(scale), np.uint8(zero))
        return best[1], best[2]
