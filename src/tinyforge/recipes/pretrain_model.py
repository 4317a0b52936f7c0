"""The model of a plan, its task and its batches; and how fast each size learns here."""

from __future__ import annotations

import gc
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tinyforge.config.pretrain import PretrainRunSettings
from tinyforge.config.train import TrainSettings
from tinyforge.corpus.batches import Stage, WindowBatches, first_windows
from tinyforge.corpus.mix import Mix
from tinyforge.corpus.token_shards import total_tokens
from tinyforge.data.batch import MicroBatch
from tinyforge.errors import SettingError
from tinyforge.inference.validation import loss_validation
from tinyforge.models.dial import new_config, new_model, preset_of
from tinyforge.models.sizes import parameters
from tinyforge.models.tokens import add_special_tokens
from tinyforge.recipes.pretrain_plan import Measured, Plan
from tinyforge.recipes.pretrain_samples import sample
from tinyforge.recipes.pretrain_setup import Text, mix_of
from tinyforge.tasks.pretraining import build_objective
from tinyforge.tasks.pretraining.base import Objective, token_bytes
from tinyforge.train.precision import forward_precision
from tinyforge.train.speed import tokens_per_second

log = logging.getLogger("tinyforge")

MICRO_TOKENS, MICRO_TOKENS_GPU = 4_096, 32_768
MEASURING_SECONDS = 1.5
"""For each size."""


@dataclass
class Pretraining:
    """A model that is ready for its first step.

    Attributes:
        context: tokens that it sees at once.
        notes: for the user.
    """

    model: Any
    task: Objective
    mix: Mix
    batches: WindowBatches
    validation: list[MicroBatch]
    context: int
    notes: list[str]


def make_model(
    size: str, text: Text, settings: PretrainRunSettings
) -> tuple[Any, Objective, int, list[str]]:
    """A new model of a size, its task, its context, and notes for the user."""
    chosen = settings.pretrain
    preset = preset_of(chosen.architecture, size, chosen.context)
    config = new_config(
        preset, settings.model.shape, text.tokenizer, dropout=settings.model.dropout
    )
    model = new_model(chosen.architecture, config, seed=settings.train.seed)
    generates = chosen.architecture != "bert"
    notes = add_special_tokens(model, text.tokenizer, generates=generates)
    task = build_objective(chosen.architecture, text.tokenizer, model.config, **_options(settings))
    return model, task, preset.max_length or 0, notes


def window_of(task: Objective, context: int) -> int:
    """Tokens of a window: the context without the special tokens that the task adds."""
    if not task.added:
        return context
    return max(1, context - task.added) // 4 * 4 or 1


def make_ready(plan: Plan, text: Text, settings: PretrainRunSettings) -> Pretraining:
    """The model of a plan, with what it learns from and is validated on."""
    model, task, context, notes = make_model(plan.size, text, settings)
    if context and hasattr(task, "max_length"):
        task.max_length = context
    mix = mix_of(text.training, text.corpus, settings, plan.window)
    batches = WindowBatches(
        mix, task, plan.batches(), window=plan.window, micro_tokens=_micro_tokens(settings),
        windows_per_epoch=max(1, text.unique_tokens // plan.window), seed=settings.train.seed,
        cross_documents=settings.pretrain.cross_documents,
    )  # fmt: skip
    held = mix_of(text.validation, text.corpus, settings, plan.window)
    windows = min(settings.pretrain.validation_tokens, total_tokens(text.validation))
    validation = first_windows(
        held, task, max(1, windows // plan.window), window=plan.window,
        micro_tokens=_micro_tokens(settings),
        cross_documents=settings.pretrain.cross_documents,
    )  # fmt: skip
    return Pretraining(model, task, mix, batches, validation, context, notes)


def measurer(text: Text, settings: PretrainRunSettings) -> Callable[[str], Measured]:
    """Tries sizes out: a few steps of each, at full length, on windows of the corpus."""

    def measure(size: str) -> Measured:
        model, task, context, _ = make_model(size, text, settings)
        count, window = parameters(model), window_of(task, context)
        rows = max(1, _micro_tokens(settings) // window)
        batches: Any = WindowBatches(
            mix_of(text.training, text.corpus, settings, window), task, [Stage(0, window, rows)],
            window=window, micro_tokens=_micro_tokens(settings),
            windows_per_epoch=max(1, text.unique_tokens // window), seed=settings.train.seed,
            cross_documents=settings.pretrain.cross_documents,
        )  # fmt: skip
        how = settings.train.model_copy(
            update={"optimizer": "muon", "learning_rate": 1e-3, "max_steps": 10, "epochs": None}
        )
        speed = tokens_per_second(model, task, batches, how, seconds=MEASURING_SECONDS)
        del model, batches
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.info(f"size {size}: {count:,} weights, {speed:,.0f} tokens a second here")
        return Measured(size, count, window, speed)

    return measure


def validate(
    ready: Pretraining, text: Text, settings: PretrainRunSettings, train: TrainSettings, start: str
) -> Callable[[Any], Mapping[str, float | str]]:
    """What the loop calls now and then: loss, bits per byte for a decoder, and a sample."""
    task = ready.task
    size = 0
    if task.family == "decoder":
        each = token_bytes(text.tokenizer)
        learnt = (batch.tensors["labels"][:, 1:] for batch in ready.validation)
        size = sum(int(each[labels[labels >= 0].numpy()].sum()) for labels in learnt)

    def values(model: Any) -> dict[str, float | str]:
        precision = forward_precision(train, model)
        found: dict[str, float | str] = {}
        found |= loss_validation(model, task, ready.validation, precision=precision)
        if size:
            units = sum(batch.units for batch in ready.validation)
            found["bits_per_byte"] = float(found["loss"]) * units / size / math.log(2)
        with forward_precision(train, model):
            found |= sample(
                model, task, start, tokens=settings.pretrain.sample_tokens, seed=train.seed
            )
        return found

    return values


def train_settings(plan: Plan, settings: PretrainRunSettings) -> TrainSettings:
    """The loop's settings: the plan's where the user has set none."""
    train = settings.train
    chosen = dict(plan.train)
    if "learning_rate" not in chosen and train.learning_rate is None:
        raise SettingError(
            "has no default for this optimizer", where="train.learning_rate",
            value=train.optimizer, fix="Give one, for example 1e-3 with adamw",
        )  # fmt: skip
    chosen |= {
        "batch_size": plan.windows_per_step, "max_steps": plan.steps, "epochs": None,
        "max_minutes": plan.minutes, "best_by": "loss",
    }  # fmt: skip
    if train.validate_every is None:
        chosen["validate_every"] = max(1, plan.steps // 10)
    return train.model_copy(update=chosen)


def _micro_tokens(settings: PretrainRunSettings) -> int:
    usual = MICRO_TOKENS_GPU if torch.cuda.is_available() else MICRO_TOKENS
    return settings.train.micro_batch_tokens or usual


def _options(settings: PretrainRunSettings) -> dict[str, Any]:
    chosen = settings.pretrain
    options: dict[str, Any] = {}
    if chosen.hidden_share is not None:
        options["share"] = chosen.hidden_share
    if chosen.architecture == "t5":
        options["mean_span"] = chosen.span_tokens
    if chosen.architecture == "bert":
        options["whole_words"] = chosen.whole_words
    return options
