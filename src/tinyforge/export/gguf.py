"""GGUF, the file that llama.cpp and Ollama load: weights, sizes, tokenizer and chat template.

Only what llama.cpp computes exactly as the model does is written; the rest is refused. Names of
the tensors come from the package ``gguf``, which llama.cpp's authors keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.files import disk_errors, sync_file
from tinyforge.errors import MissingPackageError, ModelError
from tinyforge.export.gguf_sizes import add_sizes, architecture_of, rope_factors
from tinyforge.export.gguf_vocabulary import add_vocabulary, read_vocabulary

if TYPE_CHECKING:
    from tinyforge.inference.torch_model import TorchModel

Floats = NDArray[np.float32]

Precision = Literal["fp32", "fp16", "bf16", "int8", "int4"]

KINDS = {"fp32": "F32", "fp16": "F16", "bf16": "BF16", "int8": "Q8_0", "int4": "Q4_0"}
"""How the matrices are stored; blocks of 32 numbers share a scale in the last two."""

FILES = {
    "fp32": "ALL_F32", "fp16": "MOSTLY_F16", "bf16": "MOSTLY_BF16",
    "int8": "MOSTLY_Q8_0", "int4": "MOSTLY_Q4_0",
}  # fmt: skip

CAREFUL = ("token_embd.weight", "output.weight")
"""Kept in 8 bits where the others have 4: they hurt the most, as in llama.cpp's own files."""


def write_gguf(model: TorchModel, path: Path, *, precision: Precision) -> None:
    """One file with all that llama.cpp needs to answer as the model does.

    Args:
        model: adapters are merged already by ``TorchModel.load``.
        path: written beside and moved here when whole.
        precision: of the matrices; norms and biases stay in float32. A matrix whose rows do not
            divide into blocks of 32 is stored in float16 instead of 8 or 4 bits.

    Raises:
        ModelError: llama.cpp does not know the architecture, one of its settings or the kind of
            tokenizer, or a weight does not fit into float16.
        MissingPackageError: the package gguf is not installed.
        FolderError: the file cannot be written.
    """
    if find_spec("gguf") is None:
        raise MissingPackageError("gguf", needed_for="Writing GGUF", extra="onnx")
    plain, tokenizer = model.model, model.tokenizer
    arch = architecture_of(plain)
    vocabulary = read_vocabulary(tokenizer, plain.get_input_embeddings().weight.shape[0])
    tensors = list(_tensors(plain, arch, precision))
    temporary = path.with_name(f".{path.name}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(model, arch, vocabulary, tensors, temporary, precision)
            sync_file(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Stored:
    """A tensor of the file.

    Attributes:
        kind: how it is stored, a name of ``gguf.GGMLQuantizationType``.
        shape: rows first, as NumPy has it.
        values: its float32 numbers, computed when they are written.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    values: Callable[[], Floats]


def _write(
    model: TorchModel, arch: str, vocabulary: Any, tensors: list[Stored], path: Path, precision: str
) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, arch)
    try:
        writer.add_type("model")
        writer.add_name(Path(model.name).name)
        writer.add_file_type(gguf.LlamaFileType[FILES[precision]])
        if precision in ("int8", "int4"):
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        add_sizes(writer, model.model, arch)
        add_vocabulary(writer, vocabulary, model.tokenizer, model.model)
        for tensor in tensors:
            _announce(writer, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:
            writer.write_tensor_data(_encoded(tensor))
    finally:
        writer.close()


def _announce(writer: Any, tensor: Stored) -> None:
    """Name, shape and size, which stand in the file before any numbers do."""
    import gguf

    kind = gguf.GGMLQuantizationType[tensor.kind]
    if tensor.kind in ("F32", "F16"):
        dtype = np.dtype(np.float32 if tensor.kind == "F32" else np.float16)
        size = int(np.prod(tensor.shape)) * dtype.itemsize
        writer.add_tensor_info(tensor.name, tensor.shape, dtype, size)
        return
    shape = gguf.quant_shape_to_byte_shape(tensor.shape, kind)
    size = int(np.prod(shape))
    writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), size, raw_dtype=kind)


def _encoded(tensor: Stored) -> NDArray[Any]:
    import gguf

    values = np.ascontiguousarray(tensor.values(), dtype=np.float32)
    if tensor.kind == "F32":
        return values
    if tensor.kind == "F16":
        return _half(values, tensor.name)
    encoded: NDArray[Any] = gguf.quantize(values, gguf.GGMLQuantizationType[tensor.kind])
    return encoded


def _half(values: NDArray[np.float32], name: str) -> NDArray[np.float16]:
    largest = float(np.abs(values).max(initial=0.0))
    if largest > float(np.finfo(np.float16).max):
        raise ModelError(
            f"the weight {name} holds numbers that are too large for float16", value=largest,
            fix="Export it with --precision bf16",
        )  # fmt: skip
    return values.astype(np.float16)


def _tensors(model: Any, arch: str, precision: str) -> Iterator[Stored]:
    """Every weight once, under llama.cpp's name and in its layout."""
    import gguf

    number = next(k for k, name in gguf.MODEL_ARCH_NAMES.items() if name == arch)
    layers = model.config.get_text_config().num_hidden_layers
    names = gguf.get_tensor_name_map(number, layers)
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    tied = head.weight is embedding.weight
    for name, weight in model.state_dict(keep_vars=True).items():
        if tied and name.endswith("lm_head.weight"):
            continue
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if new is None:
            raise ModelError("llama.cpp has no place for one of the model's weights", value=name)
        shape = tuple(weight.shape)
        turns = arch == "gpt2" and weight.ndim == 2 and ".h." in name  # (inputs, outputs) there
        change = _change(model, arch, name, turns)
        shape = shape[::-1] if turns else shape
        yield Stored(new, _kind(new, shape, precision), shape, _reader(weight, change))
    if (factors := rope_factors(model)) is not None:
        yield Stored("rope_freqs.weight", "F32", factors.shape, lambda: factors)


def _reader(weight: Any, change: Callable[[Floats], Floats]) -> Callable[[], Floats]:
    return lambda: change(weight.detach().float().cpu().numpy())


def _change(model: Any, arch: str, name: str, turns: bool) -> Callable[[Floats], Floats]:
    """What llama.cpp wants done to a weight beforehand."""
    if turns:
        return np.transpose
    if arch == "gemma" and name.endswith("norm.weight"):  # there the file has the whole factor
        return lambda values: values + 1
    config = model.config
    heads = {".q_proj.": config.num_attention_heads, ".k_proj.": _groups(config)}
    found = next((count for part, count in heads.items() if part in name), None)
    if arch == "llama" and found is not None:
        return lambda values: _pairs_together(values, found)
    return lambda values: values


def _groups(config: Any) -> int:
    return int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)


def _pairs_together(values: Floats, heads: int) -> Floats:
    """Rows of a head so that those which turn together stand together, as in Meta's own files.

    Hugging Face's Llama turns row i with row i + half of the head's size.
    """
    split = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return split.swapaxes(1, 2).reshape(values.shape)


def _kind(name: str, shape: tuple[int, ...], precision: str) -> str:
    if len(shape) == 1 or name == "position_embd.weight":
        return "F32"
    if precision not in ("int8", "int4"):
        return KINDS[precision]
    if shape[-1] % 32:
        return "F16"
    return KINDS["int8"] if name in CAREFUL else KINDS[precision]
