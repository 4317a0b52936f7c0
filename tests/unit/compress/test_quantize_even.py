"""Inputs with channels of very different size, and weights rounded for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quantize_graphs import matmul, numbers, relative, run, save

from tinyforge.compress.quantize.channels import LARGEST, Rounding, channel_codes
from tinyforge.compress.quantize.even import divisors_for, energy_lost
from tinyforge.compress.quantize.graph import Graph
from tinyforge.compress.quantize.plan import plan
from tinyforge.compress.quantize.scheme import FLOAT, Scheme, Treatment

WIDTH = 48


def loud(rows: int, seed: int = 0) -> Any:
    """Tokens in which three channels are sixty times as large as the others."""
    values = numbers(rows, WIDTH, seed=seed)
    values[:, [3, 17, 40]] *= 60
    return values


def test_loud_channels_are_divided() -> None:
    seen, weight = loud(400), numbers(24, WIDTH, seed=1)
    found = divisors_for(seen, weight)
    assert found is not None
    assert set(np.argsort(found)[-3:]) == {3, 17, 40}


def test_even_channels_are_left_alone() -> None:
    assert divisors_for(numbers(400, WIDTH), numbers(24, WIDTH, seed=1)) is None


def test_weights_rounded_for_the_outputs_lose_less() -> None:
    seen, weight = numbers(600, 6) @ numbers(6, WIDTH, seed=3), numbers(24, WIDTH, seed=1)
    errors = []
    for gram in (None, seen.T @ seen):
        codes, scales = channel_codes(weight, gram)
        assert np.abs(codes.astype(int)).max() <= LARGEST
        errors.append(relative(seen @ (codes * scales), seen @ weight.T))
    assert errors[1] < 0.5 * errors[0]


def test_energy_lost_is_nothing_where_nothing_is_rounded_away() -> None:
    seen = np.arange(12, dtype=np.float32).reshape(4, 3)
    exact = Rounding(np.float32(1), np.uint8(0))
    weight = np.array([[64.0, -64.0, 0.0]], np.float32)
    assert energy_lost(seen, weight, exact) < 1e-12
    assert energy_lost(seen, weight, Rounding(np.float32(40), np.uint8(0))) > 0.1


class Tokens:
    """A watch over tokens that go straight into the products."""

    def inputs(self, role: str, tensors: Sequence[str]) -> Iterator[dict[str, Any]]:
        for seed in range(8):
            yield dict.fromkeys(tensors, loud(60, seed))


@pytest.mark.parametrize("rounding", ["nearest", "gptq"])
def test_the_graph_divides_and_the_weights_make_up_for_it(rounding: Any, tmp_path: Path) -> None:
    nodes = [matmul("x", "left.weight", "a"), matmul("x", "right.weight", "b"),
             matmul("a", "b", "y", "Add")]  # fmt: skip
    weights = {f"{side}.weight": numbers(WIDTH, 24, seed=i) for i, side in enumerate(
        ("left", "right"))}  # fmt: skip
    path = save(tmp_path / "a.onnx", nodes, weights, {"x": ["rows", WIDTH]}, ["y"])
    shown = loud(50, seed=99)
    wanted = run(path, {"x": shown})[0]
    treatment = Treatment("static", rounding=rounding, fuse=False)
    errors = {}
    for name, watch in (("even", Tokens()), ("plain", None)):
        graph = Graph(path)
        part = treatment if watch else Treatment("dynamic", fuse=False)
        scheme = Scheme("test", "int8", {"encoder": part}, head=FLOAT)
        for change in plan(graph, "encoder", scheme, watch):
            graph.replace(change.nodes, change.emit(change.outputs))
        graph.prune()
        kinds = [node.op_type for node in graph.nodes]
        assert kinds.count("Mul") == (1 if watch else 0)  # one input, divided and rounded once
        errors[name] = relative(run(graph.serialized(), {"x": shown})[0], wanted)
    assert errors["even"] < 0.75 * errors["plain"]
