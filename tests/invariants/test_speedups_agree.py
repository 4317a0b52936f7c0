"""Training with all speed-ups, with each alone and with none learns the same."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from speedup_checks import needs_kernels
from task_models import (
    ENCODER_DECODERS,
    ENCODERS,
    bert_tokenizer,
    classifier,
    gpt_tokenizer,
    language_model,
    t5_tokenizer,
)
from torch import Tensor
from torch.nn import functional
from training_fakes import TinyMicroBatch, begun

from tinyforge.config.settings import Settings
from tinyforge.config.train import SpeedupName
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.tasks import build_task
from tinyforge.train.loop import gradients, update
from tinyforge.train.speedups import TABLE

pytestmark = needs_kernels

EVERYWHERE = {"adamw", "embedding", "dropout"}
USED: dict[str, set[str]] = {
    "t5-tied": {*EVERYWHERE, "attention", "rms-norm", "cross-entropy"},
    "t5-untied": {*EVERYWHERE, "attention", "rms-norm", "cross-entropy"},
    "bert": {*EVERYWHERE, "attention", "cross-entropy", "first-token"},
    "distilbert": {*EVERYWHERE, "attention", "cross-entropy", "first-token"},
    "gpt2": {*EVERYWHERE, "attention", "cross-entropy"},
    "llama": {"adamw", "embedding", "attention", "rms-norm", "gated", "cross-entropy"},
    "llama-tied": {"adamw", "embedding", "attention", "rms-norm", "gated", "cross-entropy"},
    # Soft caps: transformers' own attention and our plain loss are used.
    "gemma2": {"adamw", "rms-norm", "gated", "cross-entropy"},
    "gemma3": {"adamw", "attention", "rms-norm", "gated", "cross-entropy"},
}
"""In float32. Gemma's embedding has a scale of its own, in a class that is left alone."""
MODELS = pytest.mark.parametrize("name", USED)


@dataclass
class Found:
    """What a step leaves behind: gradients and weights are float32."""

    loss: float
    norm: float
    gradients: dict[str, Tensor]
    weights: dict[str, Tensor]
    speedups: set[str]

    @property
    def flat(self) -> Tensor:
        return torch.cat([self.gradients[name].flatten() for name in sorted(self.gradients)])


def build(name: str) -> tuple[Any, Any]:
    """A tiny model without dropout and its task."""
    if name in ENCODERS:
        model, tokenizer = classifier(name, 3), bert_tokenizer()
        return model, build_task(
            "classify", tokenizer=tokenizer, config=model.config, labels=("a", "b", "c"),
            settings=Settings(),
        )  # fmt: skip
    model = language_model(name)
    if name in ENCODER_DECODERS:  # T5 does not scale its scores: four times the weights would
        scaled(model, 0.25)  # give them a softmax so sharp that it amplifies every rounding
    tokenizer = t5_tokenizer() if name in ENCODER_DECODERS else gpt_tokenizer(start=True)
    return model, build_task(
        "text2text", tokenizer=tokenizer, config=model.config, settings=Settings()
    )


