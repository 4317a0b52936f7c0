"""A model and its tokenizer, ready to be trained or to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tinyforge.config.model import LoraSettings, ModelSettings
from tinyforge.errors import ModelError, SettingError
from tinyforge.models import heads, scratch
from tinyforge.models.adapters import base_of, open_adapter
from tinyforge.models.dropout import set_dropout
from tinyforge.models.families import answering_class, check_fit, family_of_config, training_class
from tinyforge.models.folder import check_config, is_adapter
from tinyforge.models.lora import add_adapters
from tinyforge.models.quiet import quiet
from tinyforge.models.sizes import max_positions, parameters
from tinyforge.models.source import Location, hub_id, local_folder, locate
from tinyforge.models.tokens import (
    add_special_tokens,
    check_vocabulary,
    lend_pad_token,
    load_tokenizer,
)
from tinyforge.models.weights import read_config, read_model, refuse_missing
from tinyforge.text.templates import ensure_template

ANY_TASK = ""


@dataclass
class Loaded:
    """A model in memory.

    Attributes:
        model: a Hugging Face model in float32 and evaluation mode; a peft model with LoRA.
        tokenizer: its Hugging Face tokenizer.
        family: ``encoder``, ``encoder-decoder`` or ``decoder``.
        name: hub id, folder as given, or ``scratch:PRESET``.
        path: the local folder that it was loaded from; None for a scratch model.
        parameters: how many numbers the model has, adapters included.
        max_positions: tokens a text may have; None: no bound (T5).
        pretrained: False for a scratch model.
        notes: sentences for the user, newly initialised weights among them.
        new_head: whether a classifier's last layer knows nothing yet.
    """

    model: Any
    tokenizer: Any
    family: str
    name: str
    path: str | None
    parameters: int
    max_positions: int | None
    pretrained: bool
    notes: list[str] = field(default_factory=list)
    new_head: bool = False


def family_of(settings: ModelSettings) -> str | None:
    """The family of the model that the settings name, without its weights; None for ``auto``."""
    if settings.name == "auto":
        return None
    location = _locate(settings, ANY_TASK)
    if location.preset:
        return scratch.PRESETS[location.preset].family
    folder = local_folder(location)
    if is_adapter(folder):
        raise _train_merged(folder)
    config = check_config(folder, trust_remote_code=settings.trust_remote_code)
    return family_of_config(config, name=location.name)


def load_for_training(
    settings: ModelSettings,
    *,
    task: str,
    labels: Sequence[str],
    multi_label: bool,
    texts: Callable[[], Iterable[str]],
    seed: int,
    lora: LoraSettings,
    gradient_checkpointing: bool = False,
) -> Loaded:
    """The model to train, with the right head, special tokens and adapters.

    Everything random (a new head, new weights, adapters) depends on ``seed`` alone, and PyTorch's
    own generator is left as it was.

    Args:
        task: a name in ``tinyforge.tasks.TASKS``.
        labels: all labels in the order of their indices; empty except for classify.
        texts: gives the training texts anew at every call; used by scratch presets only.

    Raises:
        ModelError: the model cannot be found, is unsafe or damaged, or does not fit the task.
        SettingError: a setting has no effect on this model, or a wrong value.
    """
    location = _locate(settings, task)
    if location.preset:
        _check_scratch(location.preset, task, lora)
        new: list[str] = []
        loaded = _from_nothing(location, settings, task, labels, multi_label, texts, seed)
    else:
        _check_pretrained(settings, location)
        loaded, new = _pretrained(location, settings, task, labels, multi_label, seed)
    loaded.new_head = task == "classify" and heads.KEPT not in loaded.notes
    if location.note:
        loaded.notes.insert(0, location.note)
    if task in ("instruct", "preference"):
        note = ensure_template(loaded.tokenizer)
        loaded.notes += [note] if note else []
    if gradient_checkpointing:
        _checkpoint_gradients(loaded)
    if lora.enabled:
        base = location.name if hub_id(location) else str(local_folder(location).resolve())
        loaded.model.name_or_path = base
        loaded.model = add_adapters(loaded.model, lora, loaded.family, seed=seed, new_parts=new)
        loaded.model.peft_config["default"].revision = settings.revision
    loaded.parameters = parameters(loaded.model)
    return loaded


def load_for_inference(
    name: str | Path, *, trust_remote_code: bool = False, revision: str | None = None
) -> Loaded:
    """A model that answers, with the class that its config names.

    Args:
        name: a run folder, any Hugging Face folder, an adapter's folder, or a hub id.

    Raises:
        ModelError: it cannot be found, is unsafe or damaged, or has no head to answer with.
    """
    name = str(name)
    location = locate(name, task=ANY_TASK, revision=revision, trust_remote_code=trust_remote_code)
    folder = local_folder(location)
    if is_adapter(folder):
        base_name, base_revision = base_of(folder)
        base = locate(
            base_name, task=ANY_TASK, revision=base_revision, trust_remote_code=trust_remote_code
        )
        model, tokenizer, family = open_adapter(folder, base, trust_remote_code=trust_remote_code)
        notes = [f"adapter on {base.name}, merged"]
    else:
        raw = check_config(folder, trust_remote_code=trust_remote_code)
        family = family_of_config(raw, name=name)
        auto_class = answering_class(raw, family, name=name)
        config = read_config(folder, trust_remote_code=trust_remote_code)
        read = read_model(auto_class, folder, config, trust_remote_code=trust_remote_code)
        refuse_missing(read.missing, folder)
        model, notes = read.model, []
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
        check_vocabulary(model, tokenizer, name=name)
    lend_pad_token(model, tokenizer)
    return _loaded(model, tokenizer, family, location, notes)


def _locate(settings: ModelSettings, task: str) -> Location:
    return locate(
        settings.name,
        task=task,
        revision=settings.revision,
        trust_remote_code=settings.trust_remote_code,
    )


def _loaded(
    model: Any, tokenizer: Any, family: str, location: Location, notes: Sequence[str] = ()
) -> Loaded:
    return Loaded(
        model=model.eval(),
        tokenizer=tokenizer,
        family=family,
        name=location.name,
        path=str(location.folder) if location.folder else None,
        parameters=parameters(model),
        max_positions=max_positions(model),
        pretrained=location.preset is None,
        notes=list(notes),
    )


def _from_nothing(
    location: Location,
    settings: ModelSettings,
    task: str,
    labels: Sequence[str],
    multi_label: bool,
    texts: Callable[[], Iterable[str]],
    seed: int,
) -> Loaded:
    preset = location.preset or ""
    family = scratch.PRESETS[preset].family
    tokenizer, notes = scratch.build_tokenizer(preset, settings, texts)
    config = scratch.build_config(preset, settings, tokenizer)
    if settings.dropout is not None:
        set_dropout(config, settings.dropout)
    if task == "classify":
        heads.set_labels(config, labels, multi_label=multi_label)
    model = scratch.build_model(training_class(task, family), config, seed=seed)
    add_special_tokens(model, tokenizer, generates=task != "classify")
    notes.append(
        f"all weights are new ({parameters(model):,} numbers); a vocabulary of {len(tokenizer):,} "
        "was learnt from the data"
    )
    return _loaded(model, tokenizer, family, location, notes)


def _pretrained(
    location: Location,
    settings: ModelSettings,
    task: str,
    labels: Sequence[str],
    multi_label: bool,
    seed: int,
) -> tuple[Loaded, list[str]]:
    """The loaded model, and its newly initialised modules inside the pretrained body."""
    folder, trust = local_folder(location), settings.trust_remote_code
    if is_adapter(folder):
        raise _train_merged(folder)
    raw = check_config(folder, trust_remote_code=trust)
    family = family_of_config(raw, name=location.name)
    check_fit(task, family, name=location.name)
    config = read_config(folder, trust_remote_code=trust)
    if settings.dropout is not None:
        set_dropout(config, settings.dropout)
    if task == "classify":
        heads.set_labels(config, labels, multi_label=multi_label)
    read = read_model(
        training_class(task, family),
        folder,
        config,
        seed=seed,
        trust_remote_code=trust,
        other_head=task == "classify",
    )
    tokenizer = load_tokenizer(folder, trust_remote_code=trust)
    check_vocabulary(read.model, tokenizer, name=location.name)
    new: list[str] = []
    notes: list[str] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if task == "classify":
            new, notes = heads.settle(read, raw, labels, folder)
        else:
            refuse_missing(read.missing, folder)
        notes += add_special_tokens(read.model, tokenizer, generates=task != "classify")
    return _loaded(read.model, tokenizer, family, location, notes), new


def _check_scratch(preset: str, task: str, lora: LoraSettings) -> None:
    check_fit(task, scratch.PRESETS[preset].family, name=f"scratch:{preset}")
    if lora.enabled:
        raise SettingError(
            "adapters change a pretrained model a little, and a scratch model is not pretrained",
            where="lora.enabled",
            value=True,
            fix="Leave --lora out, or choose a pretrained model",
        )


def _check_pretrained(settings: ModelSettings, location: Location) -> None:
    for where, value in (("vocab_size", settings.vocab_size), ("shape", settings.shape)):
        if value:
            raise SettingError(
                f"the setting has no effect on the pretrained model {location.name}",
                where=f"model.{where}",
                value=value,
                fix="Leave it out, or choose --model scratch:…",
            )


def _train_merged(folder: Path) -> ModelError:
    whole = folder.parent
    fix = "Give the merged model"
    if (whole / "config.json").is_file():
        fix += f": {whole}"
    return ModelError("an adapter alone cannot be trained on", where=str(folder), fix=fix)


def _checkpoint_gradients(loaded: Loaded) -> None:
    if not loaded.model.supports_gradient_checkpointing:
        raise SettingError(
            f"a {loaded.model.config.model_type} model cannot recompute its activations",
            where="train.gradient_checkpointing",
            value=True,
            fix="Leave the setting out",
        )
    with quiet():
        loaded.model.gradient_checkpointing_enable({"use_reentrant": False})
