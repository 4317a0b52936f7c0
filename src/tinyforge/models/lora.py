"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) by the package peft."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

from tinyforge.config.model import LoraSettings
from tinyforge.errors import SettingError
from tinyforge.models.heads import head_names
from tinyforge.models.quiet import quiet
from tinyforge.registry import suggest


def linear_layers(model: Any) -> list[str]:
    """Full names of all linear layers but the output head, found from the model itself.

    The output head of a language model and the head of a classifier are left out; GPT-2's
    ``Conv1D`` counts as linear.
    """
    from transformers.pytorch_utils import Conv1D

    output = model.get_output_embeddings()
    heads = _head(model)
    return [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear | Conv1D)
        and layer is not output
        and name.split(".")[0] not in heads
    ]


def _head(model: Any) -> list[str]:
    return head_names(model) if _classifies(model) else []


def _classifies(model: Any) -> bool:
    return type(model).__name__.endswith("ForSequenceClassification")


def add_adapters(
    model: Any, lora: LoraSettings, family: str, *, seed: int = 0, new_parts: Sequence[str] = ()
) -> Any:
    """A peft model around ``model`` in which only adapters, and new parts, are trained.

    Args:
        family: ``encoder``, ``encoder-decoder`` or ``decoder``.
        seed: the adapters' first weights are drawn from it; they change no output yet.
        new_parts: names of newly initialised modules, trained whole besides a classifier's head.

    Raises:
        SettingError: ``lora.target_modules`` names a layer that the model does not have.
    """
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers.pytorch_utils import Conv1D

    whole = [*_head(model), *new_parts]
    targets = [n for n in linear_layers(model) if not _inside(n, whole)]
    if lora.target_modules is not None:
        targets = _chosen(lora.target_modules, targets)
    layers = dict(model.named_modules())
    if family == "encoder-decoder":
        kind = TaskType.SEQ_2_SEQ_LM
    else:
        kind = TaskType.SEQ_CLS if _classifies(model) else TaskType.CAUSAL_LM
    config = LoraConfig(
        task_type=kind,
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        modules_to_save=whole or None,
        fan_in_fan_out=any(isinstance(layers[name], Conv1D) for name in targets),
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def _inside(name: str, parts: Sequence[str]) -> bool:
    return any(name == p or name.startswith(p + ".") or f".{p}." in f".{name}." for p in parts)


def _chosen(wanted: Sequence[str], layers: Sequence[str]) -> list[str]:
    """The layers whose name is, or ends with, one of the wanted names."""
    chosen = []
    for target in wanted:
        fitting = [n for n in layers if n == target or n.endswith("." + target)]
        if not fitting:
            raise SettingError(
                "the model has no such linear layer",
                where="lora.target_modules",
                value=target,
                fix=suggest(target, {n.rsplit(".", 1)[-1] for n in layers}),
            )
        chosen += fitting
    return sorted(set(chosen), key=list(layers).index)


def is_adapted(model: Any) -> bool:
    """Whether the model is a peft model."""
    return hasattr(model, "peft_config") and hasattr(model, "merge_and_unload")


def merge(model: Any) -> Any:
    """A plain model of the base class with the adapters added into its weights.

    The given model is left as it is; one without adapters is returned itself.
    """
    if not is_adapted(model):
        return model
    with quiet():
        merged = copy.deepcopy(model).merge_and_unload(safe_merge=True)
    merged.requires_grad_(True)
    return merged


def trainable_parameters(model: Any) -> int:
    """How many numbers training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
