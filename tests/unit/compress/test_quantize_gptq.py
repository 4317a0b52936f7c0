"""Rounding that goes by a layer's outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from quantize_graphs import numbers, relative

from tinyforge.compress.quantize.blocks import find_grid, round_to, values
from tinyforge.compress.quantize.gptq import gptq


def correlated(tokens: int, inputs: int) -> Any:
    """Inputs like those of a layer: a few directions carry most of them."""
    mixed = numbers(tokens, 12, seed=3) @ numbers(12, inputs, seed=4)
    return mixed + 0.3 * numbers(tokens, inputs, seed=5)


def test_outputs_change_less_than_by_rounding_to_nearest() -> None:
    weight, x = numbers(300, 200), correlated(500, 200)
    grid = find_grid(weight, 4, 32)
    wanted = x @ weight.T
    nearest = relative(x @ values(grid, round_to(grid, weight)).T, wanted)
    better = relative(x @ values(grid, gptq(grid, weight, x.T @ x)).T, wanted)
    assert better < 0.6 * nearest


def test_how_many_inputs_are_worked_on_together_makes_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight, x = numbers(60, 200), correlated(500, 200)
    grid = find_grid(weight, 4, 32)
    found = []
    for together in (16, 512):
        monkeypatch.setattr("tinyforge.compress.quantize.gptq._TOGETHER", together)
        found.append(gptq(grid, weight, x.T @ x))
    assert (found[0] == found[1]).mean() > 0.99


def test_it_holds_on_rows_it_has_not_seen() -> None:
    weight, x = numbers(100, 96), correlated(2000, 96)
    grid = find_grid(weight, 4, 32)
    codes = gptq(grid, weight, x[:1000].T @ x[:1000])
    wanted = x[1000:] @ weight.T
    nearest = relative(x[1000:] @ values(grid, round_to(grid, weight)).T, wanted)
    assert relative(x[1000:] @ values(grid, codes).T, wanted) < 0.8 * nearest


def test_inputs_that_have_nothing_to_do_with_each_other_go_to_their_nearest() -> None:
    weight = numbers(20, 64)
    grid = find_grid(weight, 4, 16)
    np.testing.assert_array_equal(gptq(grid, weight, np.eye(64)), round_to(grid, weight))


def test_fewer_tokens_than_inputs_and_silent_inputs_are_no_trouble() -> None:
    weight, x = numbers(20, 64), numbers(3, 64)
    x[:, 10:30] = 0.0
    for gram in (x.T @ x, np.zeros((64, 64), np.float32)):
        grid = find_grid(weight, 4, 16)
        codes = gptq(grid, weight, gram.astype(np.float32))
        assert np.isfinite(values(grid, codes)).all()
        silent = slice(10, 30)
        np.testing.assert_array_equal(codes[:, silent], round_to(grid, weight)[:, silent])


def test_more_outputs_than_are_worked_on_at_once() -> None:
    weight, x = numbers(5000, 32), correlated(100, 32)
    grid = find_grid(weight, 4, 16)
    codes = gptq(grid, weight, x.T @ x)
    tail = find_grid(weight[4096:], 4, 16)
    np.testing.assert_array_equal(codes[4096:], gptq(tail, weight[4096:], x.T @ x))
