"""Cross-entropy of tokens, with logits only where there is something to learn.

A language model's output head is its most expensive matrix: vocabulary × width. Prompts, padding
and already known tokens carry no loss, so the head is fed the hidden states of the supervised
positions alone, a chunk at a time, and a chunk's gradient is taken while its logits are there:
memory does not grow with vocabulary × positions. The idea of a fused linear cross-entropy is that
of Cut Your Losses (Wijmans et al. 2024, arXiv:2411.09009) and Liger Kernel (Hsu et al. 2024,
arXiv:2410.10989).

There are three ways to the same number. ``fused`` is the one above; ``gathered`` lets the model's
own head work on the supervised positions (a head that is not a plain linear layer, or logits that
are changed in a way unknown here); ``plain`` takes the model's logits as they come and is the
reference. Which one is right for a model is tried out on the first batch, not guessed from names.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyforge.records.encoded import IGNORED
from tinyforge.tasks.chunked import Head, chunked_cross_entropy, cross_entropy_each

log = logging.getLogger("tinyforge")

Way = Literal["fused", "gathered", "plain"]
Inputs = dict[str, Tensor]

TRIAL = 64
"""Positions on which the ways are compared, at most."""

_ways: WeakKeyDictionary[Any, tuple[Way, type]] = WeakKeyDictionary()
"""Model to way, with the kind of head it was tried out on: adapters may be put around it later."""


def token_loss(
    model: Any, inputs: Inputs, targets: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy in nats, summed over the positions that have a target.

    Args:
        model: a Hugging Face model with a language-modelling head, or peft's wrapper of one.
        inputs: the model's inputs, without labels.
        targets: int64, shape (rows, positions): the token that each position of the head's input
            has to predict (so already shifted for a decoder), -100 where none.
        label_smoothing: share of the target spread evenly over the vocabulary (Szegedy et al.
            2016, arXiv:1512.00567), as in ``torch.nn.functional.cross_entropy``.

    Returns:
        A float32 scalar that can be differentiated.
    """
    way = way_of(model, inputs, targets)
    return WAYS[way](model, inputs, targets, label_smoothing)


@torch.no_grad()
def row_losses(model: Any, inputs: Inputs, targets: Tensor) -> Tensor:
    """Cross-entropy in nats summed over each row's targets: float32, shape (rows,)."""
    return learnt_row_losses(model, inputs, targets)


def learnt_row_losses(model: Any, inputs: Inputs, targets: Tensor) -> Tensor:
    """The same, to be differentiated: for losses that weigh rows by one another."""
    supervised = targets != IGNORED
    wanted = targets[supervised]
    way = way_of(model, inputs, targets)
    if way == "fused":
        head = find_head(model)
        assert head is not None  # it was there when the way was chosen
        each = cross_entropy_each(_states(model, inputs, supervised), _head(model, head), wanted)
    else:
        logits = _gathered_logits if way == "gathered" else _plain_logits
        each = _cross_entropy(logits(model, inputs, supervised), wanted, 0.0, "none")
    rows = supervised.nonzero()[:, 0]
    return torch.zeros(len(targets), device=each.device).index_add(0, rows, each)


def supervised_logits(model: Any, inputs: Inputs, targets: Tensor) -> Tensor:
    """The logits at the positions that have a target: shape (positions, vocabulary)."""
    plain = way_of(model, inputs, targets) == "plain"
    logits = _plain_logits if plain else _gathered_logits
    return logits(model, inputs, targets != IGNORED)


def way_of(model: Any, inputs: Inputs, targets: Tensor) -> Way:
    """Which way is used for this model; tried out on the first batch that has a target."""
    kind = type(find_head(model))
    known = _ways.get(model)
    if known is not None and known[1] is kind:
        return known[0]
    places = (targets != IGNORED).nonzero()
    if not len(places):
        return "plain"
    way = _choose(model, _trial(inputs, targets, *places[0].tolist()))
    _ways[model] = way, kind
    return way


def find_head(model: Any) -> nn.Module | None:
    """The module that turns hidden states into logits, None where the model names none."""
    try:
        head = model.get_output_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    return head if isinstance(head, nn.Module) else None


