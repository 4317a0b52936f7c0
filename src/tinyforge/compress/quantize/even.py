"""Inputs whose channels differ much in size are made even before they are rounded.

One range for a whole input wastes its 8 bits where a few channels are a hundred times as large as
the others, as behind the normalizations of BERT. Such channels are divided by what the weight's
columns are multiplied by (SmoothQuant: Xiao et al. 2022, arXiv:2211.10438). That costs one short
operator, so that it is done only where the layer's error on the user's rows becomes clearly less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tinyforge.compress.quantize.channels import Range, Rounding, channel_codes
from tinyforge.compress.quantize.graph import Graph
from tinyforge.compress.quantize.products import Product, weights
from tinyforge.compress.quantize.rows import Inputs, ranges, sample

SHARES = (0.5, 0.7)
"""How much of the difference between channels goes over to the weights: what is tried."""

CLEARLY = 0.7
"""The error may be no more than this part of the one without."""

Group = tuple[Product, ...]


def roundings(
    graph: Graph, role: str, found: Sequence[Group], watch: Inputs
) -> dict[str, Rounding]:
    """How the inputs of some products are rounded, found on the user's rows: input -> rounding."""
    readers: dict[str, list[Product]] = {}
    for members in found:
        readers.setdefault(members[0].input, []).extend(members)
    divisors: dict[str, NDArray[np.float32]] = {}
    for name, seen in sample(watch, role, list(readers)).items():
        better = divisors_for(seen, weights(graph, readers[name]))
        if better is not None:
            divisors[name] = better
    return _with_ranges(watch, role, list(readers), divisors)


def _with_ranges(
    watch: Inputs, role: str, names: Sequence[str], divisors: Mapping[str, NDArray[np.float32]]
) -> dict[str, Rounding]:
    seen = ranges(watch, role, names, divisors)
    return {
        name: Rounding(*each.quantizer(), divisors=divisors.get(name))
        for name, each in seen.items()
    }


def divisors_for(
    seen: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """What to divide the channels of an input (tokens, width) by; None: it does not pay."""
    largest, of_weight = np.abs(seen).max(axis=0), np.abs(weight).max(axis=0)
    best = CLEARLY * energy_lost(seen, weight, _rounding(seen, None))
    found = None
    for share in SHARES:
        tried = np.maximum(largest, 1e-5) ** share / np.maximum(of_weight, 1e-5) ** (1 - share)
        tried = (tried / np.exp(np.log(tried).mean())).astype(np.float32)
        lost = energy_lost(seen, weight, _rounding(seen, tried))
        if lost < best:
            best, found = lost, tried
    return found


def _rounding(seen: NDArray[np.float32], divisors: NDArray[np.float32] | None) -> Rounding:
    even = seen if divisors is None else seen / divisors
    found = Range()
    found.widen(even)
    found.count(even)
    return Rounding(*found.quantizer(), divisors=divisors)


def energy_lost(
    seen: NDArray[np.float32], weight: NDArray[np.float32], rounding: Rounding
) -> float:
    """The part of a product's energy that whole numbers add, on some tokens (tokens, width)."""
    codes, scales = channel_codes(rounding.weight(weight))
    found = rounding.rounded(seen) @ (codes.astype(np.float32) * scales)
    wanted = seen @ weight.T
    return float(((found - wanted) ** 2).sum() / max(float((wanted**2).sum()), 1e-30))
