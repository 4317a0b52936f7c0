"""Finding a graph's products, and putting others in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from quantize_graphs import matmul, numbers, relative, run, save

from tinyforge.compress.quantize.graph import Graph
from tinyforge.compress.quantize.plan import layer_names, plan
from tinyforge.compress.quantize.products import group_name, groups, head, products, tables
from tinyforge.compress.quantize.scheme import FLOAT, Scheme, Treatment

WIDTH, WORDS = 32, 160


def writer(path: Path, *, tied: str = "columns") -> Path:
    """Embedding, query, key and value of one input, a bias, an activation, and a tied head."""
    table = numbers(WORDS, WIDTH, seed=9)
    turned = tied == "columns"
    nodes = (
        [
            helper.make_node("Gather", ["head.weight", "input_ids"], ["columns"], axis=1),
            helper.make_node("Transpose", ["columns"], ["h"], perm=[1, 2, 0]),
        ]
        if turned
        else [helper.make_node("Gather", ["embedding.weight", "input_ids"], ["h"])]
    )
    nodes += [
        matmul("h", "attention.query.weight", "q0"),
        matmul("q0", "attention.query.bias", "q", "Add"),
        matmul("h", "attention.key.weight", "k"),
        matmul("h", "attention.value.weight", "v0"),
        matmul("attention.value.bias", "v0", "v", "Add"),
        matmul("q", "k", "qk", "Mul"),
        matmul("qk", "v", "a", "Add"),
        matmul("a", "up.weight", "u"),
        helper.make_node("Relu", ["u"], ["r"]),
        matmul("r", "down.weight", "d"),
        matmul("h", "d", "s", "Add"),
    ]
    weights = {
        "head.weight": np.ascontiguousarray(table.T),
        "embedding.weight": table,
        "attention.query.weight": numbers(WIDTH, WIDTH),
        "attention.query.bias": numbers(WIDTH, seed=1),
        "attention.key.weight": numbers(WIDTH, WIDTH, seed=2),
        "attention.value.weight": numbers(WIDTH, WIDTH, seed=3),
        "attention.value.bias": numbers(WIDTH, seed=4),
        "up.weight": numbers(WIDTH, 96, seed=5),
        "down.weight": numbers(96, WIDTH, seed=6),
    }
    if turned or tied == "turned":
        del weights["embedding.weight" if turned else "head.weight"]
    if tied == "turned":
        nodes.append(helper.make_node("Transpose", ["embedding.weight"], ["t"], perm=[1, 0]))
    nodes.append(matmul("s", "t" if tied == "turned" else "head.weight", "logits"))
    return save(path, nodes, weights, {"input_ids": ["rows", "n"]}, ["logits"])


IDS = np.random.default_rng(0).integers(0, WORDS, (3, 5))


def scheme(layers: Treatment, **given: Any) -> Scheme:
    return Scheme("one", "int8", {"decoder": layers, "model": layers}, **given)


def changed(path: Path, wanted: Scheme, watch: Any = None) -> tuple[Graph, Any]:
    graph = Graph(path)
    for change in plan(graph, "decoder", wanted, watch):
        graph.replace(change.nodes, change.emit(change.outputs))
    graph.prune()
    return graph, run(graph.serialized(), {"input_ids": IDS})[0]


def kinds(graph: Graph) -> list[str]:
    return sorted(node.op_type for node in graph.nodes)


@pytest.mark.parametrize("tied", ["columns", "turned", "twice"])
def test_products_tables_and_head_are_found(tied: str, tmp_path: Path) -> None:
    graph = Graph(writer(tmp_path / "a.onnx", tied=tied))
    found = products(graph)
    table = "embedding" if tied != "columns" else "head"
    last = "embedding" if tied == "turned" else "head"
    assert [each.name for each in found] == [
        "attention.query", "attention.key", "attention.value", "up", "down", last,
    ]  # fmt: skip
    assert [each.bias for each in found[:3]] == [
        "attention.query.bias", None, "attention.value.bias"
    ]  # fmt: skip
    assert (found[-1].inputs, found[-1].outputs) == (WIDTH, WORDS)
    assert head(graph, found) is found[-1]
    assert [(each.name, each.width) for each in tables(graph)] == [(table, WIDTH)]
    assert group_name(groups(found)[0]) == "attention.{query,key,value}"
    assert layer_names(graph) >= {"attention.key", "attention.{query,key,value}", table, last}


def test_a_bias_that_others_read_too_is_left_alone(tmp_path: Path) -> None:
    nodes = [matmul("x", "w", "a"), matmul("a", "b", "c", "Add"), matmul("a", "c", "y", "Mul")]
    weights = {"w": numbers(32, 16), "b": numbers(16)}
    (found,) = products(Graph(save(tmp_path / "a.onnx", nodes, weights, {"x": [1, 32]}, ["y"])))
    assert (found.bias, found.output) == (None, "a")


@pytest.mark.parametrize(
    ("attributes", "fits"), [({"transB": 1}, True), ({"transB": 1, "alpha": 0.5}, False)]
)
def test_gemm(attributes: dict[str, Any], fits: bool, tmp_path: Path) -> None:
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["logits"], **attributes)]
    weights = {"w": numbers(48, 32), "b": numbers(48, seed=1)}
    path = save(tmp_path / "a.onnx", nodes, weights, {"x": ["rows", 32]}, ["logits"])
    graph = Graph(path)
    assert len(products(graph)) == fits
    for change in plan(graph, "model", scheme(Treatment("blocks")), None):
        graph.replace(change.nodes, change.emit(change.outputs))
    x = numbers(4, 32, seed=2)
    found, wanted = run(graph.serialized(), {"x": x})[0], run(path, {"x": x})[0]
    assert relative(found, wanted) < 0.02


@pytest.mark.parametrize("tied", ["columns", "turned", "twice"])
def test_a_tied_table_is_stored_once(tied: str, tmp_path: Path) -> None:
    path = writer(tmp_path / "a.onnx", tied=tied)
    graph, found = changed(path, scheme(Treatment("blocks")))
    assert relative(found, run(path, {"input_ids": IDS})[0]) < 0.02
    assert kinds(graph).count("MatMulNBits") == 4  # the three of one input became one
    assert kinds(graph).count("GatherBlockQuantized") == 1
    stored = [name for name in graph.names() if graph.array(name).size == WORDS * WIDTH]
    assert len(stored) == 1
    assert graph.size_bytes() < 0.35 * Graph(path).size_bytes()


def test_a_head_left_as_it_is_keeps_its_table(tmp_path: Path) -> None:
    path = writer(tmp_path / "a.onnx")
    graph, _ = changed(path, scheme(Treatment("blocks"), head=FLOAT))
    assert graph.is_weight("head.weight")
    assert "GatherBlockQuantized" not in kinds(graph)


@pytest.mark.parametrize("method", ["dynamic", "blocks"])
def test_without_joining(method: Any, tmp_path: Path) -> None:
    path = writer(tmp_path / "a.onnx")
    joined, first = changed(path, scheme(Treatment(method)))
    apart, second = changed(path, scheme(Treatment(method, fuse=False)))
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-3)
    assert "Split" in kinds(joined)
    assert "Split" not in kinds(apart)
    assert kinds(apart).count("DynamicQuantizeLinear") == (4 if method == "dynamic" else 0)


class Seen:
    """A watch over made-up tokens."""

    def __init__(self, path: Path) -> None:
        self._path, self.asked = path, 0

    def inputs(self, role: str, tensors: Sequence[str]) -> Iterator[dict[str, Any]]:
        self.asked += 1
        graph = Graph(self._path)
        for seed in range(8):
            ids = np.random.default_rng(seed).integers(0, WORDS, (1, 9))
            found = run(graph.serialized(tensors), {"input_ids": ids}, list(tensors))
            pairs = zip(tensors, found, strict=True)
            yield {name: value.reshape(-1, value.shape[-1]) for name, value in pairs}


def test_static_ranges_are_in_the_graph(tmp_path: Path) -> None:
    path = writer(tmp_path / "a.onnx")
    graph, found = changed(path, scheme(Treatment("static"), head=FLOAT), Seen(path))
    assert relative(found, run(path, {"input_ids": IDS})[0]) < 0.03
    assert kinds(graph).count("QuantizeLinear") == 3
    assert "DynamicQuantizeLinear" not in kinds(graph)
    alone = run(graph.serialized(), {"input_ids": IDS[:1]})[0]
    np.testing.assert_allclose(alone, found[:1], rtol=1e-5, atol=1e-4)


def test_layers_that_lose_most_as_whole_numbers_are_in_blocks(tmp_path: Path) -> None:
    path = writer(tmp_path / "a.onnx")
    wanted = run(path, {"input_ids": IDS})[0]
    errors = []
    for share, products_in_blocks in ((0.0, 0), (0.34, 1), (1.0, 3)):
        made = scheme(Treatment("static"), head=FLOAT, finer=share)
        graph, found = changed(path, made, Seen(path))
        assert kinds(graph).count("MatMulNBits") == products_in_blocks
        errors.append(relative(found, wanted))
    assert errors[2] < errors[1] < errors[0]


def test_gptq_is_better_than_nearest_and_finer_than_both(tmp_path: Path) -> None:
    path = writer(tmp_path / "a.onnx")
    wanted = run(path, {"input_ids": IDS})[0]
    eight = Treatment("blocks")
    errors = {}
    for name, treatment, finer in [
        ("nearest", Treatment("blocks", bits=4, block=32), 0.0),
        ("gptq", Treatment("blocks", bits=4, block=32, rounding="gptq"), 0.0),
        ("finer", Treatment("blocks", bits=4, block=32, rounding="gptq"), 0.34),
    ]:
        made = scheme(treatment, head=eight, finer=finer)
        graph, found = changed(path, made, Seen(path) if name != "nearest" else None)
        errors[name] = relative(found, wanted)
        bits = [
            attribute.i for node in graph.nodes if node.op_type == "MatMulNBits"
            for attribute in node.attribute if attribute.name == "bits"
        ]  # fmt: skip
        assert sorted(bits) == ([4, 4, 8, 8] if finer else [4, 4, 4, 8])
    assert errors["gptq"] < errors["nearest"]
    assert errors["finer"] < errors["gptq"]


def test_inputs_are_looked_at_in_parts_where_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = writer(tmp_path / "a.onnx")
    four = Treatment("blocks", bits=4, block=32, rounding="gptq")
    whole, apart = Seen(path), Seen(path)
    _, first = changed(path, scheme(four), whole)
    monkeypatch.setattr("tinyforge.compress.quantize.plan.GRAM_BYTES", 4 * 100**2)
    _, second = changed(path, scheme(four), apart)
    assert (whole.asked, apart.asked) == (1, 3)
    np.testing.assert_array_equal(first, second)


def test_kept_layers_stay(tmp_path: Path) -> None:
    path = writer(tmp_path / "a.onnx")
    graph, _ = changed(path, scheme(Treatment("blocks"), keep=("attention.key", "down")))
    assert graph.is_weight("attention.key.weight")
    assert graph.is_weight("down.weight")
    assert not graph.is_weight("attention.query.weight")
    group, _ = changed(path, scheme(Treatment("blocks"), keep=("attention.{query,key,value}",)))
    assert group.is_weight("attention.value.weight")
    assert not group.is_weight("down.weight")


def test_layers_that_share_a_weight(tmp_path: Path) -> None:
    nodes = [matmul("x", "w", "a"), helper.make_node("Relu", ["a"], ["b"]), matmul("b", "w", "y")]
    path = save(tmp_path / "a.onnx", nodes, {"w": numbers(48, 48)}, {"x": ["rows", 48]}, ["y"])
    graph = Graph(path)
    for change in plan(graph, "model", scheme(Treatment("blocks")), None):
        graph.replace(change.nodes, change.emit(change.outputs))
    graph.prune()
    x = numbers(4, 48, seed=2)
    assert relative(run(graph.serialized(), {"x": x})[0], run(path, {"x": x})[0]) < 0.03
    assert sum(name.endswith(".codes") for name in graph.names()) == 1
