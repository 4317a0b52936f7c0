"""A plain Hugging Face folder: whole weights, adapters merged, in the precision asked for."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tinyforge.errors import ModelError
from tinyforge.models.save import save_model

if TYPE_CHECKING:
    from tinyforge.inference.torch_model import TorchModel

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def write_safetensors(
    model: TorchModel, folder: Path, *, precision: Literal["fp32", "bf16", "fp16"]
) -> None:
    """Weights, configs, tokenizer and the task's state; any tool that reads such folders loads it.

    The given model is left as it is.

    Args:
        precision: of the weights. TinyForge computes in float32 whatever they are stored in.

    Raises:
        ModelError: a weight does not fit into float16.
        FolderError: the folder cannot be written.
    """
    import torch

    plain = model.model
    dtype = getattr(torch, DTYPES[precision])
    if next(plain.parameters()).dtype != dtype:
        plain = _converted(plain, dtype)
    save_model(plain, model.tokenizer, folder, model.task.state())


def _converted(model: Any, dtype: Any) -> Any:
    """A copy in another precision; shared weights stay shared.

    Parts that a model keeps in float32 of itself, as T5 does, are stored like the rest.
    """
    import torch

    limit = torch.finfo(dtype).max
    for name, weight in model.named_parameters():
        if float(weight.detach().abs().amax()) > limit:
            raise ModelError(
                f"the weight {name} holds numbers that are too large for {dtype}",
                fix="Export it with --precision bf16",
            )
    return copy.deepcopy(model).to(dtype)