def scaled(model: Any, times: float) -> None:
    """Change the size of all matrices."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(times)


def rows_for(task: Any) -> list[Encoded]:
    """Four rows of different length; made of numbers, as tokenizers are trained anew each time."""
    rng, rows = np.random.default_rng(5), []
    for number, (given, wanted) in enumerate([(4, 4), (11, 1), (2, 14), (6, 6)]):
        prompt, answer = (rng.integers(4, 100, size) for size in (given, wanted))
        if task.name == "classify":
            rows.append(Encoded(prompt, np.array([number % 3])))
        elif task.family == "decoder":
            unknown = np.full(given, IGNORED)
            rows.append(Encoded(np.append(prompt, answer), np.append(unknown, answer)))
        else:
            rows.append(Encoded(prompt, answer))
    return rows


def micro_batch(task: Any, items: Sequence[Any], tensors: Any = None) -> TinyMicroBatch:
    units = task.units(items)
    return TinyMicroBatch(tensors or task.collate(items), units, len(items), units, units)


def one_step(
    model: Any,
    task: Any,
    micro_batches: list[TinyMicroBatch],
    *,
    update_too: bool = False,
    **given: Any,
) -> Found:
    """Gradients of a batch, on a copy of the model; with ``update_too``, an update by them."""
    model = copy.deepcopy(model)
    with begun(model, task, **given) as training:
        loss, norm = gradients(training, micro_batches)
        found = {name: g.float().clone() for name, g in training.weights.gradients().items()}
        for name, rows in training.optimizer._rows.items():
            if rows.values is not None:
                found[name] = torch.zeros_like(training.weights.masters[name])
                found[name][rows.rows] = rows.values
        if update_too:
            update(training, 0.01, norm)
        speedups = set(training.speedups)
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    return Found(loss, norm, found, weights, speedups)


def same(ours: Found, theirs: Found, close: float = 1e-5) -> None:
    """Loss and norm to ``close``; gradients to ``close`` of the largest of all."""
    assert ours.loss == pytest.approx(theirs.loss, rel=close)
    assert ours.norm == pytest.approx(theirs.norm, rel=close)
    assert ours.gradients.keys() == theirs.gradients.keys()
    largest = max(float(grad.abs().max()) for grad in theirs.gradients.values())
    for name, grad in theirs.gradients.items():
        difference = float((ours.gradients[name] - grad).abs().max())
        assert difference < close * largest, name


def all_but(*names: str) -> list[str]:
    return [name for name in TABLE if name not in names]


@MODELS
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_all_against_none_in_float32(name: str, smoothing: float) -> None:
    """1e-5."""
    model, task = build(name)
    batch = [micro_batch(task, rows_for(task))]
    plain = one_step(model, task, batch, without_speedups=["all"], label_smoothing=smoothing)
    fast = one_step(model, task, batch, label_smoothing=smoothing)
    assert plain.speedups == set()
    assert fast.speedups == USED[name]
    same(fast, plain)


@pytest.mark.parametrize(
    ("name", "speedup"),
    [(name, speedup) for name, used in USED.items() for speedup in sorted(used)],
)
def test_each_alone_in_float32(name: str, speedup: SpeedupName) -> None:
    """1e-5; the gradients by rows need our AdamW."""
    model, task = build(name)
    batch = [micro_batch(task, rows_for(task))]
    with_it = {speedup, "adamw"} if speedup == "embedding" else {speedup}
    plain = one_step(model, task, batch, without_speedups=["all"], update_too=True)
    fast = one_step(model, task, batch, without_speedups=all_but(*with_it), update_too=True)
    assert fast.speedups == with_it
    same(fast, plain)


@MODELS
@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_updates_agree(name: str, optimizer: str) -> None:
    """After one update, wherever the gradient is clear of rounding: 1 % of the learning rate; 5 %
    with Muon, which makes its matrices orthogonal in bfloat16."""
    model, task = build(name)
    batch, given = [micro_batch(task, rows_for(task))], {"optimizer": optimizer, "clip_norm": 0.5}
    plain = one_step(model, task, batch, without_speedups=["all"], update_too=True, **given)
    fast = one_step(model, task, batch, update_too=True, **given)
    assert ("adamw" in fast.speedups) == (optimizer != "sgd")
    largest = max(float(grad.abs().max()) for grad in plain.gradients.values())
    start = dict(model.named_parameters())
    for weight, after in plain.weights.items():
        clear = plain.gradients[weight].abs() > 1e-3 * largest
        difference = (fast.weights[weight] - after).abs()
        assert float((difference * clear).max()) < (5e-4 if optimizer == "muon" else 1e-4), weight
        unmoved = plain.gradients[weight] == 0
        if weight.endswith("embed_tokens.weight") or "wte" in weight or "shared" in weight:
            rows = unmoved.all(1)
            assert torch.equal(fast.weights[weight][rows], start[weight][rows]), weight


@MODELS
def test_bfloat16_weights_against_autocast(name: str) -> None:
    """Cosine of the whole gradients above 0.999, loss to 1 %; and as near to float32 as autocast:
    at most three times as far."""
    model, task = build(name)
    if name not in {*ENCODERS, *ENCODER_DECODERS}:
        scaled(model, 0.25)  # as they are made
    batch = [micro_batch(task, rows_for(task))]
    exact = one_step(model, task, batch, without_speedups=["all"])
    autocast = one_step(model, task, batch, without_speedups=["all"], precision="bfloat16")
    fast = one_step(model, task, batch, precision="bfloat16")
    assert "bfloat16-weights" in fast.speedups
    assert fast.speedups >= USED[name]
    assert fast.loss == pytest.approx(autocast.loss, rel=1e-2)
    cosine = functional.cosine_similarity(fast.flat, autocast.flat, dim=0)
    far, theirs = ((x.flat - exact.flat).norm() / exact.flat.norm() for x in (fast, autocast))
    assert float(cosine) > 0.999, (float(cosine), float(far), float(theirs))
    assert float(far) < 3 * float(theirs), (float(far), float(theirs))
    assert all(weight.dtype == torch.float32 for weight in fast.weights.values())


@MODELS
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_micro_batches_add_up(name: str, precision: str) -> None:
    """Four micro-batches of one row give what one of four gives: 1e-5; bfloat16: cosine 0.999."""
    model, task = build(name)
    items = rows_for(task)
    whole = one_step(model, task, [micro_batch(task, items)], precision=precision)
    cut = [micro_batch(task, [item]) for item in items]
    added = one_step(model, task, cut, precision=precision)
    if precision == "float32":
        same(added, whole)
        same(added, one_step(model, task, cut, without_speedups=["all"]))
    else:
        assert float(functional.cosine_similarity(added.flat, whole.flat, dim=0)) > 0.999
        assert added.loss == pytest.approx(whole.loss, rel=1e-2)


@pytest.mark.parametrize("name", ["gpt2", "llama", "llama-tied", "gemma2", "gemma3"])
def test_packed_rows(name: str) -> None:
    """1e-5, against rows packed in the same way and against rows that have a place of their own."""
    model, task = build(name)
    items = rows_for(task)
    packed = [micro_batch(task, items, task.collate_packed([items[:3], items[3:]]))]
    fast = one_step(model, task, packed)
    assert fast.speedups == USED[name]
    same(fast, one_step(model, task, packed, without_speedups=["all"]))
    same(fast, one_step(model, task, [micro_batch(task, items)], without_speedups=["all"]))


@pytest.mark.parametrize("name", ["t5-tied", "gpt2", "llama", "gemma3"])
def test_checkpointed_activations(name: str) -> None:
    """1e-5, and with dropout to the last bit: the same masks are drawn again."""
    model, task = build(name)
    batch = [micro_batch(task, rows_for(task))]
    plain = one_step(model, task, batch, without_speedups=["all"])
    dropping = copy.deepcopy(model)
    for module in dropping.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.3
    whole = one_step(dropping, task, batch)
    for changed in (model, dropping):
        changed.activation_checkpointing_enable()
    same(one_step(model, task, batch), plain)
    again = one_step(dropping, task, batch)
    # Dropout did something: by chance alone the losses may be near, the gradients are not.
    assert whole.norm != pytest.approx(plain.norm, rel=1e-3)
    assert again.loss == whole.loss
    same(again, whole)
