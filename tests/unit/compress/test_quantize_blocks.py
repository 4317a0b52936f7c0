"""Weights in blocks: what ONNX Runtime reads is what was meant, and grids are good ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from quantize_graphs import numbers, relative, run, save

from tinyforge.compress.quantize.blocks import (
    Grid,
    find_grid,
    fitting_block,
    pack_codes,
    pack_zeros,
    round_to,
    values,
)


def product(grid: Grid, codes: Any, inputs: int, accuracy: int, path: Path) -> Path:
    weights = {"codes": pack_codes(grid, codes), "scales": grid.scales}
    names = ["x", "codes", "scales"]
    zeros = pack_zeros(grid)
    if zeros is not None:
        weights["zeros"] = zeros
        names.append("zeros")
    node = helper.make_node(
        "MatMulNBits", names, ["y"], domain="com.microsoft", K=inputs, N=len(codes),
        bits=grid.bits, block_size=grid.block, accuracy_level=accuracy,
    )  # fmt: skip
    return save(path, [node], weights, {"x": ["rows", inputs]}, ["y"])


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("inputs", "block"), [(64, 32), (96, 32), (100, 32), (128, 64), (48, 16)])
def test_onnx_runtime_multiplies_by_the_numbers_that_the_codes_stand_for(
    bits: int, inputs: int, block: int, tmp_path: Path
) -> None:
    weight, x = numbers(40, inputs), numbers(7, inputs, seed=1)
    grid = find_grid(weight, bits, block)
    codes = round_to(grid, weight)
    wanted = x @ values(grid, codes).T
    (exact,) = run(product(grid, codes, inputs, 1, tmp_path / "a.onnx"), {"x": x})
    np.testing.assert_allclose(exact, wanted, rtol=1e-4, atol=1e-4)
    (fast,) = run(product(grid, codes, inputs, 4, tmp_path / "b.onnx"), {"x": x})
    assert relative(fast, wanted) < 0.01


@pytest.mark.parametrize("bits", [4, 8])
def test_a_lookup_gives_the_rows_that_the_codes_stand_for(bits: int, tmp_path: Path) -> None:
    table = numbers(50, 64)
    grid = find_grid(table, bits, 32)
    codes = round_to(grid, table)
    weights = {"codes": pack_codes(grid, codes).reshape(50, -1), "scales": grid.scales}
    zeros = pack_zeros(grid)
    if zeros is not None:
        weights["zeros"] = zeros
    node = helper.make_node(
        "GatherBlockQuantized", ["codes", "ids", *[n for n in weights if n != "codes"]], ["y"],
        domain="com.microsoft", bits=bits, block_size=32, gather_axis=0, quantize_axis=1,
    )  # fmt: skip
    path = save(tmp_path / "a.onnx", [node], weights, {"ids": ["rows", "n"]}, ["y"])
    ids = np.array([[3, 49, 0], [7, 7, 1]])
    (found,) = run(path, {"ids": ids})
    np.testing.assert_allclose(found, values(grid, codes)[ids], rtol=1e-6, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(
    outputs=st.integers(1, 9), inputs=st.integers(1, 80), block=st.sampled_from([16, 32]),
    size=st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 1e6]), seed=st.integers(0, 99),
)  # fmt: skip
def test_eight_bits_are_never_off_by_more_than_half_a_step(
    outputs: int, inputs: int, block: int, size: float, seed: int
) -> None:
    weight = (numbers(outputs, inputs, seed=seed) * np.float32(size)).astype(np.float32)
    grid = find_grid(weight, 8, block)
    assert (grid.scales > 0).all()
    error = np.abs(values(grid, round_to(grid, weight)) - weight)
    assert (error <= grid.spread(inputs)[0] * 0.5001 + 1e-37).all()


def squared(weight: Any, grid: Grid, importance: Any = 1.0) -> float:
    return float(((values(grid, round_to(grid, weight)) - weight) ** 2 * importance).sum())


def test_a_searched_grid_is_better_than_one_from_smallest_to_largest() -> None:
    weight = numbers(64, 256)
    grid = find_grid(weight, 4, 32)
    parts = weight.reshape(64, 8, 32)
    low, high = np.minimum(parts.min(2), 0), np.maximum(parts.max(2), 0)
    scale = (high - low) / 15
    plain = Grid(4, 32, scale, np.rint(-low / scale).astype(np.uint8))
    assert squared(weight, grid) < 0.95 * squared(weight, plain)


def test_inputs_that_matter_are_rounded_better() -> None:
    weight = numbers(64, 128)
    importance = np.where(np.arange(128) % 8 == 0, 100.0, 0.01).astype(np.float32)
    plain, weighed = find_grid(weight, 4, 32), find_grid(weight, 4, 32, importance)
    assert squared(weight, weighed, importance) < 0.8 * squared(weight, plain, importance)


def test_a_block_of_zeros_stays_zero() -> None:
    weight = np.zeros((3, 64), np.float32)
    weight[:, 40] = 2.0
    for bits in (4, 8):
        grid = find_grid(weight, bits, 32)
        np.testing.assert_allclose(values(grid, round_to(grid, weight)), weight, rtol=1e-3)


def test_blocks_fit_their_layer() -> None:
    assert fitting_block(128, 768) == 128
    assert fitting_block(128, 64) == 64
    assert fitting_block(128, 172) == 32
    assert fitting_block(32, 48, smallest=16) == 16
