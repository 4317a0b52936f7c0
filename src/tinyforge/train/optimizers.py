"""Update rules: AdamW, Muon and SGD over one set of named weights.

Weight decay goes to matrices and higher tensors that are not embeddings. Biases and norms have
none, by common practice; embeddings have none because a row that a batch does not use would
shrink all the same, without a gradient to hold it (tied output heads count as embeddings).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from tinyforge.config.train import TrainSettings

Named = dict[str, torch.nn.Parameter]

REST_OF_MUON = 0.015
"""AdamW's learning rate beside Muon, as a share of Muon's: 3e-4 at Muon's usual 0.02."""
MUON_MOMENTUM = 0.95


class Optimizer:
    """One or two PyTorch optimizers driven as one.

    Attributes:
        parameters: trainable weights by name; a tied weight appears once.
    """

    def __init__(self, model: Any, settings: TrainSettings) -> None:
        self.parameters: Named = {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        self._names = {id(parameter): name for name, parameter in self.parameters.items()}
        self._parts = list(_build(model, self.parameters, settings))

    def step(self, lr: float) -> None:
        """Update the weights with learning rate ``lr``."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = lr * group["times"]
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Its whole state as ``{"weight's name:value's name": tensor}``; empty before a step."""
        return {
            f"{self._names[id(parameter)]}:{key}": value
            for part in self._parts
            for parameter, values in part.state.items()
            for key, value in values.items()
        }

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take back a state that ``tensors`` gave; an empty one starts anew."""
        found: dict[str, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            weight, _, key = name.rpartition(":")
            found.setdefault(weight, {})[key] = tensor.clone()
        for part in self._parts:
            state = part.state_dict()
            members = [parameter for group in part.param_groups for parameter in group["params"]]
            state["state"] = {
                index: found[self._names[id(parameter)]]
                for index, parameter in enumerate(members)
                if self._names[id(parameter)] in found
            }
            part.load_state_dict(state)


def decays(model: Any) -> set[str]:
    """Names of the trainable weights that have weight decay."""
    embeddings = _embeddings(model)
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.ndim >= 2 and id(parameter) not in embeddings
    }


def hidden_matrices(model: Any) -> set[str]:
    """Names of the trainable weights that Muon updates: matrices between embedding and head."""
    outside = _embeddings(model) | _head(model)
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.ndim == 2 and id(parameter) not in outside
    }


def _build(model: Any, named: Named, settings: TrainSettings) -> Iterator[torch.optim.Optimizer]:
    decayed = decays(model)
    if settings.optimizer == "sgd":
        yield torch.optim.SGD(
            _groups(named, decayed, settings.weight_decay), lr=0.0, momentum=settings.beta1
        )
        return
    share = 1.0
    if settings.optimizer == "muon":
        matrices = hidden_matrices(model)
        hidden = {name: weight for name, weight in named.items() if name in matrices}
        named = {name: weight for name, weight in named.items() if name not in hidden}
        share = REST_OF_MUON
        if settings.rest_learning_rate is not None and settings.learning_rate is not None:
            share = settings.rest_learning_rate / settings.learning_rate
        if hidden:
            yield torch.optim.Muon(
                _groups(hidden, decayed, settings.weight_decay), lr=0.0, momentum=MUON_MOMENTUM
            )
    if named:
        groups = _groups(named, decayed, settings.weight_decay, share)
        yield _adamw(groups, settings)


def _adamw(groups: list[dict[str, Any]], settings: TrainSettings) -> torch.optim.Optimizer:
    """The fused kernel: one pass over memory instead of about ten."""
    options: dict[str, Any] = {
        "lr": 0.0, "betas": (settings.beta1, settings.beta2), "eps": settings.epsilon,
    }  # fmt: skip
    try:
        return torch.optim.AdamW(groups, fused=True, **options)
    except RuntimeError:  # the weights' device or number format has no fused kernel
        return torch.optim.AdamW(groups, **options)


def _groups(
    named: Named, decayed: set[str], weight_decay: float, times: float = 1.0
) -> list[dict[str, Any]]:
    with_decay = [weight for name, weight in named.items() if name in decayed]
    without = [weight for name, weight in named.items() if name not in decayed]
    groups = [
        {"params": with_decay, "weight_decay": weight_decay, "times": times},
        {"params": without, "weight_decay": 0.0, "times": times},
    ]
    return [group for group in groups if group["params"]]


def _embeddings(model: Any) -> set[int]:
    kinds = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    return {id(module.weight) for module in model.modules() if isinstance(module, kinds)}


def _head(model: Any) -> set[int]:
    """The weights that make the logits: the output embedding, else the last linear layer."""
    getter = getattr(model, "get_output_embeddings", None)
    head = getter() if getter is not None else None
    if head is None:
        linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
        head = linear[-1] if linear else None
    return {id(weight) for weight in head.parameters()} if head is not None else set()
