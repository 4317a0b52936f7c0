"""Tiny models with their tasks and rows, for the tests of pruning."""

from __future__ import annotations

from typing import Any

import torch
from task_models import (
    DECODERS,
    ENCODER_DECODERS,
    bert_tokenizer,
    classifier,
    gpt_tokenizer,
    language_model,
    t5_tokenizer,
)

from tinyforge.config.settings import Settings
from tinyforge.data.batch import MicroBatch
from tinyforge.records.examples import Example
from tinyforge.tasks import build_task

LABELS = ("bad", "good", "so-so")
WRITERS = ("t5-tied", "t5-untied", "gpt2", "llama", "llama-tied", "gemma2", "gemma3")
READERS = ("bert", "distilbert")
ALL = READERS + WRITERS
WORDS = [
    *("how", "are", "you", "doing", "today", "the", "cat", "sat", "on", "mat", "and", "dog"),
    *("lay", "by", "door", "what", "is", "name"),
]


def make(name: str, *, multi_label: bool = False, labels: int = 3) -> tuple[Any, Any]:
    """A model in evaluation mode, and its task."""
    if name in READERS:
        model = classifier(name, labels, multi_label=multi_label)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(4.0)
        given: dict[str, Any] = {"labels": LABELS[:labels], "multi_label": multi_label}
        return model.eval(), _task("classify", bert_tokenizer(), model, **given)
    model = language_model(name).eval()
    tokenizer = t5_tokenizer() if name in ENCODER_DECODERS else gpt_tokenizer()
    task = "text2text" if name in ENCODER_DECODERS else "language-model"
    return model, _task(task, tokenizer, model)


def _task(name: str, tokenizer: Any, model: Any, **given: Any) -> Any:
    return build_task(name, tokenizer=tokenizer, config=model.config, settings=Settings(), **given)


def rows(task: Any, count: int = 12) -> list[Example]:
    """Rows that fit the task."""
    texts = [" ".join(WORDS[i % 7 : i % 7 + 4 + i % 5]) for i in range(count)]
    if task.name == "classify" and task.multi_label:
        return [Example(text, labels=LABELS[: i % 3]) for i, text in enumerate(texts)]
    if task.name == "classify":
        return [Example(text, task.labels[i % len(task.labels)]) for i, text in enumerate(texts)]
    if task.family == "encoder-decoder":
        return [Example(text, " ".join(reversed(text.split()))) for text in texts]
    return [Example(output=text) for text in texts]


def batches(task: Any, examples: list[Example], size: int = 4) -> list[MicroBatch]:
    """Micro-batches of examples."""
    found = []
    for start in range(0, len(examples), size):
        items = task.encode(examples[start : start + size])
        tokens = sum(len(item.input_ids) for item in items)
        found.append(
            MicroBatch(task.collate(items), task.units(items), len(items), tokens, tokens, None)
        )
    return found


@torch.no_grad()
def answers(model: Any, task: Any) -> torch.Tensor:
    """Logits for some rows, every position that has a token."""
    batch = task.collate(task.encode(rows(task)))
    if task.name == "classify":
        return task.logits(model, batch)
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    return model(**inputs).logits[batch["labels"] != -100]


def is_decoder(name: str) -> bool:
    """Whether a model is a decoder."""
    return name in DECODERS or name == "gemma3"
