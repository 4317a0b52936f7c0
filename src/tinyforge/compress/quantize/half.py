"""Weights stored in 16 bits and widened when the model is loaded.

ONNX Runtime has no products in 16 bits for ordinary processors, so this halves the files and what
is sent over a network, and neither memory nor time.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from tinyforge.compress.quantize.graph import Graph, node, onnx_package
from tinyforge.compress.quantize.products import SMALLEST, layer_name

_LARGEST = {"fp16": 65504.0, "bf16": 3e38}


def halve(graph: Graph, precision: Literal["fp16", "bf16"], keep: tuple[str, ...]) -> list[str]:
    """Store a graph's large weights in 16 bits.

    Weights that hold numbers too large for fp16 stay as they are.

    Returns:
        Names of the layers that stay.
    """
    onnx = onnx_package()
    kind = onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.BFLOAT16
    stored = onnx.helper.tensor_dtype_to_np_dtype(kind)
    stay, widened = [], []
    for name in graph.names():
        if not graph.is_float(name) or int(np.prod(graph.shape(name))) < SMALLEST:
            continue
        values = graph.array(name)
        if layer_name(name) in keep or np.abs(values).max() > _LARGEST[precision]:
            stay.append(layer_name(name))
            continue
        half = graph.add(f"{name}.{precision}", values.astype(stored))
        widened.append(node("Cast", [half], [name], f"{name}/Widen", to=onnx.TensorProto.FLOAT))
        graph.remove(name)
    graph.nodes[:0] = widened
    return stay
