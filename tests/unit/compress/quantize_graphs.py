"""Small graphs made by hand, and what ONNX Runtime makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def save(
    path: Path,
    nodes: list[Any],
    weights: dict[str, Any],
    inputs: dict[str, list[Any]],
    outputs: list[str],
) -> Path:
    """A graph of float32, but for ``ids``, in a file."""
    graph = helper.make_graph(
        nodes, "graph",
        [
            helper.make_tensor_value_info(name, INT64 if "ids" in name else FLOAT, shape)
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.ascontiguousarray(w), name) for name, w in weights.items()],
    )  # fmt: skip
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=10)
    onnx.save(model, str(path))
    return path


def run(graph: Path | bytes, feeds: dict[str, Any], outputs: list[str] | None = None) -> list[Any]:
    """What a graph answers."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    given = graph if isinstance(graph, bytes) else str(graph)
    session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    return session.run(outputs, feeds)


def numbers(*shape: int, seed: int = 0) -> Any:
    """float32 from a normal distribution."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def matmul(left: str, right: str, output: str, kind: str = "MatMul", **attributes: Any) -> Any:
    """A node with two inputs and one output."""
    return helper.make_node(kind, [left, right], [output], name=output, **attributes)


def relative(found: Any, wanted: Any) -> float:
    """The error's root mean square in parts of the wanted numbers' own."""
    return float(np.sqrt(((found - wanted) ** 2).mean() / (wanted**2).mean()))
