"""What training changes in a model, and what it does not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tinyforge.errors import FolderError

Tensors = dict[str, torch.Tensor]


class Weights:
    """A model's weights while it learns.

    The numbers that learn are float32 (``masters``). Where the products are in bfloat16, the
    model holds bfloat16 copies of them, written anew by each update, so that no step converts a
    weight twice and no small update is rounded away (Micikevicius et al. 2018,
    arXiv:1710.03740); gradients are bfloat16 too, and are added up in float32 where a batch is
    cut into several.

    Attributes:
        parameters: the model's own, those that learn, by name; a tied weight appears once.
        masters: the same names; the parameters' own numbers unless ``narrow`` was called.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.parameters: dict[str, torch.nn.Parameter] = {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        self.masters: Tensors = {name: p.detach() for name, p in self.parameters.items()}
        self._wide: list[tuple[torch.nn.Parameter, torch.Tensor]] = []
        saved = model.state_dict().keys()
        self._buffers = [name for name, _ in model.named_buffers() if name in saved]
        self._sums: Tensors = {}

    @property
    def narrowed(self) -> bool:
        """Whether the model holds bfloat16 copies."""
        return bool(self._wide)

    def narrow(self) -> None:
        """Put bfloat16 copies of all float32 weights into the model; buffers stay as they are."""
        for parameter in self._model.parameters():
            if parameter.dtype == torch.float32:
                self._wide.append((parameter, parameter.data))
                parameter.data = parameter.data.to(torch.bfloat16)

    def widen(self) -> None:
        """Put the float32 weights back into the model."""
        self.drop_gradients()
        for parameter, wide in self._wide:
            parameter.data = wide
        self._wide.clear()

    def copy_to_model(self) -> None:
        """Make the model's copies from the masters anew."""
        if self.narrowed:
            for name, parameter in self.parameters.items():
                parameter.data.copy_(self.masters[name])

    def add_up(self) -> None:
        """Move the gradients of one of several micro-batches into float32 sums."""
        if not self.narrowed:
            return
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                if name in self._sums:
                    self._sums[name] += parameter.grad
                else:
                    self._sums[name] = parameter.grad.float()
                parameter.grad = None

    def gradients(self) -> Tensors:
        """The gradient of each weight that has one."""
        own = {name: p.grad for name, p in self.parameters.items() if p.grad is not None}
        return own | self._sums

    def drop_gradients(self) -> None:
        """Forget them, and free their memory."""
        self._sums.clear()
        for parameter in self.parameters.values():
            parameter.grad = None

    def learnt(self) -> Tensors:
        """What training changes: ``masters``, and buffers that are saved with a model.

        Frozen weights are left out (with adapters they are nearly all, and come back from where
        the model came from).
        """
        return self.masters | self.buffers()

    def buffers(self) -> Tensors:
        """The buffers that are saved with the model; a forward pass may change them."""
        return {name: self._model.get_buffer(name) for name in self._buffers}

    def restore(self, tensors: Mapping[str, torch.Tensor], where: Path | None = None) -> None:
        """Put what ``learnt`` gave back.

        Raises:
            FolderError: names or shapes are not this model's.
        """
        own = self.learnt()
        shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
        given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if shapes != given:
            odd = sorted(set(shapes.items()) ^ set(given.items()))
            raise FolderError(
                "the checkpoint is of another model", where=str(where),
                value=f"{odd[0][0]} of shape {odd[0][1]}",
                fix="Give the same model and settings, or start anew with --force",
            )  # fmt: skip
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])
        self.copy_to_model()


def fingerprint_of_frozen(model: Any) -> str:
    """SHA-256 over the weights that do not learn, which checkpoints leave out."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            digest.update(name.encode())
            flat = parameter.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
