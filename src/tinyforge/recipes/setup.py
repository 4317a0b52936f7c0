"""From the user's rows to a model and batches that are ready to train."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tinyforge.config.check import check_settings
from tinyforge.config.defaults import Facts, resolve
from tinyforge.config.settings import Settings
from tinyforge.data.dataset import Dataset, load_dataset
from tinyforge.data.encode import EncodedStore, Lengths, check_lengths, choose_lengths, encode
from tinyforge.data.pairs import encode_pairs
from tinyforge.data.survey import Survey, survey
from tinyforge.errors import SettingError
from tinyforge.models.heads import start_from_shares
from tinyforge.models.load import Loaded, family_of, load_for_training
from tinyforge.recipes.decide import choose_task
from tinyforge.recipes.model_before import with_reference
from tinyforge.tasks import build_task
from tinyforge.tasks.packing import keeps_apart

if TYPE_CHECKING:
    from tinyforge.tasks.base import Task

log = logging.getLogger("tinyforge")

VALIDATION_ROWS = 2_000
"""Validation during training looks at no more rows than this, always the same ones."""

ROOM = 16
"""Tokens that an answer may be longer than the longest one in training."""


@dataclass
class Setup:
    """Everything that is decided and loaded before the first step.

    Attributes:
        settings: the user's settings with every open choice made.
        reasons: one line for each choice that was made for the user.
        training: encoded training rows, cut to ``lengths``.
        validation: encoded validation rows; None where there are none.
        facts: what the open choices were made from.
    """

    settings: Settings
    reasons: list[str]
    survey: Survey
    dataset: Dataset
    loaded: Loaded
    task: Task
    lengths: Lengths
    training: EncodedStore
    validation: EncodedStore | None
    facts: Facts


def set_up(
    data: Any, settings: Settings, *, work: Path, rejected: Path | None, share: float = 1.0
) -> Setup:
    """Read, check and split the rows, load the model, encode, and fill every open setting.

    Args:
        data: a path, a hub id, a frame or a list of rows; see ``data.read.read_rows``.
        work: a folder for memory-mapped arrays; the caller removes it.
        rejected: where rejected rows are written; None writes none.
        share: of the training rows to learn from; validation and test rows stay as they are.
    """
    seen = survey(data, settings.data)
    name, why = choose_task(seen, family_of(settings.model), settings.task)
    dataset = load_dataset(
        data, seen.columns, name, settings.data,
        seed=settings.train.seed, work=work, rejected=rejected,
    )  # fmt: skip
    if share < 1:
        dataset = with_fewer_rows(dataset, share, settings.train.seed)
    loaded, task = _ready_to_learn(settings, name, dataset)
    made = encode_pairs if name == "preference" else encode
    whole = made(dataset.store, dataset.train, task, work=work, name="train")
    held = _evenly(dataset.validation, VALIDATION_ROWS)
    check = made(dataset.store, held, task, work=work, name="validation") if len(held) else None
    sequences = [one for store in (whole, check) if store for one in store.sequences()]
    lengths = choose_lengths(sequences, task, settings.data, loaded.max_positions)
    check_lengths(lengths, settings.data)
    _tell_limits(task, lengths, whole)
    facts = _facts(settings, dataset, loaded, whole, lengths)
    settings, reasons = resolve(settings, facts)
    settings, more = _pack_only_where_kept_apart(settings, loaded, task)
    limits = (task, lengths.max_length, lengths.max_output_length)
    training, validation = whole.limit(*limits), check.limit(*limits) if check else None
    training = with_reference(loaded.model, task, training, settings.train)
    if validation is not None:
        validation = with_reference(loaded.model, task, validation, settings.train)
    return Setup(
        settings=settings, reasons=[why, *loaded.notes, *reasons, *more], survey=seen,
        dataset=dataset, loaded=loaded, task=task, lengths=lengths, training=training,
        validation=validation, facts=facts,
    )  # fmt: skip


def set_up_again(setup: Setup, settings: Settings) -> Setup:
    """What ``set_up`` gives for other settings of training, without reading the rows again.

    Args:
        setup: of the same rows and the same model; its weights are not used.
        settings: as the user would give them; only those of ``train`` and ``lora``, and
            ``model.dropout``, may differ from the ones that ``setup`` was made with.
    """
    loaded, task = _ready_to_learn(settings, setup.task.name, setup.dataset)
    _tell_limits(task, setup.lengths, setup.training)
    facts = dataclasses.replace(setup.facts, parameters=loaded.parameters)
    settings, reasons = resolve(settings, facts)
    settings, more = _pack_only_where_kept_apart(settings, loaded, task)
    return dataclasses.replace(
        setup, settings=settings, reasons=[setup.reasons[0], *loaded.notes, *reasons, *more],
        loaded=loaded, task=task, facts=facts,
    )  # fmt: skip


def _ready_to_learn(settings: Settings, name: str, dataset: Dataset) -> tuple[Loaded, Task]:
    """The model as it is before the first step, and its task; the settings fit both."""
    loaded = load_model(settings, name, dataset)
    check_settings(
        settings, task=name, family=loaded.family, pretrained=loaded.pretrained,
        multi_label=dataset.multi_label, model_type=loaded.model.config.model_type,
    )  # fmt: skip
    if loaded.new_head:
        counts = dataset.report.labels["train"]
        shares = [counts.get(label, 0) / len(dataset.train) for label in dataset.labels]
        start_from_shares(loaded.model, shares, multi_label=dataset.multi_label)
    return loaded, make_task(settings, name, dataset, loaded)


def with_fewer_rows(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The same with a random share of the training rows; a smaller share is part of a larger."""
    order = np.random.default_rng([seed, 3]).permutation(len(dataset.train))
    kept = dataset.train[np.sort(order[: max(2, round(share * len(order)))])]
    report = copy.deepcopy(dataset.report)
    if dataset.labels:
        examples = (dataset.store[int(row)] for row in kept)
        found = (e.labels if e.labels is not None else (e.output or "",) for e in examples)
        counts = Counter(label for labels in found for label in labels)
        report.labels["train"] = {label: counts[label] for label in dataset.labels}
    report.split["train"] = len(kept)
    return dataclasses.replace(dataset, train=kept, report=report)


