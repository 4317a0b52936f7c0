"""Whole-number products with a scale for each output."""

from __future__ import annotations

import numpy as np
from quantize_graphs import numbers

from tinyforge.compress.quantize.channels import Range, channel_codes


def test_each_output_has_a_scale_of_its_own() -> None:
    weight = numbers(6, 40) * np.array([[1e-4], [1e-2], [1], [10], [1e3], [0]], np.float32)
    codes, scales = channel_codes(weight)
    back = codes.T.astype(np.float32) * scales[:, None]
    assert codes.shape == (40, 6)
    assert (np.abs(back - weight) <= scales[:, None] * 0.5001).all()


def test_two_products_fit_into_sixteen_bits() -> None:
    codes, _ = channel_codes(numbers(50, 64))
    assert 255 * 2 * int(np.abs(codes).max()) < 2**15


def ranged(values: np.ndarray) -> tuple[float, int]:
    found = Range()
    for part in np.array_split(values, 4):
        found.widen(part)
    for part in np.array_split(values, 4):
        found.count(part)
    scale, zero = found.quantizer()
    return float(scale), int(zero)


def test_a_plain_range_is_covered_whole() -> None:
    scale, zero = ranged(np.random.default_rng(0).uniform(-1, 3, 20_000).astype(np.float32))
    assert abs(scale * 255 - 4) < 0.1
    assert abs(zero - 64) <= 2


def test_a_lone_giant_does_not_take_everyone_elses_precision() -> None:
    values = numbers(200_000)
    values[77] = 40.0
    scale, zero = ranged(values)
    error = np.clip(np.rint(values / scale) + zero, 0, 255) - zero
    cut = float(((error * scale - values) ** 2).mean())
    plain = 45 / 255
    whole = float(((np.rint(values / plain) * plain - values) ** 2).mean())
    assert cut < whole


def test_nothing_but_zeros() -> None:
    scale, zero = ranged(np.zeros(100, np.float32))
    assert scale > 0
    assert 0 <= zero <= 255
