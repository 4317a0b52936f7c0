"""Which weight gets which treatment, and states that come back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import nn
from training_fakes import settings, tiny_model

from tinyforge.config.train import TrainSettings
from tinyforge.train.optimizers import Optimizer, decays, hidden_matrices
from tinyforge.train.speedups.native import library, why_not

torch_and_native = pytest.mark.parametrize(
    "native",
    [
        pytest.param(False, id="torch"),
        pytest.param(
            True,
            id="native",
            marks=pytest.mark.skipif(library() is None, reason=f"no kernels here: {why_not()}"),
        ),
    ],
)

T5 = transformers.T5Config(
    vocab_size=40, d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=2,
    decoder_start_token_id=0,
)  # fmt: skip
BERT = transformers.BertConfig(
    vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=32, num_labels=3,
)  # fmt: skip
GPT2 = transformers.GPT2Config(vocab_size=40, n_positions=16, n_embd=16, n_layer=1, n_head=2)


def test_decay_of_t5() -> None:
    names = decays(transformers.T5ForConditionalGeneration(T5))
    assert "encoder.block.0.layer.0.SelfAttention.q.weight" in names
    assert "shared.weight" not in names
    assert not [name for name in names if "norm" in name or "relative_attention" in name]


def test_decay_of_bert() -> None:
    names = decays(transformers.BertForSequenceClassification(BERT))
    assert {"bert.pooler.dense.weight", "classifier.weight"} <= names
    assert not [n for n in names if "embeddings" in n or "LayerNorm" in n or n.endswith("bias")]


def test_decay_leaves_out_what_is_frozen() -> None:
    model = tiny_model()
    model.inner.weight.requires_grad_(False)
    assert decays(model) == {"outer.weight"}


@pytest.mark.parametrize(
    ("model", "inside", "outside"),
    [
        (transformers.BertForSequenceClassification(BERT), "bert.pooler.dense.weight",
         ["classifier.weight", "bert.embeddings.word_embeddings.weight"]),
        (transformers.GPT2LMHeadModel(GPT2), "transformer.h.0.attn.c_attn.weight",
         ["transformer.wte.weight", "transformer.wpe.weight", "lm_head.weight"]),
        (transformers.T5ForConditionalGeneration(T5),
         "decoder.block.0.layer.1.EncDecAttention.k.weight", ["shared.weight", "lm_head.weight"]),
    ],
)  # fmt: skip
def test_muon_takes_hidden_matrices_only(model: Any, inside: str, outside: list[str]) -> None:
    names = hidden_matrices(model)
    assert inside in names
    assert not names & set(outside)
    assert not [name for name in names if name.endswith("bias") or "relative" in name]


def moved(model: nn.Module, given: TrainSettings, lr: float, native: bool) -> dict[str, Any]:
    """How far one update moves each weight."""
    optimizer = Optimizer(model, given, native=native)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    model(torch.tensor([[1, 2, 3]])).square().sum().backward()
    optimizer.step(lr)
    return {name: weight.detach() - before[name] for name, weight in model.named_parameters()}


@torch_and_native
@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_every_weight_moves_once(name: str, native: bool) -> None:
    model, lr = tiny_model(dropout=0.0), 0.01
    found = moved(model, settings(optimizer=name, weight_decay=0.0), lr, native)
    assert found.keys() == dict(model.named_parameters()).keys()
    for weight, change in found.items():
        grad = model.get_parameter(weight).grad
        assert grad is not None
        assert float(change.abs().max()) > 0, weight
        if name == "sgd":  # the first update of momentum is the gradient: twice would be 2 lr
            torch.testing.assert_close(change, -lr * grad, rtol=1e-4, atol=1e-6)
        elif name == "adamw":  # the first update of Adam is the gradient's sign
            clear = grad.abs() > 1e-4
            expected = -lr * grad[clear].sign()
            torch.testing.assert_close(change[clear], expected, rtol=1e-2, atol=1e-6)


@torch_and_native
@pytest.mark.parametrize(
    ("given", "lr", "rest"),
    [({}, 0.02, 3e-4),
     # half-way down the schedule: both at half of their peak
     ({"learning_rate": 0.01, "rest_learning_rate": 0.05}, 0.005, 0.025)],
    ids=["small", "set"],
)  # fmt: skip
def test_the_rate_of_muons_companion(
    given: dict[str, float], lr: float, rest: float, native: bool
) -> None:
    model = tiny_model(dropout=0.0)
    found = moved(model, settings(optimizer="muon", weight_decay=0.0, **given), lr, native)
    for name, change in found.items():
        if name in hidden_matrices(model):  # near an orthogonal matrix
            largest = float(torch.linalg.matrix_norm(change, 2)) / lr
            assert 0.7 < largest < 1.3, name
        else:  # the first update of Adam is the gradient's sign
            assert float(change.abs().max()) == pytest.approx(rest, rel=1e-3), name


@torch_and_native
def test_decay_without_gradient_shrinks_matrices_only(native: bool) -> None:
    model = tiny_model()
    optimizer = Optimizer(model, settings(weight_decay=0.5), native=native)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step(0.1)
    for name, weight in model.named_parameters():
        times = 0.95 if name in ("inner.weight", "outer.weight") else 1.0
        assert torch.allclose(weight, before[name] * times), name


@torch_and_native
@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_a_state_comes_back(name: str, native: bool) -> None:
    def steps(model: nn.Module, optimizer: Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            model(torch.tensor([[1, 2, 3]])).square().sum().backward()
            optimizer.step(1e-4)

    whole = tiny_model(dropout=0.0)
    steps(whole, Optimizer(whole, settings(optimizer=name), native=native), 5)

    first = tiny_model(dropout=0.0)
    optimizer = Optimizer(first, settings(optimizer=name), native=native)
    steps(first, optimizer, 2)
    state = {name: tensor.clone() for name, tensor in optimizer.tensors().items()}
    second = tiny_model(seed=1, dropout=0.0)
    second.load_state_dict(first.state_dict())
    optimizer = Optimizer(second, settings(optimizer=name), native=native)
    optimizer.restore(state)
    steps(second, optimizer, 3)
    for one, other in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
