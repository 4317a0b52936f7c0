"""A trained model cut down by what matters on the user's rows, and taught by the whole one."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tinyforge.artifacts.run_folder import RunFolder
from tinyforge.compress.prune.distil import Distilled
from tinyforge.compress.prune.shrink import Cuts, Wish, shrink
from tinyforge.compress.prune.vocabulary import (
    affected,
    ids_to_keep,
    keep_tokens,
    used_ids,
)
from tinyforge.config.compress import CompressSettings
from tinyforge.config.defaults import Facts, resolve
from tinyforge.config.settings import Settings
from tinyforge.config.train import TrainSettings
from tinyforge.data.batch import MicroBatch, evaluation_batches, training_batches
from tinyforge.data.encode import EncodedStore, Lengths, choose_lengths, encode
from tinyforge.inference.torch_model import TorchModel
from tinyforge.inference.validation import classification_validation, loss_validation
from tinyforge.models.tokens import embedding_rows
from tinyforge.recipes.compress_rows import Material, evenly, texts_of
from tinyforge.tasks import task_from_state
from tinyforge.train.fit import fit
from tinyforge.train.precision import forward_precision

if TYPE_CHECKING:
    from tinyforge.train.hooks import Listener, Outcome

log = logging.getLogger("tinyforge")

VALIDATION_ROWS = 1_000
FEWEST_STEPS, MOST_STEPS, PASSES = 100, 1_000, 2
"""Recovery steps where the user says nothing: so many passes over the rows, within bounds."""

DEFAULT_SHARE = 0.25
LOGITS = 1 << 25
"""Numbers in the logits of one forward pass, at most: whole and smaller model hold them both."""


@dataclass(frozen=True)
class CutModel:
    """A model after the cut, and what it was cut from.

    Attributes:
        teacher: the whole model, reading the same tokens.
        student: the smaller one.
        parameters: numbers in the model as it was given.
        cuts: what went of the layers.
        vocabulary: how many tokens there were and are, and what that does to unseen rows; None
            where the vocabulary is whole.
    """

    teacher: TorchModel
    student: TorchModel
    parameters: int
    cuts: Cuts
    vocabulary: dict[str, Any] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it computes what the whole model computes."""
        return self.cuts.nothing

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **self.cuts.to_json(), "vocabulary": self.vocabulary,
            "parameters": {"had": self.parameters, "kept": self.student.parameters},
        }  # fmt: skip


@dataclass(frozen=True)
class Recovery:
    """What the training after the cut came to.

    Attributes:
        steps: done; 0: there was none.
        seconds: taken.
        before, after: validation values of the smaller model.
        kept: whether its weights are used; not, where validation got no better.
        settings: of the training, plain JSON.
    """

    steps: int = 0
    seconds: float = 0.0
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    kept: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


def wish_of(settings: CompressSettings) -> Wish:
    """What is to be cut; a quarter of the units where the user names nothing."""
    chosen = settings.prune
    share = chosen.share
    if share is None:
        nothing = chosen.layers is None and not chosen.vocabulary and chosen.heads is None
        share = DEFAULT_SHARE if nothing else 0.0
    return Wish(units=share, heads=chosen.heads, layers=chosen.layers, passes=chosen.passes)


def cut_model(whole: TorchModel, material: Material, wish: Wish, *, work: Path) -> CutModel:
    """The vocabulary first, then layers, heads and units.

    Args:
        wish: as ``wish_of`` gives it, or another share for the same rows.
        work: a folder for token ids; the caller removes it.

    Raises:
        ModelError: the architecture cannot be cut in this way.
        SettingError: a wish that has no effect.
    """
    whole.model.requires_grad_(True)  # merged adapters are frozen
    teacher, vocabulary = whole, None
    if material.settings.prune.vocabulary:
        teacher, vocabulary = _with_fewer_tokens(whole, material)
    if wish.units == 0 and not wish.heads and wish.layers is None:
        return CutModel(teacher, teacher, whole.parameters, Cuts(), vocabulary)
    model, cuts = shrink(
        teacher.model, teacher.task, _measured_on(teacher, material, work), wish, tell=log.info
    )
    for note in cuts.notes:
        log.info(note)
    task = task_from_state(teacher.task.state(), teacher.tokenizer, model.config)
    student = TorchModel.from_loaded(
        model, teacher.tokenizer, task, name=whole.name, settings=whole.settings
    )
    return CutModel(teacher, student, whole.parameters, cuts, vocabulary)


def _with_fewer_tokens(whole: TorchModel, material: Material) -> tuple[TorchModel, dict[str, Any]]:
    """The model without the tokens that no row outside the test uses."""
    dataset, task = material.dataset, whole.task
    log.info("looking which tokens the rows use")
    kept = ids_to_keep(
        whole.model, whole.tokenizer, used_ids(texts_of(task, dataset, material.seen))
    )
    lost = affected(texts_of(task, dataset, dataset.test), kept)
    had = embedding_rows(whole.model)
    model, tokenizer = keep_tokens(whole.model, whole.tokenizer, kept)
    fewer = TorchModel.from_loaded(
        model, tokenizer, task_from_state(task.state(), tokenizer, model.config),
        name=whole.name, settings=whole.settings,
    )  # fmt: skip
    log.info(f"{len(kept):,} of {had:,} tokens stay. {lost.sentence()}")
    record = {"had": had, "kept": len(kept), "unseen": lost.to_json(), "sentence": lost.sentence()}
    return fewer, record


