"""RMS norms are recognised by what they compute, and computed right."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from speedup_checks import (
    DTYPES,
    distance,
    leaves,
    needs_kernels,
    random,
    same_bits,
    slopes,
    threads,
)
from torch import Tensor, nn
from transformers.models.cohere.modeling_cohere import CohereLayerNorm
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm

from tinyforge.train.speedups import _rms_norm
from tinyforge.train.speedups.norms import normed, rms_shift

pytestmark = needs_kernels

NORMS = [
    (lambda width: T5LayerNorm(width, eps=1e-6), 1e-6, 0.0),
    (lambda width: LlamaRMSNorm(width, eps=1e-5), 1e-5, 0.0),
    (lambda width: Qwen3RMSNorm(width, eps=1e-6), 1e-6, 0.0),
    (lambda width: Gemma2RMSNorm(width, eps=1e-6), 1e-6, 1.0),
    (lambda width: Gemma3RMSNorm(width, eps=1e-2), 1e-2, 1.0),
    (lambda width: nn.RMSNorm(width, eps=1e-3), 1e-3, 0.0),
]
KINDS = pytest.mark.parametrize(
    ("make", "eps", "shift"), NORMS, ids=["t5", "llama", "qwen3", "gemma2", "gemma3", "torch"]
)


def learnt(module: Any) -> Any:
    """With weights as training leaves them, not all one or zero."""
    with torch.no_grad():
        module.weight.add_(0.3 * random(*module.weight.shape, seed=5))
    return module


@KINDS
def test_recognised(make: Any, eps: float, shift: float) -> None:
    assert rms_shift(make(40)) == (eps, shift)
    assert rms_shift(learnt(make(40))) == (eps, shift)


class Centred(T5LayerNorm):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return super().forward(hidden_states - hidden_states.mean(-1, keepdim=True))


class Doubled(LlamaRMSNorm):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return 2 * super().forward(hidden_states)


class Squared(LlamaRMSNorm):
    """At its start, and only then, it computes what a plain one does."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.weight * super().forward(hidden_states)


class OtherEps(LlamaRMSNorm):
    """Says one epsilon and uses another."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        mean = hidden_states.square().mean(-1, keepdim=True)
        return self.weight * hidden_states * torch.rsqrt(mean + 0.1)


class Gated(LlamaRMSNorm):
    def forward(self, hidden_states: Tensor, gate: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(hidden_states * gate)


class WithBias(LlamaRMSNorm):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.bias = nn.Parameter(torch.zeros(width))


@pytest.mark.parametrize(
    "module",
    [nn.LayerNorm(40), nn.LayerNorm(40, bias=False), nn.Linear(40, 40), nn.BatchNorm1d(40),
     nn.RMSNorm(40, elementwise_affine=False), nn.RMSNorm(40), nn.PReLU(40), nn.Embedding(40, 40),
     CohereLayerNorm(40), Centred(40), Doubled(40), Squared(40), OtherEps(40), Gated(40),
     WithBias(40), nn.GroupNorm(4, 40), nn.Identity()],
    ids=lambda module: type(module).__name__,
)  # fmt: skip
def test_impostors_are_left_alone(module: nn.Module) -> None:
    assert rms_shift(module) is None
    assert _rms_norm(module) is None


@KINDS
def test_looking_changes_nothing(make: Any, eps: float, shift: float) -> None:
    module = learnt(make(40))
    weight, before = module.weight, module.weight.detach().clone()
    state = torch.get_rng_state()
    rms_shift(module)
    assert module.weight is weight
    assert torch.equal(weight, before)
    assert torch.equal(torch.get_rng_state(), state)


@KINDS
@DTYPES
@pytest.mark.parametrize("width", [1, 16, 40, 130])
def test_values_and_gradients(
    make: Any, eps: float, shift: float, dtype: torch.dtype, width: int
) -> None:
    """float32: 2e-6 of the largest; bfloat16: 1e-2, two roundings, against float32."""
    module = learnt(make(width))
    kind = _rms_norm(module)
    assert kind is not None
    module = module.to(dtype)
    x, along = random(3, 7, width, dtype=dtype), random(3, 7, width, seed=1, dtype=dtype)
    [ours_in] = leaves(x)
    theirs_in, weight = leaves(x, module.weight, dtype=torch.float64)
    theirs = nn.functional.rms_norm(theirs_in, (width,), weight + shift, eps)
    expected = slopes(theirs, along, [theirs_in, weight])
    module.__class__ = kind
    ours = module(ours_in)
    assert ours.dtype == dtype
    found = slopes(ours, along, [ours_in, module.weight])
    close = 2e-6 if dtype == torch.float32 else 1e-2
    assert distance(ours, theirs) < close
    # A width of one has a slope of nearly nothing, left over from a subtraction.
    if width > 1:
        assert distance(found[0], expected[0]) < close
    assert distance(found[1], expected[1]) < close


@KINDS
def test_many_rows_and_the_modules_own_result(make: Any, eps: float, shift: float) -> None:
    """The weight's gradient adds up more rows than there are groups; 1e-5 of the largest."""
    module, x, along = learnt(make(48)), random(50, 21, 48), random(50, 21, 48, seed=1)
    [x] = leaves(x)
    expected = slopes(theirs := module(x), along, [x, module.weight])
    module.__class__ = _rms_norm(module)
    found = slopes(ours := module(x), along, [x, module.weight])
    assert distance(ours, theirs) < 1e-5
    assert all(distance(a, b) < 1e-5 for a, b in zip(found, expected, strict=True))


def test_large_and_small_numbers() -> None:
    for scale in (1e-12, 1e-3, 1e3, 1e15):
        x = random(4, 32) * scale
        expected = nn.functional.rms_norm(x.double(), (32,), torch.ones(32).double(), 1e-6)
        assert distance(normed(x, torch.ones(32), 1e-6, 0.0), expected) < 2e-6


def test_what_is_not_a_number_stays_so() -> None:
    x = random(4, 32)
    x[1, 3] = float("nan")
    found = normed(x, torch.ones(32), 1e-6, 0.0)
    assert bool(found[1].isnan().all())
    assert bool(found[[0, 2, 3]].isfinite().all())


def test_a_frozen_weight_has_no_gradient() -> None:
    x, weight = random(4, 32).requires_grad_(), torch.ones(32)
    normed(x, weight, 1e-6, 0.0).sum().backward()
    assert weight.grad is None
    assert x.grad is not None


def test_mixed_formats_are_left_to_the_module() -> None:
    """As under autocast, where products are bfloat16 and weights float32."""
    module = learnt(T5LayerNorm(40))
    x = random(3, 40, dtype=torch.bfloat16)
    expected = module(x)
    module.__class__ = _rms_norm(module)
    assert torch.equal(module(x), expected)


def test_a_view_that_is_not_contiguous() -> None:
    x = random(40, 6).T
    weight = torch.ones(40)
    assert torch.equal(normed(x, weight, 1e-6, 0.0), normed(x.contiguous(), weight, 1e-6, 0.0))


def test_any_number_of_threads() -> None:
    found = []
    for count in (1, 2):
        x, weight = leaves(random(999, 48), random(48, seed=2))
        with threads(count):
            out = normed(x, weight, 1e-6, 0.0)
            found.append((out, *slopes(out, random(999, 48, seed=1), [x, weight])))
    assert same_bits(*found)
