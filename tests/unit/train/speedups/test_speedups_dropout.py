"""Dropout by a hash: the right share, the same mask again, and its own gradient."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from speedup_checks import DTYPES, needs_kernels, random, threads
from torch.utils.checkpoint import checkpoint

from tinyforge.train.speedups.dropout import STEPS, Dropout, cut_of, draw_seed, masked

pytestmark = needs_kernels

COUNT = 200_003  # no multiple of 16, and more than one block of a thread


def mask(rate: float, seed: int, count: int = COUNT) -> torch.Tensor:
    return masked(torch.ones(count), *cut_of(rate), seed)


def within(share: float, rate: float, count: int) -> bool:
    """Five standard deviations of a binomial: wrong once in two million draws."""
    return abs(share - rate) <= 5 * math.sqrt(rate * (1 - rate) / count)


@DTYPES
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_the_rate_and_the_scale(rate: float, dtype: torch.dtype) -> None:
    for seed in (1, 2**40, 2**61 + 12345):
        cut, scale = cut_of(rate)
        found = masked(torch.ones(COUNT, dtype=dtype), cut, scale, seed)
        assert within(float((found == 0).float().mean()), cut / STEPS, COUNT)
        kept = found[found != 0].unique()
        assert kept.tolist() == [torch.tensor(scale, dtype=dtype).item()]


@given(st.floats(0, 1))
def test_the_expectation_is_exact(rate: float) -> None:
    cut, scale = cut_of(rate)
    assert abs(cut / STEPS - rate) <= 0.5 / STEPS
    assert scale * (1 - cut / STEPS) == pytest.approx(float(cut < STEPS))


def test_the_mean_over_many_seeds_is_the_input() -> None:
    x = random(64)
    mean = torch.stack([masked(x, *cut_of(0.25), seed) for seed in range(4_000)]).mean(0)
    deviation = x.abs() * math.sqrt(0.25 / 0.75 / 4_000)
    assert bool(((mean - x).abs() <= 5 * deviation).all())


def test_one_seed_one_mask() -> None:
    assert torch.equal(mask(0.5, 7), mask(0.5, 7))
    # A mask is a matter of place: it is the same for a shorter tensor, and for bfloat16.
    assert torch.equal(mask(0.5, 7)[:1000], mask(0.5, 7, 1000))
    narrow = masked(torch.ones(COUNT, dtype=torch.bfloat16), *cut_of(0.5), 7)
    assert torch.equal(mask(0.5, 7), narrow.float())


def test_other_seeds_have_nothing_in_common() -> None:
    """Seeds as they are drawn, neighbours, and such as differ in one bit of either half."""
    torch.manual_seed(0)
    drawn = [draw_seed() for _ in range(20)]
    bits = [(5, 5 ^ (1 << bit)) for bit in range(62)]
    for one, other in [*itertools.pairwise([*drawn, *range(5)]), *bits]:
        agree = float((mask(0.5, one) == mask(0.5, other)).float().mean())
        assert within(agree, 0.5, COUNT), (one, other)


def test_neighbours_and_bits_far_apart_have_nothing_in_common() -> None:
    kept = mask(0.5, 11) != 0
    for apart in (1, 2, 15, 16, 17, 32, 128, 512, 768, 1024, 16384, 65536):
        agree = float((kept[apart:] == kept[:-apart]).float().mean())
        assert within(agree, 0.5, COUNT - apart), apart


@DTYPES
def test_the_gradient_has_the_same_mask(dtype: torch.dtype) -> None:
    layer = Dropout(0.3)
    x = random(37, 53, dtype=dtype).requires_grad_()
    torch.manual_seed(0)
    out = layer(x)
    scale = torch.where(out == 0, 0.0, cut_of(0.3)[1]).to(dtype)
    torch.testing.assert_close(
        out, x * scale, rtol=8e-3 if dtype == torch.bfloat16 else 1e-6, atol=0
    )
    along = random(37, 53, seed=1, dtype=dtype)
    [grad] = torch.autograd.grad(out, [x], along)
    assert torch.equal(grad == 0, scale == 0)
    torch.manual_seed(0)
    assert torch.equal(layer(along), grad)


def test_seeds_come_from_pytorchs_generator() -> None:
    layer, x = Dropout(0.5), torch.ones(1000)
    torch.manual_seed(3)
    first, second = layer(x), layer(x)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)
    assert torch.equal(layer(x), second)
    assert len({draw_seed() for _ in range(100)}) == 100


def test_where_nothing_is_dropped() -> None:
    x = random(100)
    before = torch.get_rng_state()
    assert Dropout(0.0)(x) is x
    assert Dropout(0.5).eval()(x) is x
    assert torch.equal(torch.get_rng_state(), before)


@DTYPES
def test_where_everything_is_dropped(dtype: torch.dtype) -> None:
    x = random(100, dtype=dtype).requires_grad_()
    out = Dropout(1.0)(x)
    [grad] = torch.autograd.grad(out.sum(), [x])
    assert not out.any()
    assert not grad.any()


def test_other_numbers_and_in_place_are_left_to_pytorch() -> None:
    wide = torch.ones(1000, dtype=torch.float64)
    torch.manual_seed(0)
    found = Dropout(0.5)(wide)
    torch.manual_seed(0)
    assert torch.equal(found, torch.nn.functional.dropout(wide, 0.5))
    x = torch.ones(1000)
    assert Dropout(0.5, inplace=True)(x) is x
    assert 0 < int((x == 0).sum()) < 1000


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_draws_the_same_again(reentrant: bool) -> None:
    layer, linear = Dropout(0.5), torch.nn.Linear(32, 32)
    grads = []
    for checkpointed in (False, True):
        x = random(8, 32).requires_grad_()
        torch.manual_seed(5)

        def block(x: torch.Tensor) -> torch.Tensor:
            return layer(linear(layer(x))).square()

        out = checkpoint(block, x, use_reentrant=reentrant) if checkpointed else block(x)
        grads.append(torch.autograd.grad(out.sum(), [x]) if not reentrant else _backward(out, x))
    assert torch.equal(grads[0][0], grads[1][0])


def _backward(out: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor]:
    out.sum().backward()
    assert x.grad is not None
    return (x.grad,)


def test_views_and_odd_shapes() -> None:
    x = random(20, 30).T
    assert torch.equal(masked(x, *cut_of(0.5), 1), masked(x.contiguous(), *cut_of(0.5), 1))
    for count in (0, 1, 15, 16, 17):
        assert masked(torch.ones(count), *cut_of(0.5), 1).shape == (count,)


def test_any_number_of_threads() -> None:
    x = random(COUNT)
    found = []
    for count in (1, 2):
        with threads(count):
            found.append(masked(x, *cut_of(0.1), 99))
    assert torch.equal(*found)
