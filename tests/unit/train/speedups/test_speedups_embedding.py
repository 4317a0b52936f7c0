"""Gradients of embeddings by rows equal the matrix that PyTorch makes."""

from __future__ import annotations

import pytest
import torch
from speedup_checks import DTYPES, distance, leaves, needs_kernels, random, threads
from torch import Tensor, nn

from tinyforge.train.speedups.embedding import Embedding, RowGradient, can_replace

pytestmark = needs_kernels

ROWS, WIDTH = 50, 21
IDS = torch.tensor([[3, 7, 3, 3, 0], [49, 0, 7, 12, 3]])


def pair(
    padding: int | None = None, dtype: torch.dtype = torch.float32
) -> tuple[Embedding, nn.Embedding]:
    theirs = nn.Embedding(ROWS, WIDTH, padding_idx=padding, dtype=torch.float64)
    ours = nn.Embedding(ROWS, WIDTH, padding_idx=padding, dtype=dtype)
    with torch.no_grad():
        ours.weight.copy_(random(ROWS, WIDTH))
        theirs.weight.copy_(ours.weight)
    ours.__class__ = Embedding
    ours.row_gradient = RowGradient()
    return ours, theirs  # type: ignore[return-value]


def dense(rows: RowGradient) -> Tensor:
    """As the matrix that PyTorch would have made."""
    found = torch.zeros(ROWS, WIDTH)
    if rows.rows is not None:
        assert rows.values is not None
        assert rows.values.dtype == torch.float32
        assert rows.rows.tolist() == sorted(set(rows.rows.tolist()))
        found[rows.rows] = rows.values
    return found


@DTYPES
@pytest.mark.parametrize("padding", [None, 0, 3])
def test_values_and_gradient(padding: int | None, dtype: torch.dtype) -> None:
    """Sums in float32, 1e-6 of the largest, for bfloat16 too."""
    ours, theirs = pair(padding, dtype)
    out, expected = ours(IDS), theirs(IDS)
    assert torch.equal(out.double(), expected)
    along = random(*out.shape, seed=1, dtype=dtype)
    out.backward(along)
    expected.backward(along.double())
    assert ours.weight.grad is None
    ours.row_gradient.collect(None)
    assert theirs.weight.grad is not None
    assert distance(dense(ours.row_gradient), theirs.weight.grad) < 1e-6


def test_rows_are_those_that_the_batch_used() -> None:
    ours, _ = pair(padding=0)
    ours(IDS).sum().backward()
    ours.row_gradient.collect(None)
    assert ours.row_gradient.rows is not None
    assert ours.row_gradient.rows.tolist() == [3, 7, 12, 49]
    ours.row_gradient.clear()
    assert (ours.row_gradient.rows, ours.row_gradient.values) == (None, None)
    ours.row_gradient.collect(None)  # nothing waits
    assert ours.row_gradient.rows is None


def test_a_batch_of_padding_alone() -> None:
    ours, _ = pair(padding=0)
    ours(torch.zeros(2, 3, dtype=torch.int64)).sum().backward()
    ours.row_gradient.collect(None)
    assert not dense(ours.row_gradient).any()


@DTYPES
def test_several_passes_add_up(dtype: torch.dtype) -> None:
    """As with micro-batches, and with an encoder and a decoder that share the matrix."""
    ours, theirs = pair(dtype=dtype)
    for seed in range(3):
        ids = torch.randint(ROWS, (4, 9), generator=torch.Generator().manual_seed(seed))
        along = random(4, 9, WIDTH, seed=seed, dtype=dtype)
        ours(ids).backward(along)
        theirs(ids).backward(along.double())
    ours.row_gradient.collect(None)
    assert theirs.weight.grad is not None
    assert distance(dense(ours.row_gradient), theirs.weight.grad) < 1e-6


@pytest.mark.parametrize(
    ("of_rows", "of_matrix", "close"),
    [(torch.float32, torch.float32, 1e-6), (torch.bfloat16, torch.float32, 1e-6),
     (torch.bfloat16, torch.bfloat16, 4e-3), (torch.float32, torch.bfloat16, 8e-3)],
)  # fmt: skip
def test_added_to_the_matrix_of_a_tied_head(
    of_rows: torch.dtype, of_matrix: torch.dtype, close: float
) -> None:
    """bfloat16: one rounding of the sum, and one of the rows where they are float32."""
    ours, theirs = pair(dtype=of_rows)
    along = random(*IDS.shape, WIDTH, seed=1, dtype=of_rows)
    ours(IDS).backward(along)
    theirs(IDS).backward(along.double())
    matrix = random(ROWS, WIDTH, seed=2, dtype=of_matrix)
    assert theirs.weight.grad is not None
    expected = theirs.weight.grad + matrix
    unused = torch.ones(ROWS, dtype=torch.bool)
    unused[IDS.flatten()] = False
    before = matrix[unused].clone()
    ours.row_gradient.collect(matrix)
    assert ours.row_gradient.rows is None
    assert distance(matrix, expected) < close
    assert torch.equal(matrix[unused], before)


def test_many_repetitions_lose_nothing_in_bfloat16() -> None:
    ours, _ = pair(dtype=torch.bfloat16)
    ids = torch.full((4_000,), 5)
    ours(ids).backward(torch.full((4_000, WIDTH), 0.125, dtype=torch.bfloat16))
    ours.row_gradient.collect(None)
    assert torch.equal(dense(ours.row_gradient)[5], torch.full((WIDTH,), 500.0))


def test_evaluation_and_frozen_matrices_are_pytorchs() -> None:
    ours, _ = pair()
    out = ours.eval()(IDS)
    out.sum().backward()
    assert ours.weight.grad is not None
    ours.train().weight.requires_grad_(False)
    ours(IDS)
    with torch.no_grad():
        ours(IDS)
    assert ours.row_gradient.waiting == []


def test_gradients_reach_only_the_looked_up_rows_of_what_comes_after() -> None:
    ours, theirs = pair()
    [scale] = leaves(random(WIDTH, seed=4))
    (ours(IDS) * scale).square().sum().backward()
    [wide] = leaves(scale, dtype=torch.float64)
    (theirs(IDS) * wide).square().sum().backward()
    ours.row_gradient.collect(None)
    assert scale.grad is not None
    assert wide.grad is not None
    assert theirs.weight.grad is not None
    assert distance(scale.grad, wide.grad) < 1e-6
    assert distance(dense(ours.row_gradient), theirs.weight.grad) < 1e-6


class Scaled(nn.Embedding):
    pass


@pytest.mark.parametrize(
    ("module", "can"),
    [(nn.Embedding(4, 3), True), (nn.Embedding(4, 3, padding_idx=1), True),
     (nn.Embedding(4, 3, max_norm=1.0), False), (nn.Embedding(4, 3, sparse=True), False),
     (nn.Embedding(4, 3, scale_grad_by_freq=True), False), (Scaled(4, 3), False),
     (nn.EmbeddingBag(4, 3), False), (nn.Linear(4, 3), False)],
    ids=["plain", "padding", "norm", "sparse", "frequency", "subclass", "bag", "linear"],
)  # fmt: skip
def test_which_are_replaced(module: nn.Module, can: bool) -> None:
    assert can_replace(module) is can


def test_any_number_of_threads() -> None:
    found = []
    for count in (1, 2):
        ours, _ = pair()
        ids = torch.randint(ROWS, (40, 50), generator=torch.Generator().manual_seed(0))
        with threads(count):
            ours(ids).backward(random(40, 50, WIDTH, seed=1))
            ours.row_gradient.collect(None)
        found.append(dense(ours.row_gradient))
    assert torch.equal(*found)
