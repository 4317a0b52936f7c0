"""Which weight gets which treatment, and states that come back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import nn
from training_fakes import settings, tiny_model

from tinyforge.train.optimizers import Optimizer, decays, hidden_matrices

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


@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_every_weight_moves_once(name: str) -> None:
    model = tiny_model()
    optimizer = Optimizer(model, settings(optimizer=name))
    members = [
        id(weight) for part in optimizer._parts for g in part.param_groups for weight in g["params"]
    ]
    assert sorted(members) == sorted(id(weight) for weight in model.parameters())
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    model(torch.tensor([[1, 2, 3]])).square().sum().backward()
    optimizer.step(0.01)
    assert all(not torch.equal(before[name], weight) for name, weight in model.named_parameters())


def test_the_rate_of_muons_companion_is_small() -> None:
    optimizer = Optimizer(tiny_model(), settings(optimizer="muon"))
    kinds = [type(part).__name__ for part in optimizer._parts]
    assert kinds == ["Muon", "AdamW"]
    optimizer.step(0.02)
    assert optimizer._parts[0].param_groups[0]["lr"] == 0.02
    assert optimizer._parts[1].param_groups[0]["lr"] == pytest.approx(3e-4)


def test_the_rate_of_muons_companion_can_be_set() -> None:
    given = settings(optimizer="muon", learning_rate=0.01, rest_learning_rate=0.05)
    optimizer = Optimizer(tiny_model(), given)
    optimizer.step(0.005)  # half-way down the schedule: both at half of their peak
    assert [part.param_groups[0]["lr"] for part in optimizer._parts] == [
        0.005,
        pytest.approx(0.025),
    ]


def test_decay_without_gradient_shrinks_matrices_only() -> None:
    model = tiny_model()
    optimizer = Optimizer(model, settings(weight_decay=0.5))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step(0.1)
    for name, weight in model.named_parameters():
        times = 0.95 if name in ("inner.weight", "outer.weight") else 1.0
        assert torch.allclose(weight, before[name] * times), name


@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_a_state_comes_back(name: str) -> None:
    def steps(model: nn.Module, optimizer: Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            model(torch.tensor([[1, 2, 3]])).square().sum().backward()
            optimizer.step(1e-4)

    whole = tiny_model(dropout=0.0)
    steps(whole, Optimizer(whole, settings(optimizer=name)), 5)

    first = tiny_model(dropout=0.0)
    optimizer = Optimizer(first, settings(optimizer=name))
    steps(first, optimizer, 2)
    state = {name: tensor.clone() for name, tensor in optimizer.tensors().items()}
    second = tiny_model(seed=1, dropout=0.0)
    second.load_state_dict(first.state_dict())
    optimizer = Optimizer(second, settings(optimizer=name))
    optimizer.restore(state)
    steps(second, optimizer, 3)
    for one, other in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
