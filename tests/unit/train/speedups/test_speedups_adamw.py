"""Our AdamW is PyTorch's, in another order of memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from speedup_checks import distance, needs_kernels, random, threads
from torch import Tensor, nn
from training_fakes import settings

from tinyforge.train.optimizers import Optimizer
from tinyforge.train.speedups.adamw import square_sum
from tinyforge.train.speedups.embedding import RowGradient
from tinyforge.train.weights import Weights

pytestmark = needs_kernels

STEPS = 20
Gradients = Callable[[int, str, tuple[int, ...]], Tensor | None]


class Model(nn.Module):
    """An embedding, a matrix with weight decay of an odd size, and a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 17)
        self.linear = nn.Linear(17, 1_001)
        with torch.no_grad():
            for number, weight in enumerate(self.parameters()):
                weight.copy_(random(*weight.shape, seed=number))


def gradient(step: int, name: str, shape: tuple[int, ...]) -> Tensor:
    """Of a size that differs from weight to weight and from step to step."""
    size = {"embedding.weight": 1e-3, "linear.weight": 1.0, "linear.bias": 30.0}[name]
    return random(*shape, seed=1_000 * step + len(name)) * size * (1 + step % 3)


def torchs(model: nn.Module, given: Any) -> torch.optim.AdamW:
    decayed, rest = [model.linear.weight], [model.embedding.weight, model.linear.bias]
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": given.weight_decay},
         {"params": rest, "weight_decay": 0.0}],
        lr=0.0, betas=(given.beta1, given.beta2), eps=given.epsilon,
    )  # fmt: skip


def rates() -> Iterator[float]:
    for step in range(STEPS):
        yield 0.05 * (1 - step / STEPS)


def theirs(given: Any, made: Gradients, clip: float = 1.0) -> tuple[Model, torch.optim.AdamW]:
    model = Model()
    optimizer = torchs(model, given)
    for step, lr in enumerate(rates()):
        for name, weight in model.named_parameters():
            grad = made(step, name, tuple(weight.shape))
            weight.grad = None if grad is None else grad * clip
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
    return model, optimizer


def ours(
    given: Any, made: Gradients, clip: float = 1.0, *, narrow: bool = False
) -> tuple[Model, Optimizer]:
    model = Model()
    weights = Weights(model)
    if narrow:
        weights.narrow()
    optimizer = Optimizer(model, given, weights, native=True)
    for step, lr in enumerate(rates()):
        for name, weight in model.named_parameters():
            grad = made(step, name, tuple(weight.shape))
            weight.grad = None if grad is None else grad.to(weight.dtype)
        optimizer.step(lr, clip)
        optimizer.zero_grad()
    return model, optimizer


def same_weights(one: nn.Module, other: nn.Module, close: float = 1e-6) -> None:
    for (name, a), (_, b) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert distance(a, b) < close, name


