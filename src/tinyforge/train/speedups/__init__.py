"""What makes a step fast on a processor: one small module each, and one place that chooses.

Each is equal to the plain computation within the rounding of its number format
(``tests/invariants/test_speedups_agree.py``), is used wherever it can be without anybody asking,
is named in the run's record, and can be left out by ``train.without_speedups``.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

import torch
from torch import nn

from tinyforge.config.train import SpeedupName, TrainSettings
from tinyforge.tasks import chunked
from tinyforge.train.precision import Precision
from tinyforge.train.speedups import attention, cross_entropy, first_token, native
from tinyforge.train.speedups.dropout import Dropout
from tinyforge.train.speedups.embedding import Embedding, RowGradient, can_replace
from tinyforge.train.speedups.gated import gate_of, gated_class
from tinyforge.train.speedups.norms import rms_class, rms_shift
from tinyforge.train.weights import Weights

log = logging.getLogger("tinyforge")

Swap = Callable[[nn.Module], type[nn.Module] | None]


class Speedups:
    """Those in use for one training.

    Attributes:
        names: of the speed-ups in use.
        row_gradients: embedding matrix's name to the gradient of its rows.
    """

    def __init__(self) -> None:
        self.names: list[SpeedupName] = []
        self.row_gradients: dict[str, RowGradient] = {}

    @property
    def native_adamw(self) -> bool:
        """Whether AdamW is our kernel."""
        return "adamw" in self.names

    @property
    def stacked_muon(self) -> bool:
        """Whether Muon works on stacks of matrices."""
        return "muon" in self.names


@contextlib.contextmanager
def fast(
    model: nn.Module, weights: Weights, settings: TrainSettings, precision: Precision
) -> Iterator[Speedups]:
    """Inside, the model computes the same faster; afterwards it is as it was, in float32.

    All but those in ``PLAIN_PYTORCH`` need our kernels (``native``).
    """
    chosen = Speedups()
    wanted = _wanted(settings, precision, weights)
    with contextlib.ExitStack() as undo:
        undo.callback(weights.widen)
        for name, enter in TABLE.items():
            if name in wanted and enter(model, weights, settings, chosen, undo):
                chosen.names.append(name)
        if _on_processor(weights, precision) and native.why_not():
            log.info(f"training runs without our kernels: {native.why_not()}")
        yield chosen


def _wanted(settings: TrainSettings, precision: Precision, weights: Weights) -> set[SpeedupName]:
    """What may be used here: on a processor, with weights in a format that the kernels know."""
    left_out = set(settings.without_speedups)
    if not _on_processor(weights, precision) or "all" in left_out:
        return set()
    names = set(TABLE) - left_out
    if precision.name != "bfloat16":
        names.discard("bfloat16-weights")
    if native.library() is None:
        names &= PLAIN_PYTORCH
    return names


def _on_processor(weights: Weights, precision: Precision) -> bool:
    kinds = {parameter.dtype for parameter in weights.parameters.values()}
    return precision.device == "cpu" and kinds == {torch.float32}


def _bfloat16_weights(
    _model: nn.Module, weights: Weights, _s: TrainSettings, _c: Speedups, _u: contextlib.ExitStack
) -> bool:
    weights.narrow()
    return True


def _attention(
    model: nn.Module, _w: Weights, _s: TrainSettings, _c: Speedups, undo: contextlib.ExitStack
) -> bool:
    configs = {id(c): c for m in model.modules() if (c := getattr(m, "config", None)) is not None}
    found = [c for c in configs.values() if getattr(c, "_attn_implementation", None) == "sdpa"]
    if found:
        attention.register()
    for config in found:
        config._attn_implementation = attention.NAME
        undo.callback(setattr, config, "_attn_implementation", "sdpa")
    return bool(found)


def _embedding(
    model: nn.Module, weights: Weights, settings: TrainSettings, chosen: Speedups,
    undo: contextlib.ExitStack,
) -> bool:  # fmt: skip
    if settings.optimizer == "sgd" or "adamw" not in chosen.names:
        return False  # momentum moves rows that a batch does not use; other rules want matrices
    names = {id(parameter): name for name, parameter in weights.parameters.items()}
    for module in model.modules():
        name = names.get(id(getattr(module, "weight", None)))
        if name is not None and can_replace(module):
            _change(module, Embedding, undo)
            gradient = chosen.row_gradients.setdefault(name, RowGradient())
            setattr(module, "row_gradient", gradient)  # noqa: B010 - not a tensor of the module
            undo.callback(delattr, module, "row_gradient")
    return bool(chosen.row_gradients)


def _adamw(
    _model: nn.Module, _w: Weights, settings: TrainSettings, _c: Speedups, _u: contextlib.ExitStack
) -> bool:
    return settings.optimizer in ("adamw", "muon")


def _muon(
    _model: nn.Module, _w: Weights, settings: TrainSettings, _c: Speedups, _u: contextlib.ExitStack
) -> bool:
    return settings.optimizer == "muon"


def _cross_entropy(
    _model: nn.Module, _w: Weights, _s: TrainSettings, _c: Speedups, undo: contextlib.ExitStack
) -> bool:
    undo.enter_context(chunked.slope_in_place(cross_entropy.slope_in_place))
    return True


def _swapping(swap: Swap) -> Callable[..., bool]:
    """A speed-up that gives modules another class."""

    def enter(
        model: nn.Module, _w: Weights, _s: TrainSettings, _c: Speedups, undo: contextlib.ExitStack
    ) -> bool:
        changed = False
        for module in model.modules():
            kind = swap(module)
            if kind is not None:
                _change(module, kind, undo)
                changed = True
        return changed

    return enter


def _change(module: nn.Module, kind: type[nn.Module], undo: contextlib.ExitStack) -> None:
    undo.callback(setattr, module, "__class__", type(module))
    module.__class__ = kind


def _first_token(
    model: nn.Module, _w: Weights, settings: TrainSettings, _c: Speedups, undo: contextlib.ExitStack
) -> bool:
    found = first_token.last_layer(model)
    if found is None or settings.gradient_checkpointing:
        return False
    layer, first = found
    kind = first_token.layer_class(type(layer), first)
    if not first_token.agrees(model, layer, kind):
        return False
    _change(layer, kind, undo)
    return True


def _dropout(module: nn.Module) -> type[nn.Module] | None:
    return Dropout if type(module) is nn.Dropout else None


def _rms_norm(module: nn.Module) -> type[nn.Module] | None:
    found = rms_shift(module)
    return None if found is None else rms_class(type(module), *found)


def _gated(module: nn.Module) -> type[nn.Module] | None:
    act = gate_of(module)
    return None if act is None else gated_class(type(module), act)


# Modules are recognised by what they compute in float32, so bfloat16 comes after that.
TABLE: dict[SpeedupName, Callable[..., bool]] = {
    "first-token": _first_token,
    "dropout": _swapping(_dropout),
    "rms-norm": _swapping(_rms_norm),
    "gated": _swapping(_gated),
    "adamw": _adamw,
    "muon": _muon,
    "embedding": _embedding,
    "attention": _attention,
    "cross-entropy": _cross_entropy,
    "bfloat16-weights": _bfloat16_weights,
}

PLAIN_PYTORCH: set[SpeedupName] = {"bfloat16-weights", "muon"}
"""Those that need no compiled kernel."""
