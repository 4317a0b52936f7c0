"""Bytes that one step of a decoder reads: its weights, counted in the graph, and its cache."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

GATHERS = {"Gather", "GatherBlockQuantized"}
"""Operators that read a row or two of their table, however large it is."""

BITS = {
    # ONNX's TensorProto types: bits of a value.
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16,
    21: 4, 22: 4,
}  # fmt: skip


def weight_bytes(graph: Path) -> int:
    """Bytes of the initializers that a step reads as a whole.

    Args:
        graph: the decoder's ONNX file; its external data are not opened.
    """
    import onnx

    model = onnx.load(str(graph), load_external_data=False)
    whole = {
        name for node in model.graph.node if node.op_type not in GATHERS for name in node.input
    }
    return sum(
        math.ceil(math.prod(tensor.dims) * BITS[tensor.data_type] / 8)
        for tensor in model.graph.initializer
        if tensor.name in whole
    )


def cache_bytes(layout: Mapping[str, Any], tokens: float) -> int:
    """Bytes of the keys and values that so many tokens leave behind."""
    size = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}[layout["dtype"]]
    return int(2 * layout["layers"] * layout["heads"] * layout["head_size"] * size * tokens)
