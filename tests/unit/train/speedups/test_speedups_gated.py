"""Gated feed-forward layers are recognised, and computed right in one pass."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers
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
from transformers.models.gemma2.modeling_gemma2 import Gemma2MLP
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP
from transformers.models.llama.modeling_llama import LlamaMLP
from transformers.models.phi3.modeling_phi3 import Phi3MLP

from tinyforge.train.speedups import _gated
from tinyforge.train.speedups.gated import PLAIN, gate_of, gated

pytestmark = needs_kernels

ACTS = pytest.mark.parametrize("act", PLAIN)


def llama(**more: Any) -> Any:
    return transformers.LlamaConfig(
        hidden_size=24, intermediate_size=40, num_attention_heads=2, **more
    )


def gemma(act: str) -> Any:
    return transformers.Gemma2Config(
        hidden_size=24, intermediate_size=40, hidden_activation=act, num_attention_heads=2
    )


@pytest.mark.parametrize(
    ("module", "act"),
    [(LlamaMLP(llama()), "silu"), (LlamaMLP(llama(mlp_bias=True)), "silu"),
     (LlamaMLP(llama(hidden_act="gelu")), "gelu"),
     (LlamaMLP(llama(hidden_act="gelu_pytorch_tanh")), "gelu_tanh"),
     (Gemma2MLP(gemma("gelu_pytorch_tanh")), "gelu_tanh")],
    ids=["llama", "llama with bias", "gelu", "gelu_tanh", "gemma2"],
)  # fmt: skip
def test_recognised_and_equal(module: nn.Module, act: str) -> None:
    """float32: 1e-5 of the largest value and gradient."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    plain = copy.deepcopy(module)
    assert gate_of(module) == act
    kind = _gated(module)
    assert kind is not None
    module.__class__ = kind
    [x] = leaves(random(3, 5, 24))
    along = random(3, 5, 24, seed=1)
    expected = slopes(theirs := plain(x), along, [x, *plain.parameters()])
    found = slopes(ours := module(x), along, [x, *module.parameters()])
    assert distance(ours, theirs) < 1e-5
    assert all(distance(a, b) < 1e-5 for a, b in zip(found, expected, strict=True))


class Extra(LlamaMLP):
    def __init__(self) -> None:
        super().__init__(llama())
        self.norm = nn.LayerNorm(24)


class Added(LlamaMLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(x)) + self.up_proj(x))


class Scaled(LlamaMLP):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * super().forward(x)


class Learnt(LlamaMLP):
    """At its start, and only then, it computes what a plain one does."""

    def __init__(self) -> None:
        super().__init__(llama())
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * super().forward(x)


@pytest.mark.parametrize(
    "module",
    [LlamaMLP(llama(hidden_act="relu")), Extra(), Added(llama()), Scaled(llama()), Learnt(),
     Phi3MLP(transformers.Phi3Config(hidden_size=24, intermediate_size=40)),
     GPT2MLP(40, transformers.GPT2Config(n_embd=24)), nn.Linear(24, 24)],
    ids=["relu", "extra", "added", "scaled", "learnt", "phi3", "gpt2", "linear"],
)  # fmt: skip
def test_others_are_left_alone(module: nn.Module) -> None:
    assert gate_of(module) is None
    assert _gated(module) is None


@ACTS
@DTYPES
@pytest.mark.parametrize("count", [1, 15, 16, 33, 40_000])
def test_values_and_gradients(act: str, dtype: torch.dtype, count: int) -> None:
    """Against float64: float32 within 2e-6 of the largest, bfloat16 within 8e-3 (one rounding)."""
    x, other, along = (random(count, seed=seed, dtype=dtype) for seed in range(3))
    x = x * 3
    ours_in, theirs_in = leaves(x, other), leaves(x, other, dtype=torch.float64)
    theirs = PLAIN[act](theirs_in[0]) * theirs_in[1]
    ours = gated(*ours_in, act)
    assert ours.dtype == dtype
    close = 2e-6 if dtype == torch.float32 else 8e-3
    assert distance(ours, theirs) < close
    pairs = zip(slopes(ours, along, ours_in), slopes(theirs, along, theirs_in), strict=True)
    assert all(distance(a, b) < close for a, b in pairs)


@ACTS
def test_far_from_zero(act: str) -> None:
    values = torch.tensor(
        [0.0, -0.0, 1e-30, -1e-30, 5.0, -5.0, 12.0, -12.0, 90.0, -90.0, 1e4, -1e4]
    )
    [x] = leaves(values)
    [wide] = leaves(values, dtype=torch.float64)
    ours, theirs = gated(x, torch.ones(12), act), PLAIN[act](wide)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=1e-6)
    found, expected = (torch.autograd.grad(y.sum(), [i])[0] for y, i in ((ours, x), (theirs, wide)))
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=2e-6)


@ACTS
def test_what_is_not_a_number_stays_so(act: str) -> None:
    x = torch.tensor([1.0, float("nan"), 2.0])
    assert gated(x, torch.ones(3), act).isnan().tolist() == [False, True, False]


def test_mixed_formats_are_left_to_pytorch() -> None:
    module = LlamaMLP(llama())
    expected = module.double()(random(2, 24, dtype=torch.float64))
    module.float().__class__ = _gated(module)
    module.double()
    torch.testing.assert_close(module(random(2, 24, dtype=torch.float64)), expected)


def test_any_number_of_threads() -> None:
    found = []
    for count in (1, 2):
        inputs = leaves(random(70_001), random(70_001, seed=1))
        with threads(count):
            out = gated(*inputs, "gelu")
            found.append((out, *slopes(out, random(70_001, seed=2), inputs)))
    assert same_bits(*found)
