"""Validation says what a plain computation over all rows says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from tiny_answerers import PAIRS, bert, make

from tinyforge.inference.torch_model import TorchModel
from tinyforge.inference.validation import classification_validation, loss_validation
from tinyforge.records.examples import Example


@dataclass
class Batch:
    tensors: dict[str, torch.Tensor]
    units: int


def batches(task: Any, examples: list[Example], size: int) -> list[Batch]:
    items = task.encode(examples)
    parts = [items[i : i + size] for i in range(0, len(items), size)]
    return [Batch(task.collate(part), task.units(part)) for part in parts]


WORDS = ["cat", "dog", "the mat", "how are you", "log", "fine thanks", "sat on", "words too"]


def test_one_label(classifier: TorchModel) -> None:
    task, model = classifier.task, classifier.model
    examples = [Example(input=w, output=task.labels[i % 3]) for i, w in enumerate(WORDS)]
    found = classification_validation(model, task, batches(task, examples, 3))
    answered = [p.output for p in classifier.predict_examples(examples)]
    gold = [e.output for e in examples]
    assert len(set(answered)) > 1
    assert found["accuracy"] == pytest.approx(accuracy_score(gold, answered))
    macro = f1_score(gold, answered, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(macro)
    whole = batches(task, examples, 99)[0]
    with torch.no_grad():
        loss = model(**whole.tensors).loss.item()
    assert found["loss"] == pytest.approx(loss, rel=1e-5)


def test_several_labels(piece_tokenizer: Any) -> None:
    names = ("a", "b", "c", "d")
    model = bert(piece_tokenizer, 4)
    many = make("classify", model, piece_tokenizer, labels=names, multi_label=True)
    sets = [(), ("a",), ("b", "c"), ("d",), ("a", "d"), ("c",), ("a", "b", "c", "d"), ("b",)]
    examples = [Example(input=w, labels=s) for w, s in zip(WORDS, sets, strict=True)]
    found = classification_validation(model, many.task, batches(many.task, examples, 3))
    probabilities = [many.predict_examples([e])[0].scores for e in examples]
    gold = [[name in row for name in names] for row in sets]

    def at(threshold: float) -> list[list[bool]]:
        return [[row[name] >= threshold for name in names] for row in probabilities]

    every = [f1_score(gold, at(k / 100), average="micro") for k in range(1, 100)]
    assert found["micro_f1"] == pytest.approx(max(every))
    said = at(found["threshold"])
    assert found["micro_f1"] == pytest.approx(f1_score(gold, said, average="micro"))
    assert found["accuracy"] == pytest.approx(accuracy_score(gold, said))


def test_the_loss_is_a_mean_over_tokens_and_the_mode_comes_back(reverser: TorchModel) -> None:
    task, model = reverser.task, reverser.model
    examples = [Example(input=question, output=answer) for question, answer in PAIRS]
    whole = batches(task, examples, 9)[0]
    with torch.no_grad():
        expected = model(**whole.tensors).loss.item()
    model.train()
    model.encoder.eval()
    state = torch.get_rng_state()
    try:
        found = loss_validation(model, task, batches(task, examples, 2))
        assert model.training
        assert model.decoder.block[0].training
        assert not model.encoder.training
    finally:
        model.eval()
    assert found["loss"] == pytest.approx(expected, rel=1e-4)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_forward_passes_run_in_the_precision_given(classifier: TorchModel) -> None:
    task, model = classifier.task, classifier.model
    examples = [Example(input=w, output=task.labels[0]) for w in WORDS]
    seen = []
    hook = model.classifier.register_forward_hook(lambda *parts: seen.append(parts[2].dtype))
    try:
        parts = batches(task, examples, 4)
        precision = torch.autocast("cpu", torch.bfloat16)
        half = classification_validation(model, task, parts, precision=precision)
        full = classification_validation(model, task, parts)
    finally:
        hook.remove()
    assert seen == [torch.bfloat16] * 2 + [torch.float32] * 2
    assert half["loss"] == pytest.approx(full["loss"], rel=0.05)
