"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) on all matrices of a shape at once.

PyTorch's own takes one matrix after the other, fifteen small products each; a model has a handful
of shapes, and products of a stack of matrices keep every core busy. The momentum, the coefficients
and the rate's factor are those of ``torch.optim.Muon``, and so are the names in the state. Without
a unit for bfloat16 the iteration is done in float32, which is faster there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from tinyforge.config.train import TrainSettings
from tinyforge.train.precision import bfloat16_unit
from tinyforge.train.weights import Weights

State = dict[str, torch.Tensor]

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
TINY = 1e-7


class Muon:
    """Updates the matrices named in ``names``.

    Args:
        decays: those of them that have weight decay.
        momentum: of the running mean of gradients (Nesterov's form).
    """

    def __init__(
        self, weights: Weights, names: Iterable[str], decays: set[str], settings: TrainSettings,
        momentum: float,
    ) -> None:  # fmt: skip
        self._weights, self.names, self._decays = weights, list(names), decays
        self._weight_decay, self._momentum = settings.weight_decay, momentum
        self._dtype = torch.bfloat16 if bfloat16_unit() is not None else torch.float32
        self.state: dict[str, State] = {}

    @torch.no_grad()
    def step(self, lr: float, clip: float) -> None:
        """Update every matrix that has a gradient, multiplied by ``clip``."""
        gradients = self._weights.gradients()
        by_shape: dict[torch.Size, list[str]] = {}
        for name in self.names:
            if name in gradients:
                by_shape.setdefault(gradients[name].shape, []).append(name)
        for shape, names in by_shape.items():
            directions = [self._direction(name, gradients[name], clip) for name in names]
            steps = orthogonal(torch.stack(directions).to(self._dtype))
            rate = lr * max(1.0, shape[0] / shape[1]) ** 0.5
            for name, step in zip(names, steps, strict=True):
                master = self._weights.masters[name]
                if name in self._decays and self._weight_decay:
                    master.mul_(1 - lr * self._weight_decay)
                master.add_(step, alpha=-rate)
                if self._weights.narrowed:
                    self._weights.parameters[name].data.copy_(master)

    def _direction(self, name: str, gradient: torch.Tensor, clip: float) -> torch.Tensor:
        """The gradient, with the momentum of those before."""
        gradient = gradient.float() * clip if clip < 1 else gradient.float()
        if name not in self.state:
            self.state[name] = {"momentum_buffer": torch.zeros_like(gradient)}
        mean = self.state[name]["momentum_buffer"]
        mean.lerp_(gradient, 1 - self._momentum)
        return gradient.lerp(mean, self._momentum)

    def tensors(self) -> dict[str, State]:
        """The state by the weight's name."""
        return self.state

    def restore(self, found: Mapping[str, State]) -> None:
        """Take a state back; what is not in it starts anew."""
        self.state = {name: dict(found[name]) for name in self.names if name in found}


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Near-orthogonal matrices (Newton-Schulz iteration) from a stack (count, rows, columns).

    Singular values end between about 0.7 and 1.2, which is near enough for training.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT.contiguous() if tall else matrices
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=TINY)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