def call_model(model: Any, inputs: Inputs) -> Any:
    """One forward pass without a cache of keys and values, which training never reads."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return model(**inputs, use_cache=False) if _takes_cache(base.__class__) else model(**inputs)


@functools.cache
def _takes_cache(kind: Any) -> bool:
    return "use_cache" in inspect.signature(kind.forward).parameters


def _fused(model: Any, inputs: Inputs, targets: Tensor, smoothing: float) -> Tensor:
    supervised = targets != IGNORED
    module = find_head(model)
    assert module is not None  # it was there when the way was chosen
    hidden = _states(model, inputs, supervised)
    return chunked_cross_entropy(hidden, _head(model, module), targets[supervised], smoothing)


def _gathered(model: Any, inputs: Inputs, targets: Tensor, smoothing: float) -> Tensor:
    supervised = targets != IGNORED
    logits = _gathered_logits(model, inputs, supervised)
    return _cross_entropy(logits, targets[supervised], smoothing, "sum")


def _plain(model: Any, inputs: Inputs, targets: Tensor, smoothing: float) -> Tensor:
    supervised = targets != IGNORED
    logits = _plain_logits(model, inputs, supervised)
    return _cross_entropy(logits, targets[supervised], smoothing, "sum")


WAYS: dict[Way, Callable[[Any, Inputs, Tensor, float], Tensor]] = {
    "fused": _fused,
    "gathered": _gathered,
    "plain": _plain,
}


def _cross_entropy(logits: Tensor, wanted: Tensor, smoothing: float, reduction: str) -> Tensor:
    return functional.cross_entropy(
        logits.float(), wanted, reduction=reduction, label_smoothing=smoothing
    )


def _plain_logits(model: Any, inputs: Inputs, supervised: Tensor) -> Tensor:
    logits: Tensor = call_model(model, inputs).logits
    return logits[supervised]


def _gathered_logits(model: Any, inputs: Inputs, supervised: Tensor) -> Tensor:
    with _head_input(find_head(model), lambda states: states[supervised][None]):
        logits: Tensor = call_model(model, inputs).logits
    return logits[0]


def _states(model: Any, inputs: Inputs, supervised: Tensor) -> Tensor:
    """The head's input at the supervised positions: shape (positions, width).

    What the model does before its head (T5's scaling by d_model ** -0.5 where the embedding is
    tied, for one) has been done. The model's own head sees one position only, at hardly any cost.
    """
    caught: list[Tensor] = []

    def catch(states: Tensor) -> Tensor:
        caught.append(states[supervised])
        return states[:1, :1]

    with _head_input(find_head(model), catch):
        call_model(model, inputs)
    return caught[0]


@contextmanager
def _head_input(head: nn.Module | None, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, the head is given ``change(its input)``."""
    assert head is not None
    handle = head.register_forward_pre_hook(lambda _, args: (change(args[0]), *args[1:]))
    try:
        yield
    finally:
        handle.remove()


def _head(model: Any, module: nn.Module) -> Head:
    """The head as plain numbers, with what the model does to its logits afterwards."""
    config = model.config.get_text_config(decoder=True)
    scale = float(getattr(config, "logit_scale", None) or 1.0)  # Cohere
    scale *= float(getattr(config, "lm_head_multiplier", None) or 1.0)  # Falcon-H1
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)  # Granite
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma
    return Head(module.weight, module.bias, scale, cap)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Trial:
    """A little of a batch, on which the ways are compared."""

    inputs: Inputs
    targets: Tensor


def _trial(inputs: Inputs, targets: Tensor, row: int, place: int) -> _Trial:
    """A stretch of a batch around one position that has a target."""
    start = max(0, place - TRIAL // 2)
    here, around = slice(row, row + 1), slice(start, start + TRIAL)
    two = "decoder_input_ids" in inputs

    def part(name: str, value: Tensor) -> Tensor:
        of_encoder = two and not name.startswith("decoder")
        return value[here, :TRIAL] if of_encoder else value[here, around]

    parts = {name: part(name, value) for name, value in inputs.items()}
    return _Trial(parts, targets[here, around])


def _choose(model: Any, trial: _Trial) -> Way:
    """The fastest way that agrees with the plain one."""
    head = find_head(model)
    if head is None:
        log.info("the model names no output head, so its logits are computed at every position")
        return "plain"
    exact = torch.autocast(trial.targets.device.type, enabled=False)
    with evaluating(model), torch.no_grad(), exact:
        if type(head) is nn.Linear and _agrees("fused", model, trial) and _same(model, head, trial):
            return "fused"
        if _agrees("gathered", model, trial):
            log.info("the model's output head is its own, so it computes the logits itself")
            return "gathered"
    log.info("the model's output head is unlike others, so logits are computed at every position")
    return "plain"


def _agrees(way: Way, model: Any, trial: _Trial) -> bool:
    reference = _plain(model, trial.inputs, trial.targets, 0.0)
    try:
        ours = WAYS[way](model, trial.inputs, trial.targets, 0.0)
    except (RuntimeError, IndexError, TypeError, AttributeError, ValueError) as error:
        log.debug(f"the loss cannot be computed the {way} way: {error}")
        return False
    return bool(torch.isclose(ours, reference, rtol=_tolerance(model), atol=1e-5))


def _same(model: Any, head: nn.Linear, trial: _Trial) -> bool:
    """Whether we know what the model does to large logits, where capping would show."""
    weight = head.weight
    width, rows = int(weight.shape[1]), 8
    waves = torch.sin(torch.arange(rows * width, device=weight.device).float() ** 1.1)
    states = waves.view(rows, width)
    strength = (states @ weight.float().T).std().clamp(min=1e-6)
    states = (states * (50.0 / strength)).to(weight.dtype)
    with _head_input(head, lambda _: states[None]):
        theirs = call_model(model, trial.inputs).logits[0].float()
    ours = _head(model, head).logits(states, weight.to(states.dtype))
    return bool(torch.allclose(ours, theirs, rtol=_tolerance(model), atol=_tolerance(model) * 50))


def _tolerance(model: Any) -> float:
    return 1e-4 if next(model.parameters()).dtype == torch.float32 else 3e-2


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Dropout off inside; afterwards every module is in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
