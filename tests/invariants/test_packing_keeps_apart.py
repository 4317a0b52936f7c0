"""Examples packed into one row are learnt exactly as if each had a row of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from task_models import CONFIGS, DECODERS, gpt_tokenizer, language_model

from tinyforge.config.settings import Settings
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example
from tinyforge.tasks import build_task
from tinyforge.tasks.packing import keeps_apart

PACKABLE = [
    (name, attention)
    for name in DECODERS
    for attention in ("sdpa", "eager")
    # OPT makes up a mask of its own; transformers caps Gemma's attention logits only in "eager".
    if name != "opt" and (name, attention) != ("gemma2", "sdpa")
]
TEXTS = [
    "the cat sat on the mat",
    "how are you doing today, my friend by the door",
    "soon",
    "i answer questions",
]


def encoded(model: Any, name: str = "language-model") -> tuple[Any, list[Encoded]]:
    task = build_task(name, tokenizer=gpt_tokenizer(), config=model.config, settings=Settings())
    return task, task.encode([Example(input="", output=text) for text in TEXTS])


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize(("name", "attention"), PACKABLE)
def test_packed_equals_unpacked(name: str, attention: str) -> None:
    model = language_model(name, attn_implementation=attention)
    task, items = encoded(model)
    separate = task.loss(model, task.collate(items))
    separate.backward()
    expected = gradients(model)
    bins = [items[:2], items[2:]]  # of unequal length, so that one has padding
    packed = task.loss(model, task.collate_packed(bins))
    packed.backward()
    torch.testing.assert_close(packed, separate, rtol=1e-5, atol=1e-4)
    found = gradients(model)
    largest = max(float(g.abs().max()) for g in expected.values())
    for parameter, gradient in expected.items():
        torch.testing.assert_close(found[parameter], gradient, rtol=1e-3, atol=1e-5 * largest)
    assert keeps_apart(model, task)


def test_what_is_in_one_example_does_not_reach_another() -> None:
    model = language_model("llama").eval()
    task, items = encoded(model)
    other = Encoded((items[0].input_ids + 1) % 300, np.full_like(items[0].labels, -100))
    neighbours = [task.collate_packed([[first, items[1]]]) for first in (items[0], other)]
    states = []
    with torch.no_grad():
        for batch in neighbours:
            logits = model(
                input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
            ).logits
            states.append(logits[0, len(items[0].input_ids) :])
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


def test_a_packed_batch_says_where_each_example_begins() -> None:
    model = language_model("llama")
    task, items = encoded(model)
    batch = task.collate_packed([[items[0], items[2]], [items[3]]])
    lengths = [len(item.input_ids) for item in items]
    positions = batch["position_ids"][0].tolist()
    assert positions == [*range(lengths[0]), *range(lengths[2])]
    assert batch["labels"][0, lengths[0]] == -100
    assert (batch["labels"][1, lengths[3] :] == -100).all()
    assert int((batch["labels"] != -100).sum()) == task.units([items[0], items[2], items[3]])
    assert "attention_mask" not in batch
    whole = [Encoded(item.input_ids, item.input_ids) for item in items[:2]]
    packed = task.collate_packed([whole])
    assert (packed["labels"] == -100).nonzero()[:, 1].tolist() == [0, lengths[0]]


@pytest.mark.parametrize("kind", ["mamba", "bloom", "opt"])
def test_a_model_that_cannot_keep_examples_apart_is_found_out(kind: str) -> None:
    sizes = {"vocab_size": 300, "hidden_size": 32, "pad_token_id": 0, "eos_token_id": 1}
    config = {
        "mamba": lambda: transformers.MambaConfig(**sizes, num_hidden_layers=2, state_size=4),
        "bloom": lambda: transformers.BloomConfig(**sizes, n_layer=2, n_head=4),
        "opt": CONFIGS["opt"],
    }[kind]()
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    task, _ = encoded(model)
    assert not keeps_apart(model, task)


def test_finding_out_leaves_random_state_and_modes() -> None:
    model = language_model("gpt2", dropout=0.1).train()
    model.transformer.h[0].eval()
    task, _ = encoded(model)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    keeps_apart(model, task)
    assert torch.rand(1) == expected
    assert model.training
    assert not model.transformer.h[0].training
