"""A graph made plain: constant weights the way products want them, each stored once and named
after its layer, and nothing in it that was of use to its writer only.

Graphs are ``onnx_ir.Model``; everything here changes them in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyforge.artifacts.files import disk_errors, sync_file

EXTERNAL = 100 * 2**20
"""Bytes of weights above which they lie in a file of their own beside the graph."""

SMALL = 1_024
"""Bytes up to which a tensor stays in the graph even then: shapes and the like."""

Axes = Mapping[str, Sequence[str | int]]


def tidy(model: Any, axes: Axes) -> None:
    """A graph as PyTorch's exporter leaves it without optimizing.

    Args:
        axes: names of the axes of each input and output.
    """
    import onnx_ir.passes.common as passes
    from onnxscript import optimizer

    passes.InlinePass()(model)
    _share(model.graph)
    _products(model.graph)
    optimizer.optimize_ir(model)
    _join_reshapes(model.graph)
    passes.RemoveUnusedNodesPass()(model)
    for name in list(model.graph.initializers):
        model.graph.initializers[name].name = name.removeprefix("model.")
    finish(model, axes)


def finish(model: Any, axes: Axes) -> None:
    """Names of layers and axes; notes of the writer, and sizes inside the graph, left out."""
    import onnx_ir as ir
    import onnx_ir.passes.common as passes

    graph = model.graph
    passes.ClearMetadataAndDocStringPass()(model)
    ends = [*graph.inputs, *graph.outputs]
    for value in [*ends, *graph.initializers.values()]:
        value.metadata_props.clear()
        value.doc_string = None
    for value in ends:
        value.shape = ir.Shape(list(axes[value.name]))
    inner = [value for node in graph for value in node.outputs if not value.is_graph_output()]
    for value in [*inner, *graph.initializers.values()]:
        value.metadata_props.clear()
        # Runtimes infer them, and complain of any that is wrong; constants have their own.
        value.type, value.shape = None, None
    _name_products(graph)
    graph.name, graph.doc_string = "graph", None
    model.metadata_props.clear()
    model.doc_string = None
    model.producer_name, model.producer_version = "tinyforge", None
    graph.sort()


def save(model: Any, path: Path) -> None:
    """The graph in one file; where its weights are large, they lie in ``FILE.data`` beside it.

    Raises:
        FolderError: it cannot be written.
    """
    import onnx_ir as ir

    data = path.with_name(f"{path.name}.data")
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    with disk_errors(path):
        for old in (path, data):
            old.unlink(missing_ok=True)
        ir.save(
            model, path, external_data=data.name if size > EXTERNAL else None,
            size_threshold_bytes=SMALL,
        )  # fmt: skip
        for new in (path, data):
            if new.exists():
                sync_file(new)


def tie(graph: Any, weight: Any) -> None:
    """Lookups in an embedding that a product has as its constant (width, vocabulary) too.

    The embedding is stored, and held in memory, once: a token's vector is a column of it. That
    costs a lookup of scattered numbers for each token, next to nothing beside the product.

    Args:
        weight: the product's constant.
    """
    import onnx_ir as ir

    for node in [use.node for use in weight.uses() if use.node.op_type == "Gather"]:
        ids = node.inputs[1]
        rank = 2 if ids.shape is None else len(ids.shape)
        columns = ir.node("Gather", [weight, ids], {"axis": 1}, name=node.name)
        back = ir.node(
            "Transpose", [columns.outputs[0]], {"perm": [*range(1, rank + 1), 0]},
            name=f"{node.name}/back",
        )  # fmt: skip
        graph.insert_before(node, [columns, back])
        node.outputs[0].replace_all_uses_with(back.outputs[0])
        graph.remove(node, safe=True)


def _share(graph: Any) -> None:
    """Weights that several modules share are one initializer."""
    seen: dict[tuple[Any, ...], Any] = {}
    for name, value in list(graph.initializers.items()):
        raw: Any = getattr(value.const_value, "raw", None)
        if not hasattr(raw, "data_ptr") or not raw.numel():
            continue
        key = (raw.data_ptr(), raw.dtype, tuple(raw.shape), tuple(raw.stride()))
        if key in seen:
            value.replace_all_uses_with(seen[key])
            graph.initializers.pop(name)
        else:
            seen[key] = value


def _products(graph: Any) -> None:
    """Every linear layer a ``MatMul`` with a constant (inputs, outputs), then ``Add`` of a bias."""
    turned: dict[str, Any] = {}
    for node in list(graph):
        if node.domain or not node.inputs:
            continue
        if node.op_type == "Transpose" and _is_matrix(node.inputs[0]):
            node.outputs[0].replace_all_uses_with(_turned(node.inputs[0], turned))
            graph.remove(node, safe=True)
        elif node.op_type == "Gemm" and _is_plain(node):
            _split(graph, node, turned)
    for name, new in turned.items():
        old = graph.initializers[name]
        if all(_is_lookup(use) for use in old.uses()):
            graph.initializers.pop(name)
            old.replace_all_uses_with(new)
            new.name = name
            graph.initializers.add(new)
            tie(graph, new)
        else:
            new.name = f"{name.removesuffix('.weight')}.turned.weight"
            graph.initializers.add(new)


def _is_matrix(value: Any) -> bool:
    return bool(value.is_initializer() and len(value.shape) == 2)


def _is_lookup(use: Any) -> bool:
    """Whether the rows of the value are looked up."""
    axis = use.node.attributes.get("axis")
    first = axis is None or axis.as_int() == 0
    return bool(use.node.op_type == "Gather" and use.idx == 0 and first)


def _is_plain(node: Any) -> bool:
    """Whether a Gemm is a product with a constant, and no more than that and a bias."""
    values = {name: attribute.value for name, attribute in node.attributes.items()}
    scaled = values.get("alpha", 1.0) != 1.0 or values.get("beta", 1.0) != 1.0
    return not scaled and not values.get("transA", 0) and _is_matrix(node.inputs[1])


def _split(graph: Any, node: Any, turned: dict[str, Any]) -> None:
    import onnx_ir as ir

    states, weight = node.inputs[:2]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if "transB" in node.attributes and node.attributes["transB"].as_int():
        weight = _turned(weight, turned)
    made = [ir.node("MatMul", [states, weight])]
    if bias is not None:
        made.append(ir.node("Add", [made[0].outputs[0], bias]))
    last, old = made[-1].outputs[0], node.outputs[0]
    last.type, last.shape = old.type, old.shape
    graph.insert_before(node, made)
    old.replace_all_uses_with(last, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    last.name = old.name


def _turned(weight: Any, turned: dict[str, Any]) -> Any:
    """The transposed weight, a view that is written out only when it is saved."""
    import onnx_ir as ir
    from onnx_ir.tensor_adapters import TorchTensor

    if weight.name not in turned:
        tensor = TorchTensor(weight.const_value.raw.t(), name=weight.name)
        value = ir.Value(
            name=f"{weight.name}.turned", type=ir.TensorType(tensor.dtype), shape=tensor.shape,
            const_value=tensor,
        )  # fmt: skip
        turned[weight.name] = value
    return turned[weight.name]


def _join_reshapes(graph: Any) -> None:
    """One reshape in the place of two, and none where the second undoes the first."""
    for node in list(graph):
        first = node.inputs[0].producer() if node.op_type == "Reshape" else None
        if first is None or first.op_type != "Reshape":
            continue
        start, end = first.inputs[0], node.outputs[0]
        if not end.is_graph_output() and _same_shape(start, end):
            end.replace_all_uses_with(start)
            graph.remove(node, safe=True)
        else:
            node.replace_input_with(0, start)
        if not first.outputs[0].uses() and not first.outputs[0].is_graph_output():
            graph.remove(first, safe=True)


def _same_shape(one: Any, other: Any) -> bool:
    sizes = [None if each.shape is None else list(each.shape) for each in (one, other)]
    named = all(isinstance(size, int) or size.value for size in sizes[0] or ())
    return sizes[0] is not None and named and sizes[0] == sizes[1]


def _name_products(graph: Any) -> None:
    """A product is called as its layer: its constant's name without ``.weight``."""
    seen: dict[str, int] = {}
    for node in graph:
        if node.op_type == "MatMul" and node.inputs[1].is_initializer():
            layer = node.inputs[1].name.removesuffix(".weight")
            seen[layer] = seen.get(layer, 0) + 1
            node.name = layer if seen[layer] == 1 else f"{layer}.{seen[layer]}"
