"""Number formats: which one the matrix products use, and why.

Weights, gradients and the optimizer's state are float32 throughout; bfloat16 and float16 are
applied by PyTorch's autocast to the products only, so that small updates are never rounded away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from tinyforge.config.train import TrainSettings
from tinyforge.errors import SettingError

SMALL_MODEL = 1_000_000
"""Below this many weights the casts cost more than the products gain."""


@dataclass(frozen=True)
class Precision:
    """The format chosen.

    Attributes:
        name: ``float32``, ``bfloat16`` or ``float16``.
        reason: why, in a few words.
        device: ``cpu`` or ``cuda``.
    """

    name: str
    reason: str
    device: str

    def forward(self) -> AbstractContextManager[Any]:
        """A context in which a forward pass uses the format."""
        if self.name == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device, dtype=getattr(torch, self.name))


class LossScale:
    """Keeps float16 gradients out of the range where they vanish (Micikevicius et al. 2018).

    The loss is multiplied by ``scale`` and the gradients are divided by it. Where they overflow,
    the scale is halved and the same step is done again; after 2,000 good steps it is doubled.
    With the other formats it is 1 and does nothing.
    """

    LOWEST, FIRST, HIGHEST, PATIENCE = 1.0, 2.0**15, 2.0**24, 2_000

    def __init__(self, precision: Precision) -> None:
        self.active = precision.name == "float16"
        self.scale = self.FIRST if self.active else 1.0
        self.good = 0

    def unscale(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Divide the gradients by the scale."""
        if self.active:
            gradients = [p.grad for p in parameters if p.grad is not None]
            torch._foreach_div_(gradients, self.scale)

    def overflowed(self) -> bool:
        """Lower the scale after an overflow; False where it cannot go lower."""
        if not self.active or self.scale <= self.LOWEST:
            return False
        self.scale, self.good = self.scale / 2, 0
        return True

    def went_well(self) -> None:
        """Count a step without overflow."""
        self.good += 1
        if self.active and self.good >= self.PATIENCE:
            self.scale, self.good = min(self.scale * 2, self.HIGHEST), 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"scale": self.scale, "good": self.good}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.scale, self.good = float(state["scale"]), int(state["good"])


def choose_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_precision(settings: TrainSettings, model: Any) -> Precision:
    """The format for training ``model`` where it lies now.

    Raises:
        SettingError: float16 on a CPU or for a T5 model.
    """
    device = str(next(model.parameters()).device.type)
    asked = settings.precision
    if asked == "float16":
        _check_float16(model, device)
    if asked != "auto":
        return Precision(asked, "you asked for it", device)
    size = sum(parameter.numel() for parameter in model.parameters())
    if size < SMALL_MODEL:
        return Precision("float32", f"a model of {size:,} weights gains nothing from less", device)
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision("bfloat16", "the GPU has bfloat16 units", device)
        return Precision("float32", "the GPU has no bfloat16 units", device)
    unit = bfloat16_unit()
    if unit is None:
        return Precision("float32", "the processor has no bfloat16 unit", device)
    return Precision("bfloat16", f"the processor has {unit}", device)


def forward_precision(settings: TrainSettings, model: Any) -> AbstractContextManager[Any]:
    """A context in which forward passes use the format that training uses."""
    return choose_precision(settings, model).forward()


def bfloat16_unit() -> str | None:
    """The processor's unit for bfloat16 products; None where there is none, or it is unknown."""
    for name, unit in (
        ("_is_amx_tile_supported", "AMX"),
        ("_is_avx512_bf16_supported", "AVX-512 BF16"),
    ):
        supported = getattr(torch.cpu, name, None)
        if supported is not None and supported():
            return unit
    return None


def _check_float16(model: Any, device: str) -> None:
    kind = str(getattr(getattr(model, "config", None), "model_type", ""))
    if kind.endswith("t5"):
        raise SettingError(
            "T5's activations overflow in float16", where="train.precision", value="float16",
            fix="Use bfloat16 or float32",
        )  # fmt: skip
    if device != "cuda":
        raise SettingError(
            "float16 is for GPUs; a processor has no units for it", where="train.precision",
            value="float16", fix="Use auto, bfloat16 or float32",
        )  # fmt: skip
