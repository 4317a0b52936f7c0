"""Whether the numbers in an export are the source's, bit for bit or as far as its precision goes.

Logits cannot see everything: half of a small model's numbers are embeddings of tokens that occur in
no row. A float32 export changes no number, so each of its tensors is one of the source's, as it is
or transposed, or is a new one made from several. What is neither is a tensor that equals one of the
source's but for a few numbers: a flipped bit, a damaged file, a number that somebody changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import ExportRecord
from tinyforge.errors import MissingPackageError
from tinyforge.export.gate.check import Check, failed
from tinyforge.inference.modes import plain_model
from tinyforge.inference.torch_model import TorchModel

NAME = "weights"

STORED = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""The PyTorch type of a precision that stores each number by itself."""

LOST = {"int8": 0.02, "int4": 0.25}
"""What blocks of 32 numbers with one scale may cost a row, in parts of its own size. Q8_0 loses at
most 0.29 / 127 of a block's largest number and Q4_0 0.29 / 8 of it, which is at most 5.7 times the
root mean square of all 32."""

_LAST_BITS = 2.0**-22
"""What adding 1 and taking it off again costs, as Gemma's norms have it in GGUF."""

SMALLEST = 16
"""Numbers of a tensor that is worth a look; less are constants of the graph."""

NEARLY = 0.5
"""From this share of equal numbers on, two tensors are the same one with some numbers changed."""

_SAMPLE = 512


def check_weights(source: TorchModel, folder: Path, record: ExportRecord) -> Check:
    """Compare every float32 tensor of the graphs with the source's.

    Raises:
        MissingPackageError: the package onnx is not installed.
    """
    known = _by_shape(source)
    same = seen = 0
    for role in record.graphs:
        for name, tensor in _tensors(record.graph(folder, role)):
            seen += tensor.size
            found = _find(tensor, known)
            if found is None:
                continue
            if found:
                return failed(
                    NAME,
                    f"{found:,} of the {tensor.size:,} numbers of {name} are not the source's: the "
                    "file is damaged, or somebody changed it",
                    tensor=name, changed=found,
                )  # fmt: skip
            same += tensor.size
    share = same / seen if seen else 0.0
    return Check(
        NAME, True,
        f"{100 * share:.4g} % of the {seen:,} numbers in the graphs are the source's bit for bit, "
        "the rest is made from them",
        {"same": same, "numbers": seen},
    )  # fmt: skip


def check_stored(source: TorchModel, exported: TorchModel, precision: str) -> Check:
    """Compare every weight that PyTorch reads from an export with the source's."""
    import torch

    ours, theirs = (plain_model(each.model).state_dict() for each in (source, exported))
    seen = same = 0
    for name, weight in ours.items():
        if not weight.is_floating_point():
            continue
        found = theirs.get(name)
        if found is None or found.shape != weight.shape:
            return failed(NAME, f"the weight {name} is missing or has another shape", tensor=name)
        wanted, found = weight.detach().float().cpu(), found.detach().float().cpu()
        seen += wanted.numel()
        if torch.equal(wanted, found):
            same += wanted.numel()
        elif not _stands_for(wanted, found, precision):
            return failed(
                NAME, f"the numbers of {name} are not the source's, by more than {precision} "
                "accounts for", tensor=name,
            )  # fmt: skip
    share = 100 * same / seen if seen else 0.0
    return Check(
        NAME, True,
        f"{share:.4g} % of the {seen:,} numbers are the source's bit for bit"
        + ("" if same == seen else f", and the others what {precision} makes of them"),
        {"same": same, "numbers": seen},
    )  # fmt: skip


def _stands_for(wanted: Any, found: Any, precision: str) -> bool:
    """Whether a tensor is the wanted one as the precision stores it."""
    import torch

    if not bool(torch.isfinite(found).all()):
        return False
    kinds = [STORED[precision]] if precision in STORED else ["float16"]  # rows without whole blocks
    if any(torch.equal(wanted.to(getattr(torch, kind)).float(), found) for kind in kinds):
        return True
    apart = found - wanted
    if wanted.ndim < 2:
        return bool((apart.abs() <= _LAST_BITS * (1 + wanted.abs())).all())
    if precision not in LOST:
        return False
    lost, size = (each.flatten(1).norm(dim=1) for each in (apart, wanted))
    return bool((lost <= LOST[precision] * size).all())


def _by_shape(source: TorchModel) -> dict[tuple[int, ...], list[NDArray[np.float32]]]:
    found: dict[tuple[int, ...], list[NDArray[np.float32]]] = {}
    seen: set[int] = set()
    for tensor in plain_model(source.model).state_dict().values():
        if tensor.numel() < SMALLEST or not tensor.is_floating_point():
            continue
        if tensor.data_ptr() in seen:  # tied
            continue
        seen.add(tensor.data_ptr())
        array = tensor.detach().float().cpu().numpy()
        for each in (array, array.T) if array.ndim == 2 else (array,):
            found.setdefault(each.shape, []).append(each)
    return found


def _tensors(path: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The float32 tensors of a graph that are large enough to matter."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingPackageError("onnx", needed_for="Exporting", extra="onnx") from error
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        size = int(np.prod(tensor.dims)) if tensor.dims else 1
        if tensor.data_type == onnx.TensorProto.FLOAT and size >= SMALLEST:
            yield tensor.name, numpy_helper.to_array(tensor)


def _find(tensor: NDArray[Any], known: dict[tuple[int, ...], list[Any]]) -> int | None:
    """How many numbers differ from the source's tensor that this one is; 0: none.

    None where it is none of the source's tensors.
    """
    nearest: int | None = None
    for other in known.get(tensor.shape, ()):
        if not _alike(tensor, other):
            continue
        changed = int((_bits(tensor) != _bits(other)).sum())
        if not changed:
            return 0
        telling = other != 0  # zeros stay zeros whatever is done to a tensor
        equal = int((_bits(tensor) == _bits(other))[telling].sum())
        if equal >= NEARLY * max(1, int(telling.sum())):
            nearest = changed if nearest is None else min(nearest, changed)
    return nearest


def _alike(tensor: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether a few numbers from all over agree well enough for a closer look."""
    places = np.unravel_index(
        np.linspace(0, tensor.size - 1, min(tensor.size, _SAMPLE)).astype(int), tensor.shape
    )
    return bool((tensor[places] == other[places]).mean() >= NEARLY / 2)


def _bits(values: NDArray[Any]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