@pytest.mark.parametrize(
    "given",
    [{}, {"weight_decay": 0.3}, {"beta1": 0.0}, {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3},
     {"beta2": 0.0}, {"epsilon": 1e-12}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("clip", [1.0, 0.01])
def test_twenty_steps(given: dict[str, float], clip: float) -> None:
    """1e-6 of the largest weight."""
    chosen = settings(**given)
    model, optimizer = ours(chosen, gradient, clip)
    expected, reference = theirs(chosen, gradient, clip)
    same_weights(model, expected)
    state = optimizer.tensors()
    for name, weight in expected.named_parameters():
        assert reference.state[weight].keys() == {"step", "exp_avg", "exp_avg_sq"}
        for key, value in reference.state[weight].items():
            assert distance(state[f"{name}:{key}"], value) < 2e-6, (name, key)


def test_bfloat16_gradients_and_copies() -> None:
    """The float32 masters move as PyTorch's do with the same rounded gradients: 1e-6 of the
    largest; the model's own weights are those, rounded."""

    def rounded(step: int, name: str, shape: tuple[int, ...]) -> Tensor:
        return gradient(step, name, shape).bfloat16().float()

    given = settings(weight_decay=0.1)
    model, optimizer = ours(given, rounded, 0.25, narrow=True)
    expected, _ = theirs(given, rounded, 0.25)
    masters = optimizer.weights.masters
    for name, weight in model.named_parameters():
        assert weight.dtype == torch.bfloat16
        assert masters[name].dtype == torch.float32
        assert torch.equal(weight, masters[name].bfloat16())
    optimizer.weights.widen()
    same_weights(model, expected)


def test_a_weight_without_a_gradient_rests() -> None:
    def sometimes(step: int, name: str, shape: tuple[int, ...]) -> Tensor | None:
        if (name == "linear.bias" and step % 2) or (name == "linear.weight" and step < 5):
            return None
        return gradient(step, name, shape)

    given = settings(weight_decay=0.1)
    model, optimizer = ours(given, sometimes)
    expected, _ = theirs(given, sometimes)
    same_weights(model, expected)
    assert float(optimizer.tensors()["linear.bias:step"]) == STEPS / 2
    assert float(optimizer.tensors()["linear.weight:step"]) == STEPS - 5


def used_rows(step: int) -> Tensor:
    """Some rows of the embedding; none in some steps, and some rows never."""
    generator = torch.Generator().manual_seed(step)
    return torch.randperm(25, generator=generator)[: step % 4 * 3].sort().values


def by_rows(step: int, name: str, shape: tuple[int, ...]) -> Tensor:
    grad = gradient(step, name, shape)
    if name == "embedding.weight":
        kept = torch.zeros(shape[0], 1)
        kept[used_rows(step)] = 1
        grad = grad * kept
    return grad


@pytest.mark.parametrize("narrow", [False, True], ids=["float32", "bfloat16"])
def test_rows_that_have_no_gradient_for_some_steps(narrow: bool) -> None:
    """As PyTorch with zeros there, steps without any row included: 1e-6 of the largest."""
    given = settings()

    def rounded(step: int, name: str, shape: tuple[int, ...]) -> Tensor:
        return (
            by_rows(step, name, shape).bfloat16().float() if narrow else by_rows(step, name, shape)
        )

    model, rows = Model(), RowGradient()
    weights = Weights(model)
    if narrow:
        weights.narrow()
    optimizer = Optimizer(
        model, given, weights, native=True, row_gradients={"embedding.weight": rows}
    )
    before = weights.masters["embedding.weight"].clone()
    for step, lr in enumerate(rates()):
        for name, weight in model.named_parameters():
            grad = rounded(step, name, tuple(weight.shape))
            if name == "embedding.weight":
                rows.waiting.append((used_rows(step), grad[used_rows(step)].to(weight.dtype)))
            else:
                weight.grad = grad.to(weight.dtype)
        whole = torch.cat(
            [rounded(step, n, tuple(w.shape)).flatten() for n, w in model.named_parameters()]
        )
        assert optimizer.norm() == pytest.approx(float(whole.double().norm()), rel=1e-6)
        optimizer.step(lr)
        optimizer.zero_grad()
    copies = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    weights.widen()
    expected, _ = theirs(given, rounded)
    same_weights(model, expected)
    assert torch.equal(model.embedding.weight[25:], before[25:])
    if narrow:
        assert all(torch.equal(copies[n], w.bfloat16()) for n, w in model.named_parameters())


def test_rows_and_matrices_by_turns() -> None:
    """A tied head gives a whole matrix in one step, and none in the next."""
    given, model, rows = settings(), Model(), RowGradient()
    optimizer = Optimizer(model, given, native=True, row_gradients={"embedding.weight": rows})

    def made(step: int, name: str, shape: tuple[int, ...]) -> Tensor:
        return gradient(step, name, shape) if step % 3 == 0 else by_rows(step, name, shape)

    for step, lr in enumerate(rates()):
        for name, weight in model.named_parameters():
            grad = made(step, name, tuple(weight.shape))
            if name == "embedding.weight" and step % 3:
                rows.waiting.append((used_rows(step), grad[used_rows(step)]))
            else:
                weight.grad = grad
        optimizer.norm()
        optimizer.step(lr)
        optimizer.zero_grad()
    same_weights(model, theirs(given, made)[0])


@pytest.mark.parametrize("first", [True, False], ids=["ours then torch's", "torch's then ours"])
def test_either_goes_on_from_the_others_state(first: bool) -> None:
    given, turn = settings(weight_decay=0.1), STEPS // 2
    model = Model()
    optimizer = Optimizer(model, given, native=first)
    for step, lr in enumerate(rates()):
        if step == turn:
            state = {name: tensor.clone() for name, tensor in optimizer.tensors().items()}
            optimizer = Optimizer(model, given, native=not first)
            optimizer.restore(state)
        for name, weight in model.named_parameters():
            weight.grad = gradient(step, name, tuple(weight.shape))
        optimizer.step(lr)
        optimizer.zero_grad()
    same_weights(model, theirs(given, gradient)[0])


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_rows_go_on_from_a_state_with_the_moments_of_before(used: bool) -> None:
    """A row that had a gradient before the resume, and none after it, still moves; also where the
    optimizer that takes the state back has seen other rows."""
    given, found = settings(), []
    for resumed in (False, True):
        model, rows = Model(), RowGradient()
        optimizer = Optimizer(model, given, native=True, row_gradients={"embedding.weight": rows})
        for step in range(6):
            if resumed and step == 3:
                state = {name: tensor.clone() for name, tensor in optimizer.tensors().items()}
                optimizer = Optimizer(
                    model, given, native=True, row_gradients={"embedding.weight": rows}
                )
                if used:
                    weights = copy.deepcopy(model.state_dict())
                    rows.waiting.append((torch.tensor([20]), random(1, 17)))
                    optimizer.norm()
                    optimizer.step(0.01)
                    optimizer.zero_grad()
                    model.load_state_dict(weights)
                optimizer.restore(state)
            rows.waiting.append((torch.tensor([step]), random(1, 17, seed=step)))
            optimizer.norm()
            optimizer.step(0.01)
            optimizer.zero_grad()
        found.append(model.embedding.weight.detach())
    assert torch.equal(*found)
    assert not torch.equal(found[0][0], Model().embedding.weight[0])


@pytest.mark.parametrize("count", [0, 1, 15, 17, 16_384, 50_001])
def test_square_sum(count: int) -> None:
    """float32 within blocks, double between them: 1e-6."""
    tensors = [random(count), random(count, seed=1, dtype=torch.bfloat16), random(3, 7, seed=2)]
    expected = sum(float(tensor.double().square().sum()) for tensor in tensors)
    assert square_sum(tensors) == pytest.approx(expected, rel=1e-6)
    assert square_sum([]) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_square_sum_sees_trouble(value: float) -> None:
    tensors = [random(100), random(100, seed=1, dtype=torch.bfloat16)]
    tensors[1][37] = value
    assert not torch.tensor(square_sum(tensors)).isfinite()


def test_any_number_of_threads() -> None:
    found = []
    for count in (1, 2):
        with threads(count):
            model, _ = ours(settings(weight_decay=0.1), gradient, 0.5)
            total = square_sum([random(70_001), random(70_001, seed=1)])
        found.append((total, *(weight.detach() for weight in model.parameters())))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(a, b) for a, b in zip(found[0][1:], found[1][1:], strict=True))
