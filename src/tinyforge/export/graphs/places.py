"""The last layer of a classifier, computed only for the places that somebody asks for.

A head reads one place of the last states, the first. Of the other places the last layer's attention
needs keys and values; their queries, and all that stands behind attention, would be thrown away. In
a model of six layers that is an eighth of all products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyforge.artifacts.export_folder import HIDDEN, PLACES

_BY_PLACE = {
    "Add", "Cast", "FastGelu", "Gelu", "Identity", "LayerNormalization", "MatMul", "Mul",
    "QuickGelu", "Relu", "Tanh",
}  # fmt: skip
"""Operators that make of each place what they would make of it alone, as long as what they join it
with is a weight or has the same places."""


def only_asked(model: Any) -> bool:
    """Give a graph the input ``places``, [0] by default, if it is one that this fits.

    Args:
        model: an ``onnx_ir.Model`` with fused attention; changed in place.

    Returns:
        Whether it was changed.
    """
    import onnx_ir as ir

    graph = model.graph
    hidden = next((value for value in graph.outputs if value.name == HIDDEN), None)
    attention = next((n for n in reversed(graph) if n.op_type == "MultiHeadAttention"), None)
    if hidden is None or attention is None or not _first_is_read(hidden):
        return False
    if any(value is not None for value in attention.inputs[5:]):  # a bias for each place
        return False
    query, *others = [_projection(value) for value in attention.inputs[:3]]
    states = None if query is None else query.inputs[0]
    if states is None or any(each is None or each.inputs[0] is not states for each in others):
        return False
    behind = _behind(hidden, attention, states)
    if behind is None:
        return False
    asked = ir.Value(
        name=PLACES, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["kept"]),
        const_value=ir.tensor(np.array([0], dtype=np.int64), name=PLACES),
    )  # fmt: skip
    graph.inputs.append(asked)
    graph.initializers.add(asked)
    kept = ir.node("Gather", [states, asked], {"axis": 1}, name=PLACES)
    graph.insert_after(states.producer(), kept)
    changed = {query, *behind}
    for use in list(states.uses()):
        if use.node in changed:
            use.node.replace_input_with(use.idx, kept.outputs[0])
    hidden.shape = ir.Shape([hidden.shape[0], "kept", hidden.shape[2]])
    return True


def _first_is_read(hidden: Any) -> bool:
    """Whether the head takes the first place, and nothing else."""
    nodes = [use.node for use in hidden.uses()]
    if len(nodes) != 1 or nodes[0].op_type != "Gather":
        return False
    axis, index = nodes[0].attributes.get("axis"), nodes[0].inputs[1].const_value
    if axis is None or axis.as_int() != 1 or index is None:
        return False
    return bool(index.size == 1 and int(index.numpy().reshape(-1)[0]) == 0)


def _projection(value: Any) -> Any:
    """The product that a value is, with or without a bias; None: it is something else, or others
    read it too."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type == "Add" and len(node.outputs[0].uses()) == 1:
        node = next((v.producer() for v in node.inputs if v.producer() is not None), None)
    if node is None or node.op_type != "MatMul" or len(node.outputs[0].uses()) != 1:
        return None
    return node if node.inputs[1].is_initializer() else None


def _behind(hidden: Any, attention: Any, states: Any) -> set[Any] | None:
    """The operators between attention, or what it read, and the last states; None: there is one
    that mixes places, or something else reads what would have fewer of them."""
    found: set[Any] = set()
    left = [hidden]
    while left:
        node = left.pop().producer()
        if node is None or node.op_type not in _BY_PLACE:
            return None
        if node in found:
            continue
        found.add(node)
        left += [
            value
            for value in node.inputs
            if value is not None and value is not states
            and value.producer() is not attention and not value.is_initializer()
        ]  # fmt: skip
    made = [attention.outputs[0], *(n.outputs[0] for n in found if n is not hidden.producer())]
    if any(use.node not in found for value in made for use in value.uses()):
        return None
    return None if any(value.is_graph_output() for value in made) else found
