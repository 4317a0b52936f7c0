"""Graphs that are read, changed and written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from quantize_graphs import matmul, numbers, run, save

from tinyforge.compress.quantize import graph as module
from tinyforge.compress.quantize.graph import Graph, node
from tinyforge.compress.quantize.half import halve
from tinyforge.errors import FolderError


def two_products(path: Path) -> Path:
    nodes = [matmul("x", "first", "a"), matmul("a", "second", "y"), matmul("a", "second", "unused")]
    weights = {"first": numbers(40, 50), "second": numbers(50, 30, seed=1)}
    return save(path, nodes, weights, {"x": ["rows", 40]}, ["y"])


def test_a_graph_comes_back_as_it_was(tmp_path: Path) -> None:
    path = two_products(tmp_path / "a.onnx")
    Graph(path).save(tmp_path / "b.onnx")
    x = numbers(3, 40, seed=2)
    np.testing.assert_array_equal(run(path, {"x": x})[0], run(tmp_path / "b.onnx", {"x": x})[0])
    assert onnx.load(str(tmp_path / "b.onnx")).graph.input == onnx.load(str(path)).graph.input


def test_large_weights_lie_beside_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = two_products(tmp_path / "a.onnx")
    monkeypatch.setattr(module, "EXTERNAL_ABOVE", 1000)
    Graph(path).save(tmp_path / "b.onnx")
    graph = Graph(tmp_path / "b.onnx")
    assert graph.files_beside() == {"b.onnx.data"}
    np.testing.assert_array_equal(graph.array("first"), numbers(40, 50))
    assert (tmp_path / "b.onnx").stat().st_size < 2000
    x = numbers(3, 40, seed=2)
    np.testing.assert_array_equal(run(path, {"x": x})[0], run(tmp_path / "b.onnx", {"x": x})[0])
    (tmp_path / "again").mkdir()
    graph.save(tmp_path / "again" / "b.onnx")  # from beside one graph to beside another
    for name in ("b.onnx", "b.onnx.data"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()
    monkeypatch.setattr(module, "EXTERNAL_ABOVE", 10**9)
    graph.save(tmp_path / "inside.onnx")
    assert Graph(tmp_path / "inside.onnx").files_beside() == set()


def test_weights_that_are_cut_short_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXTERNAL_ABOVE", 1000)
    Graph(two_products(tmp_path / "a.onnx")).save(tmp_path / "b.onnx")
    data = tmp_path / "b.onnx.data"
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(FolderError, match="cut short"):
        Graph(tmp_path / "b.onnx").save(tmp_path / "c.onnx")


def test_what_nobody_uses_goes(tmp_path: Path) -> None:
    graph = Graph(two_products(tmp_path / "a.onnx"))
    graph.replace(
        graph.nodes[:2], [node("MatMul", ["x", graph.add("w", numbers(40, 9))], ["y"], "n")]
    )
    graph.prune()
    assert [each.name for each in graph.nodes] == ["n"]
    assert graph.names() == ["w"]


def test_weights_used_by_graphs_inside_operators_stay(tmp_path: Path) -> None:
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node("Identity", [weight], [f"{name}_out"])], name, [],
            [helper.make_tensor_value_info(f"{name}_out", onnx.TensorProto.FLOAT, [4])],
        )
        for name, weight in (("then", "w"), ("else", "v"))
    }  # fmt: skip
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["on"], to=onnx.TensorProto.BOOL),
        helper.make_node("If", ["on"], ["y"], **branches),
    ]
    weights = {"w": numbers(4), "v": numbers(4, seed=1), "u": numbers(4, seed=2)}
    graph = Graph(save(tmp_path / "a.onnx", nodes, weights, {"x": [2]}, ["y"]))
    graph.prune()
    assert graph.names() == ["w", "v"]


def test_no_graph_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"\xff\xff\xffnonsense")
    with pytest.raises(FolderError, match="not an ONNX graph"):
        Graph(tmp_path / "a.onnx")


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 1e-3), ("bf16", 8e-3)])
def test_half_of_the_bits_are_stored(precision: str, bound: float, tmp_path: Path) -> None:
    path = two_products(tmp_path / "a.onnx")
    graph = Graph(path)
    assert halve(graph, precision, ("second",)) == ["second"]  # type: ignore[arg-type]
    graph.save(tmp_path / "b.onnx")
    assert graph.names() == ["second", f"first.{precision}"]
    x = numbers(3, 40, seed=2)
    wanted, found = run(path, {"x": x})[0], run(tmp_path / "b.onnx", {"x": x})[0]
    assert 0 < np.abs(found - wanted).max() / np.abs(wanted).max() < bound


def test_numbers_too_large_for_fp16_stay(tmp_path: Path) -> None:
    weights = {"w": np.full((40, 50), 1e6, np.float32)}
    path = save(tmp_path / "a.onnx", [matmul("x", "w", "y")], weights, {"x": [1, 40]}, ["y"])
    graph = Graph(path)
    assert halve(graph, "fp16", ()) == ["w"]
    assert halve(Graph(path), "bf16", ()) == []
