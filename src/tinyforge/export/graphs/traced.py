"""From a PyTorch module to a graph, by ``torch.onnx.export``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tinyforge.errors import ModelError
from tinyforge.export.graphs.tidy import tidy
from tinyforge.models.quiet import quiet

OPSET = 18
"""The one that PyTorch's exporter writes of itself: nothing is converted afterwards, and every
runtime has had it for years."""

Inputs = Mapping[str, tuple[Tensor, Sequence[str | int]]]
"""Name to an example and the names of its axes, or their fixed sizes, in the order of ``forward``.
Names that several inputs share, such as ``rows``, say that the sizes are the same."""

SIZES = {"rows": 3, "n": 5, "past": 7, "source": 6, "kept": 4}
"""Of the examples that a graph is traced with: all different, none 0 or 1, which PyTorch would take
for fixed."""


def example(*axes: str | int, high: int | None = None) -> Tensor:
    """A tensor of ``SIZES``: int64 below ``high``, or float32 zeros without it."""
    shape = [SIZES[axis] if isinstance(axis, str) else axis for axis in axes]
    if high is None:
        return torch.zeros(shape)
    return torch.arange(torch.Size(shape).numel()).reshape(shape) % high


def trace(
    module: nn.Module,
    inputs: Inputs,
    past: Inputs,
    outputs: Mapping[str, Sequence[str | int]],
) -> Any:
    """The module's graph, an ``onnx_ir.Model`` that holds its weights without copying them.

    Args:
        module: its ``forward`` takes the tensors of ``past`` as one tuple, where there are any,
            then the inputs in order.
        outputs: name to the names of its axes, in order.

    Raises:
        ModelError: PyTorch cannot trace it, or fixes a size that has to vary.
    """
    arguments: list[Any] = [tensor for tensor, _ in inputs.values()]
    shapes: list[Any] = [_dynamic(axes) for _, axes in inputs.values()]
    if past:
        arguments.insert(0, tuple(tensor for tensor, _ in past.values()))
        shapes.insert(0, tuple(_dynamic(axes) for _, axes in past.values()))
    axes = {name: names for name, (_, names) in {**past, **inputs}.items()}
    try:
        with silent(), torch.no_grad():
            program = torch.onnx.export(
                module, tuple(arguments), dynamo=True, opset_version=OPSET, verbose=False,
                dynamic_shapes=tuple(shapes), optimize=False,
                input_names=list(axes), output_names=list(outputs),
            )  # fmt: skip
            if program is None:
                raise RuntimeError("PyTorch's exporter returned nothing")
            model = program.model
            _check_inputs(model, axes)
            tidy(model, {**axes, **outputs})
    except Exception as error:  # the exporter raises anything that the model's own code does
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            "the model cannot be written as a graph", value=_reason(error),
            fix="Export it with --format safetensors, or choose another model",
        ) from error  # fmt: skip
    return model


def _dynamic(axes: Sequence[str | int]) -> dict[int, Any]:
    return {i: torch.export.Dim.AUTO for i, axis in enumerate(axes) if isinstance(axis, str)}


def _check_inputs(model: Any, axes: Mapping[str, Sequence[str | int]]) -> None:
    """PyTorch fixes a size without a word where the model's code depends on it."""
    found = {value.name: value.shape for value in model.graph.inputs}
    for name, names in axes.items():
        if name not in found:
            raise RuntimeError(f"the model does not use its input {name}")
        for axis, size in zip(names, found[name], strict=True):
            if isinstance(axis, str) and isinstance(size, int):
                raise RuntimeError(f"the graph of {name} is for {axis} = {size} only")


def _reason(error: BaseException) -> str:
    """The first line of the cause that is furthest down."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]


@contextmanager
def silent() -> Iterator[None]:
    """Inside, PyTorch's exporter and its helpers log and warn nothing."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    loggers += [logging.getLogger("onnx_ir"), logging.getLogger("torch.fx")]
    before = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL)
    try:
        with quiet():
            yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.setLevel(level)
