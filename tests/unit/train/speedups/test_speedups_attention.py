"""Attention in one kernel each way equals the plain computation, dropout included."""

from __future__ import annotations

import math
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
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint
from transformers.integrations import sdpa_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tinyforge.train.speedups.attention import LONGEST, attention_forward
from tinyforge.train.speedups.dropout import STEPS, cut_of

pytestmark = needs_kernels

CLOSE = {torch.float32: (2e-6, 5e-6), torch.bfloat16: (1e-2, 2e-2)}
"""Of values and of gradients, against float64, relative to the largest."""


class Layer(nn.Module):
    """What transformers gives an attention function to look at."""

    def __init__(self, groups: int = 1, *, causal: bool = False) -> None:
        super().__init__()
        self.num_key_value_groups, self.is_causal = groups, causal


def attend(*given: Any, groups: int = 1, causal: bool = False, **more: Any) -> Tensor:
    """(rows, heads, places, width) in and out."""
    out, _ = attention_forward(Layer(groups, causal=causal), *given, **more)
    return out.transpose(1, 2)


def plain(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, bias: Tensor | None = None,
    scale: float | None = None, causal: bool = False, kept: Tensor | float = 1.0,
) -> Tensor:  # fmt: skip
    """Softmax attention, written down; ``kept`` multiplies the probabilities."""
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, 1) for x in (k, v))
    scores = q @ k.transpose(2, 3) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        scores = scores + bias
    if causal:
        later = torch.ones(scores.shape[2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    probabilities = scores.softmax(-1).nan_to_num(0.0)  # a query that may look at nothing
    return (probabilities * kept) @ v


def inputs(
    queries: int, keys: int, *, rows: int = 2, heads: int = 4, key_heads: int = 4, width: int = 16,
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:  # fmt: skip
    return [
        random(rows, heads, queries, width, seed=1, dtype=dtype),
        random(rows, key_heads, keys, width, seed=2, dtype=dtype),
        random(rows, key_heads, keys, width, seed=3, dtype=dtype),
    ]


def check(
    tensors: list[Tensor], mask: Tensor | None = None, *, bias: Tensor | None = None, **more: Any
) -> None:
    """Value and every gradient against float64."""
    dtype = tensors[0].dtype
    given = tensors if bias is None else [*tensors, bias]
    mine, exact = leaves(*given), leaves(*given, dtype=torch.float64)
    groups = tensors[0].shape[1] // tensors[1].shape[1]
    options = {"causal": more.get("causal", False), "scaling": more.get("scale")}
    ours = attend(
        *mine[:3],
        mask,
        groups=groups,
        position_bias=mine[3] if bias is not None else None,
        **options,
    )
    theirs = plain(*exact[:3], mask, bias=exact[3] if bias is not None else None, **more)
    assert ours.dtype == dtype
    assert ours.grad_fn.name().startswith("Transpose")
    assert distance(ours, theirs) < CLOSE[dtype][0]
    along = random(*ours.shape, seed=4, dtype=dtype)
    for found, expected in zip(
        slopes(ours, along, mine), slopes(theirs, along, exact), strict=True
    ):
        assert distance(found, expected) < CLOSE[dtype][1]


@pytest.fixture(autouse=True)
def _no_falling_back(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are of our kernel, except those that say otherwise."""
    if "sdpa" in request.node.name:
        return

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("PyTorch's attention was called")

    monkeypatch.setattr(sdpa_attention, "sdpa_attention_forward", never)


def random_mask(*shape: int) -> Tensor:
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(8)) < 0.6
    mask[..., 0] = True
    return mask


LENGTHS = pytest.mark.parametrize("length", [1, 7, 33, 130])


@LENGTHS
@DTYPES
@pytest.mark.parametrize("causal", [False, True])
def test_without_a_mask(length: int, dtype: torch.dtype, causal: bool) -> None:
    check(inputs(length, length, dtype=dtype), causal=causal)


@LENGTHS
@DTYPES
def test_with_a_mask_for_every_head(length: int, dtype: torch.dtype) -> None:
    check(inputs(length, length, dtype=dtype), random_mask(2, 4, length, length))


@LENGTHS
def test_with_padding_on_either_side(length: int) -> None:
    mask = torch.ones(2, 1, length, length, dtype=torch.bool)
    mask[0, :, :, length - length // 3 :] = False
    mask[1, :, :, : length // 2] = False
    check(inputs(length, length), mask)
    check(inputs(length, length), mask & torch.ones_like(mask).tril() | torch.eye(length).bool())


@pytest.mark.parametrize(("queries", "keys"), [(1, 33), (33, 1), (7, 130), (130, 7), (32, 64)])
@DTYPES
def test_across(queries: int, keys: int, dtype: torch.dtype) -> None:
    check(
        inputs(queries, keys, dtype=dtype), random_mask(2, 1, 1, keys).expand(2, 1, queries, keys)
    )


@LENGTHS
@DTYPES
@pytest.mark.parametrize("masked", [False, True])
def test_with_a_bias(length: int, dtype: torch.dtype, masked: bool) -> None:
    bias = random(1, 4, length, length, seed=5, dtype=dtype)
    mask = random_mask(2, 1, length, length) if masked else None
    check(
        inputs(length, length, rows=3 if mask is None else 2, dtype=dtype),
        mask,
        bias=bias,
        scale=1.0,
    )


@pytest.mark.parametrize("queries", [5, 40])
def test_with_a_causal_bias(queries: int) -> None:
    check(inputs(queries, queries), bias=random(1, 4, queries, queries, seed=5), causal=True)


@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("causal", [False, True])
@DTYPES
def test_grouped_queries(key_heads: int, causal: bool, dtype: torch.dtype) -> None:
    check(inputs(45, 45, key_heads=key_heads, dtype=dtype), causal=causal)
    check(inputs(45, 45, key_heads=key_heads, dtype=dtype), random_mask(2, 1, 45, 45))


def test_grouped_queries_with_a_bias() -> None:
    check(inputs(45, 45, key_heads=2), bias=random(1, 4, 45, 45, seed=5))


@pytest.mark.parametrize("width", [1, 5, 8, 20, 33, 64, 80, 128])
@DTYPES
def test_widths(width: int, dtype: torch.dtype) -> None:
    check(inputs(19, 35, width=width, dtype=dtype), random_mask(2, 4, 19, 35))


def test_a_query_that_may_look_at_nothing_gives_zeros() -> None:
    for queries in (3, 70):
        mask = random_mask(2, 4, queries, 40)
        mask[0, :, 1], mask[1, 2] = False, False  # a query of all heads, and all of a head
        check(inputs(queries, 40), mask)
        assert not attend(*inputs(queries, 40), mask)[0, :, 1].any()
        assert not attend(*inputs(queries, 40), mask)[1, 2].any()


@pytest.mark.parametrize(("size", "close"), [(1e-3, 2e-6), (30.0, 5e-5)])
def test_flat_and_sharp(size: float, close: float) -> None:
    """Against float64; scores near 100 lie 8e-6 apart in float32."""
    q, k, v = inputs(33, 33)
    given, along, found = [q * size, k, v], random(2, 4, 33, 16, seed=4), []
    for dtype, way in ((torch.float32, attend), (torch.float64, plain)):
        tensors = leaves(*given, dtype=dtype)
        out = way(*tensors, None)
        found.append((out, *slopes(out, along, tensors)))
    assert all(distance(ours, theirs) < close for ours, theirs in zip(*found, strict=True))


def test_transposed_and_expanded_tensors() -> None:
    q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in inputs(20, 33))
    strange = [q, k.transpose(2, 3).contiguous().transpose(2, 3), v[:1].expand(2, -1, -1, -1)]
    mask = random_mask(33, 20).T.bool()[None, None].expand(2, 1, 20, 33)
    expected = attend(*(x.contiguous() for x in strange), mask.contiguous())
    assert torch.equal(attend(*strange, mask), expected)
    mine = leaves(*(x.contiguous() for x in strange))
    along = random(*expected.shape, seed=4)
    transposed = along.transpose(2, 3).contiguous().transpose(2, 3)
    one = slopes(attend(*mine, mask), along, mine)
    assert same_bits(one, slopes(attend(*mine, mask), transposed, mine))


def recovered(queries: int, keys: int, rate: float, **more: Any) -> tuple[list[Tensor], Tensor]:
    """Queries and keys, and which probabilities dropout keeps, with their scale: the value is the
    identity, so what comes out are the probabilities."""
    q, k, _ = inputs(queries, keys, width=keys)
    identity = torch.eye(keys).expand(2, 4, keys, keys)
    torch.manual_seed(77)
    dropped = attend(q, k, identity, None, dropout=rate, **more)
    whole = attend(q, k, identity, None, **more)
    kept = torch.where(whole > 0, dropped / whole, 0.0)
    return [q, k], kept


@pytest.mark.parametrize("causal", [False, True])
def test_dropout_drops_at_its_rate_and_scales(causal: bool) -> None:
    _, kept = recovered(60, 60, 0.3, causal=causal)
    there = torch.ones(60, 60).tril().bool().expand(kept.shape) if causal else kept >= 0
    cut, scale = cut_of(0.3)
    share = float((kept[there] == 0).float().mean())
    assert abs(share - cut / STEPS) < 5 * math.sqrt(0.3 * 0.7 / int(there.sum()))
    torch.testing.assert_close(kept[kept != 0], torch.full_like(kept[kept != 0], scale))
    # No two heads or rows have the same mask.
    masks = (kept.flatten(0, 1) != 0).flatten(1)
    assert len({tuple(mask.tolist()) for mask in masks}) == len(masks)


@DTYPES
@pytest.mark.parametrize("causal", [False, True])
def test_dropouts_gradient(causal: bool, dtype: torch.dtype) -> None:
    """Against float64 under the mask that the kernel was seen to use."""
    (q, k), kept = recovered(37, 37, 0.25, causal=causal)
    given = [x.to(dtype) for x in (q, k, random(2, 4, 37, 37, seed=3))]
    mine, exact = leaves(*given), leaves(*given, dtype=torch.float64)
    torch.manual_seed(77)
    ours = attend(*mine, None, dropout=0.25, causal=causal)
    theirs = plain(*exact, causal=causal, kept=kept.double().round(decimals=4))
    assert distance(ours, theirs) < max(1e-4, CLOSE[dtype][0])
    along = random(*ours.shape, seed=4, dtype=dtype)
    for found, expected in zip(
        slopes(ours, along, mine), slopes(theirs, along, exact), strict=True
    ):
        assert distance(found, expected) < max(1e-4, CLOSE[dtype][1])


def test_dropouts_gradient_of_a_bias() -> None:
    _, kept = recovered(21, 21, 0.25)
    q, k, v = inputs(21, 21, width=21)
    bias = random(1, 4, 21, 21, seed=5)
    mine, exact = leaves(q, k, v, bias), leaves(q, k, v, bias, dtype=torch.float64)
    torch.manual_seed(77)
    ours = attend(*mine[:3], None, dropout=0.25, position_bias=mine[3])
    theirs = plain(*exact[:3], bias=exact[3], kept=kept.double().round(decimals=4))
    along = random(*ours.shape, seed=4)
    for found, expected in zip(
        slopes(ours, along, mine), slopes(theirs, along, exact), strict=True
    ):
        assert distance(found, expected) < 1e-4


def test_the_mean_over_many_seeds_is_the_plain_output() -> None:
    q, k, v = inputs(9, 17)
    torch.manual_seed(0)
    draws = torch.stack([attend(q, k, v, None, dropout=0.2) for _ in range(2_000)])
    deviation = draws.std(0) / math.sqrt(len(draws))
    assert bool(((draws.mean(0) - plain(q, k, v)).abs() < 5 * deviation).all())


def test_dropout_of_everything_and_of_nothing() -> None:
    tensors = leaves(*inputs(9, 17))
    out = attend(*tensors, None, dropout=1.0)
    assert not out.any()
    assert not any(grad.any() for grad in slopes(out, torch.ones_like(out), tensors))
    before = torch.get_rng_state()
    attend(*tensors, None)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_draws_the_same_again(reentrant: bool) -> None:
    found = []
    for checkpointed in (False, True):
        tensors = leaves(*inputs(20, 20))

        def block(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            mask = torch.ones(2, 1, 20, 20).tril().bool()  # of this block alone
            return attend(q, k, v, mask, dropout=0.3).square()

        torch.manual_seed(5)
        if checkpointed:
            out = checkpoint(block, *tensors, use_reentrant=reentrant)
        else:
            out = block(*tensors)
        out.sum().backward()
        found.append([tensor.grad for tensor in tensors])
    assert same_bits(*found)


def test_the_backward_pass_reads_what_was_saved() -> None:
    """Checkpointing makes saved tensors anew: the mask's old place is free by then."""
    tensors, mask = leaves(*inputs(20, 20)), random_mask(2, 1, 20, 20)
    expected = slopes(out := attend(*tensors, mask), torch.ones_like(out), tensors)
    with saved_tensors_hooks(lambda tensor: tensor.clone(), lambda tensor: tensor):
        out = attend(*tensors, mask)
    mask.logical_not_()
    assert same_bits(slopes(out, torch.ones_like(out), tensors), expected)


@pytest.mark.parametrize(
    "change",
    ["float mask", "long", "float64", "other width", "one bias for all", "mixed"],
)
def test_sdpa_has_what_the_kernel_does_not_take(change: str) -> None:
    q, k, v = inputs(5, LONGEST + 1 if change == "long" else 9)
    more: dict[str, Any] = {}
    mask = None
    if change == "float mask":
        mask = random(2, 1, 5, 9, seed=6)
    elif change == "float64":
        q, k, v = q.double(), k.double(), v.double()
    elif change == "other width":
        v = random(2, 4, 9, 12, seed=6)
    elif change == "one bias for all":
        more["position_bias"] = random(1, 1, 5, 9, seed=6)
    elif change == "mixed":
        more["position_bias"] = random(1, 4, 5, 9, seed=6).double()
        q, k, v = q.double(), k.double(), v.double()
    expected, _ = sdpa_attention_forward(Layer(), q, k, v, mask, **more)
    assert torch.equal(attend(q, k, v, mask, **more), expected.transpose(1, 2))


def test_sdpa_is_left_to_say_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="softcap"):
        attend(*inputs(5, 9), None, softcap=5.0)


def test_sdpa_gets_attention_sinks() -> None:
    expected, _ = sdpa_attention_forward(Layer(), *inputs(5, 9), None)
    found = attend(*inputs(5, 9), None, s_aux=torch.zeros(4))
    assert torch.equal(found, expected.transpose(1, 2))


@pytest.mark.parametrize("with_bias", [False, True])
def test_any_number_of_threads(with_bias: bool) -> None:
    found = []
    for count in (1, 2):
        tensors = leaves(*inputs(70, 70, rows=5), random(1, 4, 70, 70, seed=5))
        torch.manual_seed(1)
        with threads(count):
            bias = tensors[3] if with_bias else None
            out = attend(*tensors[:3], None, position_bias=bias, dropout=0.1)
            used = tensors if with_bias else tensors[:3]
            found.append((out, *slopes(out, random(*out.shape, seed=4), used)))
    assert same_bits(*found)
