"""Where a graph multiplies by weights, and where it looks tokens up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.compress.quantize.graph import Graph, attribute

SMALLEST = 256
"""Numbers of a product's weights from which rounding them is worth an operator."""

SMALLEST_TABLE = 4096
"""The same for a table that tokens are looked up in."""

_PASSED = frozenset({"Reshape", "Cast", "Mul", "Div", "Add", "Sub", "Tanh", "Where", "Squeeze",
                     "Unsqueeze", "Identity", "Transpose", "Gather", "Slice"})  # fmt: skip
"""Operators between the last product and the logits."""

_ALIKE = frozenset({"Cast", "Reshape", "Identity", "Unsqueeze", "Squeeze"})
"""Operators behind which a tensor holds the same numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A product of activations with a weight, and the bias behind it.

    Attributes:
        name: the layer's name: that of its weight.
        input, output: tensors (…, inputs) and (…, outputs).
        weight: (inputs, outputs), or (outputs, inputs) where ``turned``.
        bias: (outputs,), or None.
        inputs, outputs: how many.
        nodes: the operators that do it; the product is the first.
    """

    name: str
    input: str
    output: str
    weight: str
    turned: bool
    bias: str | None
    inputs: int
    outputs: int
    nodes: tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table of embeddings that tokens are looked up in.

    Attributes:
        name: the layer's name: that of its weight.
        ids, output: tensors of the tokens and of what is found for them, (…, width).
        weight: (tokens, width), or (width, tokens) where ``turned``.
        width: numbers of a token.
        nodes: the operators that do it.
    """

    name: str
    ids: str
    output: str
    weight: str
    turned: bool
    width: int
    nodes: tuple[Any, ...]


def layer_name(weight: str) -> str:
    """A layer's name from that of its weight: ``encoder.layer.0.output.dense``."""
    for ending in (".weight", ".MatMul"):
        weight = weight.removesuffix(ending)
    return weight


def products(graph: Graph) -> list[Product]:
    """The products with weights in a graph, in order; tiny ones are left out."""
    turns = _turns(graph)
    uses, readers = graph.uses(), graph.readers()
    found = []
    for node in graph.nodes:
        weight = _weight(graph, node, turns)
        if weight is None:
            continue
        name, turned = weight
        shape = graph.shape(name)
        inputs, outputs = shape[::-1] if turned else shape
        if inputs * outputs < SMALLEST:
            continue
        nodes, output, bias = [node], node.output[0], None
        if node.op_type == "Gemm":
            bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
        else:
            behind = readers.get(output, [])
            if len(behind) == 1 and uses[output] == 1:
                bias = _bias(graph, behind[0], output, outputs)
            if bias is not None:
                nodes, output = [node, behind[0]], behind[0].output[0]
        found.append(Product(layer_name(name), node.input[0], output, name, turned, bias,
                             inputs, outputs, tuple(nodes)))  # fmt: skip
    return found


def tables(graph: Graph) -> list[Table]:
    """The tables that a graph's tokens are looked up in; small ones are left out."""
    turns = _turns(graph)
    uses, readers, producers = graph.uses(), graph.readers(), graph.producers()
    found = []
    for node in graph.nodes:
        if node.op_type != "Gather" or not _are_tokens(node.input[1], producers):
            continue
        name, turned = turns.get(node.input[0], (node.input[0], False))
        if not graph.is_weight(name) or len(graph.shape(name)) != 2 or not graph.is_float(name):
            continue
        shape = graph.shape(name)
        if shape[0] * shape[1] < SMALLEST_TABLE:
            continue
        nodes, output = [node], node.output[0]
        if attribute(node, "axis", 0) % 2:  # columns of a head's weight, turned round after
            behind = readers.get(output, [])
            if turned or len(behind) != 1 or uses[output] != 1 or not _turns_back(behind[0]):
                continue
            nodes, output, turned = [node, behind[0]], behind[0].output[0], True
        width = shape[0] if turned else shape[1]
        found.append(
            Table(layer_name(name), node.input[1], output, name, turned, width, tuple(nodes))
        )
    return found


def _are_tokens(name: str, producers: Mapping[str, Any]) -> bool:
    """Whether a tensor holds the ids that go in, and not positions, whose angles must be exact."""
    while name in producers and producers[name].op_type in _ALIKE:
        name = producers[name].input[0]
    return name == "input_ids"


def _turns_back(node: Any) -> bool:
    """Whether an operator puts the first axis last."""
    order = attribute(node, "perm")
    return (
        node.op_type == "Transpose"
        and order is not None
        and order[-1] == 0
        and (list(order[:-1]) == list(range(1, len(order))))
    )


