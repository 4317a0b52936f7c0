"""The smaller model itself: a config with smaller numbers, and the weights that are kept.

Everything goes one way: the kept parts of the weights by name, a fresh model of the new config,
and a strict load, so that a weight that was forgotten or has the wrong shape is an error.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinyforge.compress.prune.shapes import (
    Architecture,
    Attention,
    Slot,
    architecture_of,
    groups_of,
    heads_of,
)
from tinyforge.errors import ModelError
from tinyforge.models.quiet import quiet

Kept = NDArray[np.int64]
Weights = dict[str, Tensor]


def keep_layers(model: Any, layers: Sequence[Sequence[int]]) -> Any:
    """The model with some of its layers.

    Args:
        layers: for each stack the numbers of its layers that stay, ascending.
    """
    architecture = architecture_of(model.config)
    places = [{old: new for new, old in enumerate(kept)} for kept in layers]
    weights: Weights = {}
    for name, weight in model.state_dict().items():
        spot = architecture.spot(name)
        if spot is None:
            weights[name] = weight
            continue
        first = architecture.first_only is not None and re.fullmatch(
            architecture.first_only, spot.rest
        )
        new = 0 if first else places[spot.stack].get(spot.layer)
        if new is not None:
            head = name[: len(name) - len(spot.rest) - len(str(spot.layer)) - 1]
            weights[f"{head}{new}.{spot.rest}"] = weight
    changes: dict[str, Any] = {}
    for stack, kept in zip(architecture.stacks, layers, strict=True):
        changes[stack.field] = len(kept)
        changes |= _lists_by_layer(model.config, getattr(model.config, stack.field), kept)
    return rebuild(model, weights, changes)


def _lists_by_layer(config: Any, layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """Lists in a config that say something of every layer, such as ``layer_types``."""
    return {
        name: [value[number] for number in kept]
        for name, value in config.to_dict().items()
        if "layer" in name and isinstance(value, list) and len(value) == layers
    }


def keep_units(model: Any, units: Mapping[tuple[int, int], Kept]) -> Any:
    """The model with some of the feed-forward units.

    Args:
        units: (stack, layer) -> the units that stay, ascending; as many in every layer.
    """
    architecture = architecture_of(model.config)
    weights: Weights = {}
    for name, weight in model.state_dict().items():
        spot = architecture.spot(name)
        dim = None if spot is None else architecture.unit_dim(spot.rest)
        if spot is not None and dim is not None:
            weight = _select(weight, dim, units[spot.stack, spot.layer])
        weights[name] = weight
    width = len(next(iter(units.values())))
    return rebuild(model, weights, {architecture.width: width})


def keep_heads(model: Any, heads: Mapping[Attention, Kept]) -> Any:
    """The model with some of the heads.

    Args:
        heads: attention -> its key-value heads that stay, ascending, each with all query heads
            that share it; as many in every attention.
    """
    architecture = architecture_of(model.config)
    shape = heads_of(architecture, model.config)
    if shape is None:
        raise ModelError("this kind of model cannot miss a head", value=model.config.model_type)
    _, shared, size = groups_of(shape, model.config)
    weights: Weights = {}
    for name, weight in model.state_dict().items():
        spot = architecture.spot(name)
        found = None if spot is None else architecture.slot(spot.rest)
        if spot is not None and found is not None:
            kept = heads[Attention(spot.stack, spot.layer, found[0])]
            weight = _select(weight, found[1].dim, _numbers(found[1], kept, shared, size))
        weights[name] = weight
    count = len(next(iter(heads.values())))
    return rebuild(model, weights, head_counts(architecture, model.config, count))


def head_counts(architecture: Architecture, config: Any, groups: int) -> dict[str, int]:
    """The config's numbers for so many key-value heads."""
    shape = heads_of(architecture, config)
    if shape is None:
        raise ValueError(f"a {config.model_type} cannot miss a head")
    _, shared, size = groups_of(shape, config)
    counts = {shape.count: groups * shared, shape.size: size}
    return counts if shape.groups is None else counts | {shape.groups: groups}


def _numbers(slot: Slot, kept: Kept, shared: int, size: int) -> Kept:
    """The rows or columns of a weight that belong to some key-value heads."""
    width = {"queries": shared * size, "keys": size, "number": 1}[slot.of]
    return (kept[:, None] * width + np.arange(width)).reshape(-1)


def _select(weight: Tensor, dim: int, kept: Kept) -> Tensor:
    return weight.index_select(dim, torch.from_numpy(kept).to(weight.device))


def rebuild(model: Any, weights: Mapping[str, Tensor], changes: Mapping[str, Any]) -> Any:
    """A model of the same class with other sizes and these weights, in evaluation mode.

    Raises:
        ModelError: sizes and weights do not fit together, or the config refuses the sizes.
    """
    config = changed(model.config, changes)
    tied = config.tie_word_embeddings
    if _own_head(model):
        config.tie_word_embeddings = False  # flan-T5, of which the config claims otherwise
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            smaller = type(model)(config)
        smaller.load_state_dict(dict(weights), strict=True)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            "the smaller model does not fit together",
            value=" ".join(str(error).split())[:200],
            fix="Leave --prune and --layers out; this architecture is not as it is known here",
        ) from error
    smaller.config.tie_word_embeddings = tied
    if getattr(model, "generation_config", None) is not None:
        smaller.generation_config = copy.deepcopy(model.generation_config)
    device = next(model.parameters()).device
    return smaller.to(device).eval()


def changed(config: Any, changes: Mapping[str, Any]) -> Any:
    """A copy of a config with other values.

    Raises:
        ModelError: the config's own rules refuse them.
    """
    new = copy.deepcopy(config)
    try:
        for name, value in changes.items():
            setattr(new, name, value)
        if hasattr(new, "validate"):
            new.validate()
    except Exception as error:  # configs raise errors of their own making
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(
            "the architecture does not allow these sizes",
            value=", ".join(f"{name} {value}" for name, value in changes.items()),
            fix=" ".join(lines[-1:]) or None,
        ) from error
    return new


def _own_head(model: Any) -> bool:
    """Whether the output head is a matrix of its own."""
    head = model.get_output_embeddings()
    return head is not None and head.weight is not model.get_input_embeddings().weight
