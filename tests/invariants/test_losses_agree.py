"""The loss at supervised positions only is the model's own loss, in value and in gradient."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from task_models import (
    DECODERS,
    ENCODER_DECODERS,
    ENCODERS,
    bert_tokenizer,
    classifier,
    gpt_tokenizer,
    language_model,
    t5_tokenizer,
)
from torch.nn import functional

from tinyforge.config.settings import Settings
from tinyforge.records.examples import Example
from tinyforge.tasks import build_task, losses
from tinyforge.tasks.base import Task

peft_deprecation = pytest.mark.filterwarnings(  # peft asks transformers by an older name
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
EXAMPLES = [
    Example(input="how are you", output="today doing you"),
    Example(input="what is your name? see you soon", output="i"),
    Example(input="the cat", output="sat on the mat. the dog lay by the door"),
]


def task_for(name: str, model: Any) -> Task:
    tokenizer = t5_tokenizer() if name in ENCODER_DECODERS else gpt_tokenizer(start=True)
    return build_task("text2text", tokenizer=tokenizer, config=model.config, settings=Settings())


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def same_gradients(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    largest = max(float(g.abs().max()) for g in theirs.values())
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-5 * largest)


def their_inputs(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k: v for k, v in batch.items() if k != "decoder_input_ids"}


@pytest.mark.parametrize("name", [*DECODERS, *ENCODER_DECODERS])
def test_equals_the_models_own_loss_times_units(name: str) -> None:
    model = language_model(name)
    task = task_for(name, model)
    items = task.encode(EXAMPLES)
    batch, units = task.collate(items), task.units(items)
    # Gemma's default attention here is eager: sdpa cannot cap attention logits.
    theirs = model(**their_inputs(batch)).loss * units
    theirs.backward()
    expected = gradients(model)
    ours = task.loss(model, batch)
    assert losses.way_of(model, *_shifted(task, batch)) == "fused"
    assert ours.dtype == torch.float32
    ours.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    same_gradients(gradients(model), expected)


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "cohere", "t5-tied"])
@pytest.mark.parametrize("way", ["fused", "gathered", "plain"])
def test_three_ways_to_one_number(name: str, way: losses.Way) -> None:
    model = language_model(name)
    task = task_for(name, model)
    batch = task.collate(task.encode(EXAMPLES))
    reference = task.loss(model, batch, label_smoothing=0.1)
    reference.backward()
    expected = gradients(model)
    loss = losses.WAYS[way](model, *_shifted(task, batch), 0.1)
    loss.backward()
    torch.testing.assert_close(loss, reference, rtol=1e-5, atol=1e-5)
    same_gradients(gradients(model), expected)
    rows = task.row_losses(model, batch)  # type: ignore[attr-defined]
    torch.testing.assert_close(rows.sum(), task.loss(model, batch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "t5-tied"])
def test_label_smoothing_is_torchs(name: str) -> None:
    model = language_model(name)
    task = task_for(name, model)
    batch = task.collate(task.encode(EXAMPLES))
    logits = model(**{k: v for k, v in batch.items() if k != "labels"}).logits
    targets = batch["labels"]
    if name == "llama":
        logits, targets = logits[:, :-1], targets[:, 1:]
    theirs = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="sum", label_smoothing=0.2
    )
    ours = task.loss(model, batch, label_smoothing=0.2)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "t5-tied"])
def test_gradient_checkpointing_changes_nothing(name: str) -> None:
    model = language_model(name).train()
    task = task_for(name, model)
    batch = task.collate(task.encode(EXAMPLES))
    task.loss(model, batch).backward()
    expected = gradients(model)
    model.activation_checkpointing_enable()
    task.loss(model, batch).backward()
    same_gradients(gradients(model), expected)


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5-tied"])
def test_bfloat16_autocast_agrees_with_the_plain_way(name: str) -> None:
    model = language_model(name)
    task = task_for(name, model)
    batch = task.collate(task.encode(EXAMPLES))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        theirs = losses.WAYS["plain"](model, *_shifted(task, batch), 0.0)
    theirs.backward()
    expected = gradients(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = task.loss(model, batch)
    ours.backward()
    found = gradients(model)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
    assert all(g.dtype == torch.float32 for g in found.values())
    assert functional.cosine_similarity(_flat(found), _flat(expected), dim=0) > 0.999


def _shifted(task: Any, batch: dict[str, torch.Tensor]) -> Any:
    from tinyforge.tasks import decoder, text2text

    return decoder.shifted(batch) if task.family == "decoder" else text2text._split(None, batch)


def _flat(gradients: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([g.flatten() for g in gradients.values()])


@peft_deprecation
@pytest.mark.parametrize("name", ["gpt2", "llama-tied", "t5-tied"])
def test_adapters_learn_and_a_frozen_head_has_no_gradient(name: str) -> None:
    from peft import LoraConfig, get_peft_model

    plain = language_model(name)
    task = task_for(name, plain)
    batch = task.collate(task.encode(EXAMPLES))
    targets = {"gpt2": ["c_attn"], "llama-tied": ["q_proj"], "t5-tied": ["q", "wo"]}[name]
    lora = LoraConfig(r=4, target_modules=targets, fan_in_fan_out=name == "gpt2")
    model = get_peft_model(copy.deepcopy(plain), lora)
    theirs = model(**their_inputs(batch)).loss * task.units(task.encode(EXAMPLES))
    theirs.backward()
    expected = gradients(model)
    ours = task.loss(model, batch)
    ours.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    same_gradients(gradients(model), expected)
    assert all("lora_" in n for n in expected)


@peft_deprecation
@pytest.mark.parametrize("where", ["adapted", "saved"])
def test_an_adapted_head_is_left_to_itself(where: str) -> None:
    from peft import LoraConfig, get_peft_model

    plain = language_model("llama")
    task = task_for("llama", plain)
    batch = task.collate(task.encode(EXAMPLES))
    extra = {"adapted": {"target_modules": ["q_proj", "lm_head"], "init_lora_weights": False},
             "saved": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}}  # fmt: skip
    model = get_peft_model(plain, LoraConfig(r=4, **extra[where]))
    theirs = model(**batch).loss * task.units(task.encode(EXAMPLES))
    theirs.backward()
    expected = gradients(model)
    ours = task.loss(model, batch)
    ours.backward()
    assert losses.way_of(model, *_shifted(task, batch)) == "gathered"
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    same_gradients(gradients(model), expected)


@peft_deprecation
def test_adapters_put_into_a_model_later_are_noticed() -> None:
    from peft import LoraConfig, get_peft_model

    model = language_model("llama")
    task = task_for("llama", model)
    batch = task.collate(task.encode(EXAMPLES))
    before = task.loss(model, batch)
    lora = LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False)
    get_peft_model(model, lora)  # changes the model in place
    after = task.loss(model, batch)
    torch.testing.assert_close(after, model(**batch).loss * task.units(task.encode(EXAMPLES)))
    assert abs(float((after - before).detach())) > 0.1


def test_the_models_own_head_is_given_one_position(monkeypatch: pytest.MonkeyPatch) -> None:
    model = language_model("llama")
    task = task_for("llama", model)
    batch = task.collate(task.encode(EXAMPLES))
    task.loss(model, batch)
    shapes: list[torch.Size] = []
    model.lm_head.register_forward_hook(lambda _, __, logits: shapes.append(logits.shape))
    task.loss(model, batch)
    assert shapes == [(1, 1, 300)]


@pytest.mark.parametrize("name", ["llama", "t5-tied"])
def test_trying_out_reads_little_of_a_long_row(name: str) -> None:
    model = language_model(name)
    task = task_for(name, model)
    long = Example(input="how are you " * 20, output="today doing you " * 20)
    batch = task.collate(task.encode([EXAMPLES[0], long]))
    widths: list[int] = []
    head = model.get_output_embeddings()
    handle = head.register_forward_hook(lambda _, given, __: widths.append(given[0].shape[1]))
    batch["labels"][0] = -100
    assert losses.way_of(model, *_shifted(task, batch)) == "fused"
    assert max(widths) <= losses.TRIAL < batch["labels"].shape[1]
    handle.remove()


def test_many_chunks_are_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinyforge.tasks import chunked

    torch.manual_seed(0)
    states = torch.randn(300, 8, requires_grad=True)
    weight = torch.randn(50, 8, requires_grad=True)
    bias = torch.randn(50, requires_grad=True)
    wanted = torch.randint(0, 50, (300,))
    head = chunked.Head(weight, bias, scale=0.5, cap=3.0)
    logits = 3.0 * torch.tanh((states @ weight.T + bias) * 0.5 / 3.0)
    expected = functional.cross_entropy(logits, wanted, reduction="sum", label_smoothing=0.1)
    theirs = torch.autograd.grad(expected * 0.25, [states, weight, bias])
    for chunk in (1, 100 * 50, 10**9):
        monkeypatch.setitem(chunked.CHUNK, "cpu", chunk)
        loss = chunked.chunked_cross_entropy(states, head, wanted, 0.1)
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
        ours = torch.autograd.grad(loss * 0.25, [states, weight, bias])
        for mine, their in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, their, rtol=1e-4, atol=1e-5)
        each = chunked.cross_entropy_each(states, head, wanted, 0.1)
        assert each.shape == (300,)
        torch.testing.assert_close(each.sum(), expected.detach(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", [*ENCODERS, "gpt2", "llama"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_classification_equals_the_models_own_loss(name: str, multi_label: bool) -> None:
    labels = ("bad", "good", "so-so")
    model = classifier(name, len(labels), multi_label=multi_label)
    task = build_task(
        "classify",
        tokenizer=bert_tokenizer() if name in ENCODERS else gpt_tokenizer(),
        config=model.config,
        labels=labels,
        multi_label=multi_label,
        settings=Settings(),
    )
    texts = ["the cat sat", "how are you doing today my friend", "soon"]
    items = task.encode(
        [Example(t, labels=(("good", "bad")[:n])) for n, t in enumerate(texts)]
        if multi_label
        else [Example(t, output=labels[n]) for n, t in enumerate(texts)]
    )
    batch = task.collate(items)
    theirs = model(**batch).loss * task.units(items)
    theirs.backward()
    expected = gradients(model)
    ours = task.loss(model, batch)
    ours.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    same_gradients(gradients(model), expected)
    torch.testing.assert_close(task.row_losses(model, batch).sum(), ours.detach())  # type: ignore[attr-defined]
