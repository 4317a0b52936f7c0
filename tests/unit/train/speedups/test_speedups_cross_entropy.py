"""Cross-entropy and its slope in place equal PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from speedup_checks import DTYPES, distance, leaves, needs_kernels, random, threads
from torch import Tensor
from torch.nn import functional

from tinyforge.tasks import chunked
from tinyforge.train.speedups.cross_entropy import slope_in_place

pytestmark = needs_kernels


def reference(logits: Tensor, wanted: Tensor, scale: float, smoothing: float) -> tuple[Tensor, ...]:
    [wide] = leaves(logits, dtype=torch.float64)
    loss = functional.cross_entropy(
        wide * scale, wanted, reduction="sum", label_smoothing=smoothing
    )
    return loss.detach(), torch.autograd.grad(loss, wide)[0]


@DTYPES
@pytest.mark.parametrize("vocabulary", [1, 2, 15, 16, 17, 300, 1000])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("scale", [1.0, 0.125])
def test_loss_and_slope(
    vocabulary: int, smoothing: float, scale: float, dtype: torch.dtype
) -> None:
    """Against float64. The loss within 1e-6 of itself, the slope within 1e-6 (float32) or 4e-3
    (bfloat16: its own rounding) of 1."""
    logits = 5 * random(37, vocabulary, dtype=dtype)
    wanted = torch.randint(vocabulary, (37,), generator=torch.Generator().manual_seed(1))
    loss, slope = reference(logits, wanted, scale, smoothing)
    found = slope_in_place(logits, wanted, scale, smoothing)
    assert found is not None
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(loss), rel=1e-6, abs=1e-5)
    close = 1e-6 if dtype == torch.float32 else 4e-3
    assert float((logits.double() - slope).abs().max()) < close * scale


@pytest.mark.parametrize(("size", "close"), [(80.0, 1e-5), (1e4, 1e-3)])
def test_large_logits(size: float, close: float) -> None:
    """The slope is e^(logit - log of the sum), whose rounding grows with the logits."""
    logits = torch.tensor([[1.0, 0.0, -1.0], [-1.0, -1.0, -1.0], [1.0, 1.0, 0.0]]) * size
    wanted = torch.tensor([1, 2, 1])
    loss, slope = reference(logits, wanted, 1.0, 0.0)
    found = slope_in_place(logits, wanted, 1.0, 0.0)
    assert found is not None
    assert float(found) == pytest.approx(float(loss), rel=1e-6)
    torch.testing.assert_close(logits.double(), slope, rtol=0, atol=close)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", [0, 3, 20])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_trouble_is_seen_in_the_loss(value: float, place: int, smoothing: float) -> None:
    logits = random(3, 21)
    logits[1, place] = value
    loss = slope_in_place(logits, torch.tensor([0, 5, 7]), 1.0, smoothing)
    assert loss is not None
    assert not bool(loss.isfinite())


def test_no_positions() -> None:
    loss = slope_in_place(torch.empty(0, 12), torch.empty(0, dtype=torch.int64), 1.0, 0.0)
    assert loss is not None
    assert float(loss) == 0


def test_other_numbers_are_left_alone() -> None:
    logits = random(3, 21, dtype=torch.float64)
    before = logits.clone()
    assert slope_in_place(logits, torch.tensor([0, 5, 7]), 1.0, 0.0) is None
    assert torch.equal(logits, before)


@pytest.mark.parametrize(
    "more",
    [{}, {"scale": 0.5}, {"bias": True}, {"cap": 3.0}],
    ids=["plain", "scale", "bias", "cap"],
)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_within_the_chunked_loss(
    more: dict[str, float], smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside ``chunked_cross_entropy``, in many chunks, with heads that it must leave alone; 1e-6
    of the largest."""
    monkeypatch.setitem(chunked.CHUNK, "cpu", 100 * 50)
    states, weight, bias = random(300, 8), random(50, 8, seed=1), random(50, seed=2)
    wanted = torch.randint(50, (300,), generator=torch.Generator().manual_seed(3))
    calls = 0

    def counted(*given: Tensor) -> Tensor | None:
        nonlocal calls
        calls += 1
        return slope_in_place(*given)

    results = []
    for way in (None, counted):
        inputs = leaves(states, weight, bias)
        options = dict(more)
        has_bias = options.pop("bias", False)
        head = chunked.Head(inputs[1], inputs[2] if has_bias else None, **options)
        if way is None:
            loss = chunked.chunked_cross_entropy(inputs[0], head, wanted, smoothing)
        else:
            with chunked.slope_in_place(way):
                loss = chunked.chunked_cross_entropy(inputs[0], head, wanted, smoothing)
        grads = torch.autograd.grad(loss * 0.25, inputs if has_bias else inputs[:2])
        results.append((loss, *grads))
    assert calls == (0 if "bias" in more or "cap" in more else 3)
    assert all(distance(a, b) < 1e-6 for a, b in zip(*reversed(results), strict=True))


@pytest.mark.parametrize(("positions", "chunks"), [(24, 1), (25, 2)])
def test_bfloat16_is_cut_only_where_that_saves_memory(
    positions: int, chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to three times the width in positions, logits take no more than the sum of two parts of
    the head's gradient would."""
    monkeypatch.setitem(chunked.CHUNK, "cpu", 1)
    states, weight = random(positions, 8).bfloat16(), random(50, 8, seed=1).bfloat16()
    wanted = torch.randint(50, (positions,), generator=torch.Generator().manual_seed(3))
    seen: list[int] = []

    def counted(logits: Tensor, *given: Any) -> Tensor | None:
        seen.append(len(logits))
        return slope_in_place(logits, *given)

    with chunked.slope_in_place(counted):
        chunked.chunked_cross_entropy(states, chunked.Head(leaves(weight)[0]), wanted)
    assert len(seen) == chunks
    assert sum(seen) == positions


def test_any_number_of_threads() -> None:
    wanted, found = torch.arange(99), []
    for count in (1, 2):
        logits = random(99, 501)
        with threads(count):
            loss = slope_in_place(logits, wanted, 1.0, 0.1)
        found.append((loss, logits))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
