"""Update rules: AdamW, Muon and SGD over one set of named weights.

Weight decay goes to matrices and higher tensors that are not embeddings. Biases and norms have
none, by common practice; embeddings have none because a row that a batch does not use would
shrink all the same, without a gradient to hold it (tied output heads count as embeddings).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from tinyforge.config.train import TrainSettings
from tinyforge.train.speedups.adamw import AdamW, square_sum
from tinyforge.train.speedups.embedding import RowGradient
from tinyforge.train.speedups.muon import Muon
from tinyforge.train.weights import Weights

Named = dict[str, torch.nn.Parameter]

REST_OF_MUON = 0.015
"""AdamW's learning rate beside Muon, as a share of Muon's: 3e-4 at Muon's usual 0.02."""
MUON_MOMENTUM = 0.95


class Optimizer:
    """One or two update rules driven as one.

    Args:
        weights: the model's; made from the model where not given.
        native: AdamW by our kernel instead of PyTorch's.
        row_gradients: by weight's name, for ``native`` only.
        stacked_muon: Muon on stacks of matrices instead of PyTorch's.

    Attributes:
        parameters: the model's trainable weights by name; a tied weight appears once.
    """

    def __init__(
        self,
        model: Any,
        settings: TrainSettings,
        weights: Weights | None = None,
        *,
        native: bool = False,
        row_gradients: Mapping[str, RowGradient] | None = None,
        stacked_muon: bool = False,
    ) -> None:
        self.weights = weights or Weights(model)
        self.parameters: Named = self.weights.parameters
        self._native, self._rows = native, dict(row_gradients or {})
        self._stacked = stacked_muon
        self._parts = list(self._build(model, settings))

    def add_up(self) -> None:
        """After the backward pass of one of several micro-batches."""
        self.weights.add_up()

    def norm(self) -> float:
        """Of the whole gradient, after the last micro-batch."""
        gradients = self.weights.gradients()
        for name, rows in self._rows.items():
            rows.collect(gradients.get(name))
        values = list(gradients.values())
        values += [rows.values for rows in self._rows.values() if rows.values is not None]
        if self._native:
            return math.sqrt(square_sum(values))
        return float(torch.nn.utils.get_total_norm(values))

    def step(self, lr: float, clip: float = 1.0) -> None:
        """Update the weights with learning rate ``lr`` and ``clip`` times their gradients."""
        for part in self._parts:
            part.step(lr, clip)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.weights.drop_gradients()
        for rows in self._rows.values():
            rows.clear()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Its whole state as ``{"weight's name:value's name": tensor}``; empty before a step."""
        return {
            f"{name}:{key}": value
            for part in self._parts
            for name, values in part.tensors().items()
            for key, value in values.items()
        }

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take back a state that ``tensors`` gave; an empty one starts anew."""
        found: dict[str, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            weight, _, key = name.rpartition(":")
            found.setdefault(weight, {})[key] = tensor.clone()
        for part in self._parts:
            part.restore(found)

    def _build(self, model: Any, settings: TrainSettings) -> Iterator[AdamW | Muon | _Torch]:
        named = self.weights.masters
        decayed = decays(model)
        if settings.optimizer == "sgd":
            yield _Torch(self.weights, _sgd, named, decayed, settings, 1.0)
            return
        share = 1.0
        if settings.optimizer == "muon":
            matrices = hidden_matrices(model)
            hidden = {name: weight for name, weight in named.items() if name in matrices}
            named = {name: weight for name, weight in named.items() if name not in hidden}
            share = REST_OF_MUON
            if settings.rest_learning_rate is not None and settings.learning_rate is not None:
                share = settings.rest_learning_rate / settings.learning_rate
            if hidden and self._stacked:
                yield Muon(self.weights, hidden, decayed, settings, MUON_MOMENTUM)
            elif hidden:
                yield _Torch(self.weights, _muon, hidden, decayed, settings, 1.0)
        if named and self._native:
            yield AdamW(self.weights, named, decayed, settings, share, self._rows)
        elif named:
            yield _Torch(self.weights, _adamw, named, decayed, settings, share)


class _Torch:
    """A PyTorch optimizer over the float32 weights."""

    def __init__(
        self,
        weights: Weights,
        make: Callable[[list[dict[str, Any]], TrainSettings], torch.optim.Optimizer],
        named: Mapping[str, torch.Tensor],
        decayed: set[str],
        settings: TrainSettings,
        times: float,
    ) -> None:
        self._weights, self._times = weights, times
        own = {name: weights.masters[name] for name in named}
        if not weights.narrowed:
            self._parameters = {name: weights.parameters[name] for name in own}
        else:
            self._parameters = {name: torch.nn.Parameter(master) for name, master in own.items()}
        self._names = {id(parameter): name for name, parameter in self._parameters.items()}
        self._optimizer = make(_groups(self._parameters, decayed, settings.weight_decay), settings)

    def step(self, lr: float, clip: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = lr * self._times
        gradients = self._weights.gradients()
        for name, parameter in self._parameters.items():
            gradient = gradients.get(name)
            parameter.grad = None if gradient is None else gradient.to(parameter.dtype)
        there = [p.grad for p in self._parameters.values() if p.grad is not None]
        if clip < 1 and there:
            torch._foreach_mul_(there, clip)
        self._optimizer.step()
        if self._weights.narrowed:
            for name, parameter in self._parameters.items():
                parameter.grad = None
                self._weights.parameters[name].data.copy_(parameter.detach())

    def tensors(self) -> dict[str, dict[str, torch.Tensor]]:
        return {self._names[id(p)]: dict(values) for p, values in self._optimizer.state.items()}

    def restore(self, found: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        state = self._optimizer.state_dict()
        members = [p for group in self._optimizer.param_groups for p in group["params"]]
        state["state"] = {
            index: dict(found[self._names[id(parameter)]])
            for index, parameter in enumerate(members)
            if self._names[id(parameter)] in found
        }
        self._optimizer.load_state_dict(state)


def clip_factor(norm: float, limit: float) -> float:
    """What the gradient is multiplied by so that its norm is at most ``limit`` (0: no limit)."""
    return min(1.0, limit / (norm + 1e-6)) if limit > 0 else 1.0


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


def _sgd(groups: list[dict[str, Any]], settings: TrainSettings) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=0.0, momentum=settings.beta1)


def _muon(groups: list[dict[str, Any]], settings: TrainSettings) -> torch.optim.Optimizer:
    return torch.optim.Muon(groups, lr=0.0, momentum=MUON_MOMENTUM)


def _adamw(groups: list[dict[str, Any]], settings: TrainSettings) -> torch.optim.Optimizer:
    """The fused kernel: one pass over memory instead of about ten."""
    options: dict[str, Any] = {
        "lr": 0.0, "betas": (settings.beta1, settings.beta2), "eps": settings.epsilon,
    }  # fmt: skip
    try:
        return torch.optim.AdamW(groups, fused=True, **options)
    except RuntimeError:  # the weights' device or number format has no fused kernel
        return torch.optim.AdamW(groups, **options)


def _groups(named: Named, decayed: set[str], weight_decay: float) -> list[dict[str, Any]]:
    with_decay = [weight for name, weight in named.items() if name in decayed]
    without = [weight for name, weight in named.items() if name not in decayed]
    groups = [
        {"params": with_decay, "weight_decay": weight_decay},
        {"params": without, "weight_decay": 0.0},
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