def _evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of the rows, from all over the file."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)]


def load_model(settings: Settings, task: str, dataset: Dataset, *, adapters: bool = True) -> Loaded:
    """The model to train, as it is before the first step; without LoRA where not ``adapters``."""
    lora = settings.lora if adapters else settings.lora.model_copy(update={"enabled": False})
    return load_for_training(
        settings.model, task=task, labels=dataset.labels, multi_label=dataset.multi_label,
        texts=_texts(dataset, settings.data.prefix), seed=settings.train.seed, lora=lora,
        gradient_checkpointing=settings.train.gradient_checkpointing,
    )  # fmt: skip


def _texts(dataset: Dataset, prefix: str | None) -> Callable[[], Iterable[str]]:
    """All texts of the training split, for training a tokenizer."""

    def texts() -> Iterator[str]:
        for index in dataset.train:
            example = dataset.store[int(index)]
            if example.messages:
                yield from (message.content for message in example.messages)
                if example.rejected is not None:
                    yield example.rejected
            else:
                yield (prefix or "") + example.input
                if example.output and dataset.labels == ():
                    yield example.output

    return texts


def _facts(
    settings: Settings, dataset: Dataset, loaded: Loaded, whole: EncodedStore, lengths: Lengths
) -> Facts:
    tokens = whole.input_lengths.astype(np.int64)
    if loaded.family == "encoder-decoder":
        tokens = tokens + whole.label_lengths
    return Facts(
        task=dataset.task, family=loaded.family, parameters=loaded.parameters,
        pretrained=loaded.pretrained, lora=settings.lora.enabled, train_rows=len(whole),
        mean_tokens=float(np.mean(tokens)), max_length=lengths.max_length,
        labels=len(dataset.labels), multi_label=dataset.multi_label,
        validation_rows=len(dataset.validation), accelerator=torch.cuda.is_available(),
    )  # fmt: skip


def make_task(settings: Settings, name: str, dataset: Dataset, loaded: Loaded) -> Task:
    """The task object for this data set and model."""
    return build_task(
        name, tokenizer=loaded.tokenizer, config=loaded.model.config, labels=dataset.labels,
        multi_label=dataset.multi_label, settings=settings,
    )  # fmt: skip


def _tell_limits(task: Any, lengths: Lengths, whole: EncodedStore) -> None:
    """What the task must know to cut and to stop as in training; it travels with the model."""
    task.max_length = lengths.max_length
    if task.name == "classify":
        return
    if task.family == "encoder-decoder":
        task.max_output_length = lengths.max_output_length
    if task.name != "language-model":
        answers = int(whole.learnt.max(initial=1))
        task.max_new_tokens = min(answers + ROOM, max(lengths.max_output_length, ROOM))


def _pack_only_where_kept_apart(
    settings: Settings, loaded: Loaded, task: Any
) -> tuple[Settings, list[str]]:
    """Settings in which rows are packed only if this model's attention keeps them apart.

    Raises:
        SettingError: the user asked for packing and the model cannot.
    """
    if not settings.train.pack or keeps_apart(loaded.model, task):
        return settings, []
    if "pack" in settings.train.model_fields_set:
        raise SettingError(
            "this model mixes up rows that are packed into one sequence",
            where="train.pack", value=loaded.name, fix="Leave it out",
        )  # fmt: skip
    train = settings.train.model_copy(update={"pack": False})
    train.model_fields_set.discard("pack")
    reason = "train.pack = false: this model would mix up rows packed into one sequence"
    return settings.model_copy(update={"train": train}), [reason]
