"""Linear layer and cross-entropy in one, a chunk of positions at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK = {"cpu": 2**24, "cuda": 2**27}
"""Logits computed at one time, at most: small enough to spare memory, large enough for speed."""

SlopeInPlace = Callable[[Tensor, Tensor, float, float], Tensor | None]

_slope_in_place: ContextVar[SlopeInPlace | None] = ContextVar("slope_in_place", default=None)


@contextmanager
def slope_in_place(way: SlopeInPlace) -> Iterator[None]:
    """Inside, ``way(logits, wanted, scale, smoothing)`` may take over a chunk: it turns the linear
    layer's output into the derivative of the summed loss, and returns the loss; None: not it."""
    token = _slope_in_place.set(way)
    try:
        yield
    finally:
        _slope_in_place.reset(token)


@dataclass(frozen=True)
class Head:
    """An output head: ``cap * tanh(scale * (x @ weight.T + bias) / cap)``.

    Attributes:
        weight: shape (vocabulary, width).
        bias: shape (vocabulary,), or None.
        scale: factor of the logits (1: none).
        cap: soft cap of the logits (Gemma 2, arXiv:2408.00118); None: none.
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    def logits(self, states: Tensor, weight: Tensor) -> Tensor:
        """Float32 logits of states (positions, width); ``weight`` is ours in the states' dtype."""
        return self.finish(torch.mm(states, weight.T))

    def finish(self, product: Tensor) -> Tensor:
        """Float32 logits from the states' product with the weights."""
        logits = product.float()
        if self.bias is not None:
            logits += self.bias.float()
        if self.scale != 1.0:
            logits *= self.scale
        if self.cap is not None:
            logits = logits.div_(self.cap).tanh_() * self.cap  # tanh's own slope needs its output
        return logits


def chunked_cross_entropy(
    states: Tensor, head: Head, wanted: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy in nats, summed: a float32 scalar.

    Args:
        states: shape (positions, width).
        wanted: int64, shape (positions,): the right token at each position.
        smoothing: label smoothing as in ``torch.nn.functional.cross_entropy``.
    """
    if not torch.is_grad_enabled():
        return cross_entropy_each(states, head, wanted, smoothing).sum()
    loss: Tensor = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        states, head.weight, head.bias, wanted, head.scale, head.cap, smoothing
    )
    return loss


def cross_entropy_each(
    states: Tensor, head: Head, wanted: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy in nats at every position: float32, shape (positions,).

    Where gradients are on, a chunk's logits are computed again in the backward pass, so that only
    one chunk of them is in memory at a time there too.
    """
    dtype = _dtype(states)
    losses = [torch.zeros(0, device=states.device)]
    with torch.autocast(states.device.type, enabled=False):
        weight = head.weight.to(dtype)
        for part in _parts(len(states), len(weight), states.device.type):
            given = (head, states[part].to(dtype), weight, wanted[part], smoothing)
            if torch.is_grad_enabled():
                found = checkpoint(_each, *given, use_reentrant=False, preserve_rng_state=False)
            else:
                found = _each(*given)
            losses.append(found)
    return torch.cat(losses)


def _each(head: Head, states: Tensor, weight: Tensor, wanted: Tensor, smoothing: float) -> Tensor:
    log_probabilities = head.logits(states, weight).log_softmax(-1)
    loss = -(1 - smoothing) * log_probabilities.gather(1, wanted[:, None])[:, 0]
    if smoothing:
        loss = loss - smoothing * log_probabilities.mean(-1)
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The gradients are taken in the forward pass, chunk by chunk, and kept for the backward."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        wanted: Tensor,
        scale: float,
        cap: float | None,
        smoothing: float,
    ) -> Tensor:
        head = Head(weight, bias, scale, cap)
        needs_states, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        dtype, device = _dtype(states), states.device
        grad_states = torch.empty_like(states, dtype=dtype) if needs_states else None
        grad_weight: Tensor | None = None
        grad_bias = (
            torch.zeros_like(bias, dtype=torch.float32) if needs_bias and bias is not None else None
        )
        total = torch.zeros((), dtype=torch.float32, device=device)
        with torch.autocast(device.type, enabled=False):
            cast = weight.to(dtype)
            # Two chunks in bfloat16 need a float32 sum of the head's gradient and a product beside
            # it, six bytes for each number of the head; a chunk that is worked on in place has two
            # bytes a logit, so that three times the width in positions take no more.
            in_place = dtype == torch.bfloat16 and _slope_in_place.get() is not None
            least = 3 * weight.shape[1] if in_place else 64
            for part in _parts(len(states), len(weight), device.type, least):
                some = states[part].to(dtype)
                loss, slope = _loss_and_slope(some, cast, wanted[part], head, smoothing)
                total += loss
                if grad_bias is not None:
                    grad_bias += slope.sum(0, dtype=torch.float32)
                slope = slope.to(dtype)
                if grad_states is not None:
                    torch.mm(slope, cast, out=grad_states[part])
                if needs_weight:
                    grad_weight = _added(grad_weight, slope, some)
        ctx.save_for_backward(grad_states, grad_weight, grad_bias)
        ctx.dtypes = states.dtype, weight.dtype, bias.dtype if bias is not None else None
        ctx.spent = False
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.spent:
            raise RuntimeError("the loss was differentiated already; its gradients are used up")
        ctx.spent = True  # they are scaled where they lie: the head's may be the largest of all
        found = [
            None if g is None else g.mul_(grad).to(dtype)
            for g, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return (*found, None, None, None, None)


def _added(sum_so_far: Tensor | None, slope: Tensor, states: Tensor) -> Tensor:
    """The head's gradient with a chunk's part; float32 as soon as there are two to add up."""
    if sum_so_far is None:
        return slope.T @ states
    if states.dtype == torch.float32:
        return sum_so_far.addmm_(slope.T, states)
    return sum_so_far.float().add_(slope.T @ states)


def _loss_and_slope(
    states: Tensor, weight: Tensor, wanted: Tensor, head: Head, smoothing: float
) -> tuple[Tensor, Tensor]:
    """The chunk's summed loss, and its derivative by the linear layer's output."""
    product = torch.mm(states, weight.T)
    way = _slope_in_place.get()
    if way is not None and head.bias is None and head.cap is None:
        found = way(product, wanted, head.scale, smoothing)
        if found is not None:
            return found, product
    logits = head.finish(product)
    rows = torch.arange(len(wanted), device=wanted.device)
    slope = torch.log_softmax(logits, -1)
    loss = -(1 - smoothing) * slope[rows, wanted].sum()
    if smoothing:
        loss -= smoothing / logits.shape[1] * slope.sum()
    slope.exp_()
    if smoothing:
        slope -= smoothing / logits.shape[1]
    slope[rows, wanted] -= 1 - smoothing
    if head.cap is not None:
        slope *= logits.div_(head.cap).square_().neg_().add_(1)
    if head.scale != 1.0:
        slope *= head.scale
    return loss, slope


def _dtype(states: Tensor) -> torch.dtype:
    """What a linear layer would compute in here: autocast's type inside autocast."""
    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype


def _parts(positions: int, vocabulary: int, device: str, least: int = 64) -> list[slice]:
    """Slices of the positions, of near-equal size."""
    rows = max(least, CHUNK.get(device, CHUNK["cuda"]) // vocabulary)
    count = -(-positions // rows)
    size = -(-positions // count) if count else 0
    return [slice(start, min(start + size, positions)) for start in range(0, positions, size or 1)]