def head(graph: Graph, among: Sequence[Product]) -> Product | None:
    """The last product before the logits."""
    if "logits" not in graph.outputs:
        return None
    made = {product.output: product for product in among}
    producers = graph.producers()
    name = "logits"
    while name not in made:
        node = producers.get(name)
        if node is None or node.op_type not in _PASSED:
            return None
        computed = [each for each in node.input if each in producers]
        if not computed:
            return None
        name = next((each for each in computed if each in made), computed[-1])
    return made[name]


def groups(found: Sequence[Product]) -> list[tuple[Product, ...]]:
    """Products of the same input, which can be one product, in order of the first of each."""
    by_input: dict[str, list[Product]] = {}
    for product in found:
        by_input.setdefault(product.input, []).append(product)
    return [tuple(members) for members in by_input.values()]


def group_name(members: Sequence[Product]) -> str:
    """A name for layers that became one: ``attention.self.{query,key,value}``."""
    names = [member.name for member in members]
    if len(names) == 1:
        return names[0]
    start = _shared_start(names)
    start = start[: max(start.rfind("."), start.rfind("/"), start.rfind("_")) + 1]
    end = _shared_start([name[len(start) :][::-1] for name in names])[::-1]
    end = end[end.find(".") :] if "." in end else ""
    middle = ",".join(name[len(start) : len(name) - len(end)] for name in names)
    return f"{start}{{{middle}}}{end}"


def _shared_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    return first[:length]


def weights(graph: Graph, members: Sequence[Product]) -> NDArray[np.float32]:
    """The weights of products of one input, (all their outputs, inputs), in memory."""
    parts = [graph.array(p.weight) if p.turned else graph.array(p.weight).T for p in members]
    return np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)


def biases(graph: Graph, members: Sequence[Product]) -> NDArray[np.float32] | None:
    """The biases of products of one input, (all their outputs,); None where none has one."""
    if all(member.bias is None for member in members):
        return None
    parts = [
        np.zeros(p.outputs, np.float32) if p.bias is None else graph.array(p.bias).reshape(-1)
        for p in members
    ]
    return np.concatenate(parts).astype(np.float32)


def rows_of(graph: Graph, table: Table) -> NDArray[np.float32]:
    """A table's rows: (tokens, width)."""
    array = graph.array(table.weight)
    return np.ascontiguousarray(array.T if table.turned else array, dtype=np.float32)


def _turns(graph: Graph) -> dict[str, tuple[str, bool]]:
    """Tensors that are a weight turned round -> the weight."""
    return {
        node.output[0]: (node.input[0], True)
        for node in graph.nodes
        if node.op_type == "Transpose"
        and graph.is_weight(node.input[0])
        and list(attribute(node, "perm", [1, 0])) == [1, 0]
    }


def _weight(
    graph: Graph, node: Any, turns: Mapping[str, tuple[str, bool]]
) -> tuple[str, bool] | None:
    """The weight that a node multiplies by, and whether it is (outputs, inputs)."""
    if node.op_type not in ("MatMul", "Gemm") or node.domain not in ("", "ai.onnx"):
        return None
    name, turned = turns.get(node.input[1], (node.input[1], False))
    if node.op_type == "Gemm":
        plain = attribute(node, "alpha", 1.0) == 1.0 and not attribute(node, "transA", 0)
        if not plain or not _plain_bias(graph, node):
            return None
        turned ^= bool(attribute(node, "transB", 0))
    if not graph.is_weight(name) or len(graph.shape(name)) != 2 or not graph.is_float(name):
        return None
    return name, turned


def _plain_bias(graph: Graph, gemm: Any) -> bool:
    if len(gemm.input) < 3 or not gemm.input[2]:
        return True
    return (
        attribute(gemm, "beta", 1.0) == 1.0
        and graph.is_weight(gemm.input[2])
        and len(graph.shape(gemm.input[2])) == 1
        and graph.shape(gemm.input[2])[0] > 1
    )


def _bias(graph: Graph, node: Any, output: str, outputs: int) -> str | None:
    """The bias that an operator behind a product adds."""
    if node.op_type != "Add":
        return None
    other = node.input[1] if node.input[0] == output else node.input[0]
    if not graph.is_weight(other) or not graph.is_float(other):
        return None
    shape = graph.shape(other)
    fits = shape and shape[-1] == outputs and all(size == 1 for size in shape[:-1])
    return other if fits else None