def _measured_on(model: TorchModel, material: Material, work: Path) -> list[MicroBatch]:
    """The training rows on which it is measured what matters, as micro-batches."""
    numbers = evenly(material.dataset.train, material.settings.prune.rows)
    store = encode(material.dataset.store, numbers, model.task, work=work, name="measured")
    lengths = _lengths([store], model, material)
    limited = store.limit(model.task, lengths.max_length, lengths.max_output_length)
    return list(evaluation_batches(limited, model.task, micro_batch_tokens=2_048))


def _lengths(stores: Sequence[EncodedStore], model: TorchModel, material: Material) -> Lengths:
    return choose_lengths(stores, model.task, material.settings.data, model.max_positions)


def recover(
    cut: CutModel,
    material: Material,
    folder: RunFolder,
    *,
    work: Path,
    resume: bool,
    identity: dict[str, Any],
    listeners: Sequence[Listener] = (),
) -> Recovery:
    """Let the smaller model learn from the whole one; it is changed in place.

    Where validation is no better afterwards, the weights from before are put back.

    Args:
        folder: an open run's folder.
        identity: what must be the same for a resume, plain JSON.
    """
    if cut.is_whole or material.settings.recover.steps == 0:
        return Recovery()
    student, task = cut.student, cut.student.task
    dataset = material.dataset
    whole = encode(dataset.store, dataset.train, task, work=work, name="train")
    held = evenly(dataset.validation, VALIDATION_ROWS)
    check = encode(dataset.store, held, task, work=work, name="validation") if len(held) else None
    lengths = _lengths([whole] + ([check] if check else []), student, material)
    limits = (task, lengths.max_length, lengths.max_output_length)
    training = whole.limit(*limits)
    validation = check.limit(*limits) if check else None
    settings = _training_settings(cut, material, training, lengths, rows=len(held))
    how = material.settings.recover
    taught = Distilled(task, cut.teacher.model, share=how.teacher_share, temperature=how.softness)
    student.model.requires_grad_(True).train()  # so that validation leaves no inference tensors
    validate = None if validation is None else _validator(task, validation, settings)
    before = {} if validate is None else validate(student.model)
    kept = {name: weight.clone() for name, weight in student.model.state_dict().items()}
    log.info(f"recovering: {settings.max_steps:,} steps, taught by the whole model")
    outcome: Outcome = fit(
        student.model, taught,
        training_batches(training, task, settings, max_length=lengths.max_length), settings,
        folder=folder, evaluate=validate, best_by=settings.best_by or "loss", resume=resume,
        identity=identity, listeners=listeners,
    )  # fmt: skip
    after = {} if validate is None else validate(student.model)
    helped = validate is None or _better(after, before, settings.best_by or "loss")
    if not helped:
        log.warning("the recovery training did not help on the validation rows; it is taken back")
        student.model.load_state_dict(kept)
    elif "threshold" in after:
        task.threshold = after["threshold"]  # of several labels: which probability means yes
    student.model.eval()
    return Recovery(
        outcome.steps, outcome.seconds, before, after, helped, settings.model_dump(mode="json")
    )


def _validator(task: Any, validation: EncodedStore, settings: TrainSettings) -> Any:
    measure = classification_validation if task.name == "classify" else loss_validation

    def validate(model: Any) -> dict[str, float]:
        precision = forward_precision(settings, model)
        return measure(model, task, evaluation_batches(validation, task), precision=precision)

    return validate


def _better(after: dict[str, float], before: dict[str, float], by: str) -> bool:
    if after[by] == before[by]:
        return after["loss"] < before["loss"]
    return after[by] < before[by] if by == "loss" else after[by] > before[by]


def _training_settings(
    cut: CutModel, material: Material, training: EncodedStore, lengths: Lengths, *, rows: int
) -> TrainSettings:
    """The user's settings of training with every open choice made."""
    asked, student = material.settings, cut.student
    steps = asked.recover.steps
    chosen: dict[str, Any] = {"max_steps": steps or 1}
    if asked.train.pack is None:
        chosen["pack"] = False
    vocabulary = embedding_rows(student.model)
    if student.task.name != "classify" and not asked.train.micro_batch_tokens:
        chosen["micro_batch_tokens"] = max(256, min(4_096, LOGITS // vocabulary))
    facts = Facts(
        task=student.task.name, family=student.task.family, parameters=student.parameters,
        pretrained=True, lora=False, train_rows=len(training),
        mean_tokens=float(training.input_lengths.mean()), max_length=lengths.max_length,
        labels=len(student.labels), validation_rows=rows,
        multi_label=bool(getattr(student.task, "multi_label", False)),
        accelerator=torch.cuda.is_available(),
    )  # fmt: skip
    train = asked.train.model_copy(update=chosen)
    settings, _ = resolve(Settings(train=train), facts)
    if steps is None:
        passes = math.ceil(PASSES * len(training) / (settings.train.batch_size or 1))
        train = train.model_copy(update={"max_steps": max(FEWEST_STEPS, min(MOST_STEPS, passes))})
        settings, _ = resolve(Settings(train=train), facts)
    return settings.train


def with_share(wish: Wish, share: float) -> Wish:
    """The same wish with another share of units, and of heads where they follow it."""
    return replace(wish, units=share)
