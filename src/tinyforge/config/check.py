"""Rules across stages: a setting that does nothing here is an error, and so is a contradiction.

``NO_EFFECT`` and ``CONFLICTS`` are the tables to read; ``check_settings`` runs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tinyforge.config.names import explicit, value_of
from tinyforge.config.settings import Settings
from tinyforge.errors import SettingError


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a run when its settings are checked. None means: not known yet.

    Attributes:
        task: ``classify``, ``text2text``, ``instruct``, ``language-model`` or ``preference``.
        family: ``encoder``, ``encoder-decoder`` or ``decoder``.
        pretrained: False for a model trained from nothing.
        multi_label: whether a row may carry several labels.
        model_type: the Hugging Face name of the architecture, for example ``t5``.
    """

    task: str | None = None
    family: str | None = None
    pretrained: bool | None = None
    multi_label: bool | None = None
    model_type: str | None = None


Holds = Callable[[Settings, Situation], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """Settings that do nothing when a condition holds.

    Attributes:
        names: dotted names; a pattern such as ``lora.*`` stands for several.
        useless: the condition; False where too little is known.
        why: why they do nothing, in words.
        fix: the next step.
    """

    names: tuple[str, ...]
    useless: Holds
    why: str
    fix: str = "Leave it out"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two settings that cannot both hold; ``name`` is the one reported."""

    name: str
    holds: Holds
    why: str
    fix: str


def _task_is(*tasks: str) -> Holds:
    return lambda settings, here: here.task in tasks


def _task_is_not(*tasks: str) -> Holds:
    return lambda settings, here: here.task is not None and here.task not in tasks


def _family_is_not(*families: str) -> Holds:
    return lambda settings, here: here.family is not None and here.family not in families


def _best_by_is_not_measured(settings: Settings, here: Situation) -> bool:
    if settings.train.best_by is None or here.task is None:
        return False
    measured = {"loss"}
    if here.task == "classify":
        measured |= {"accuracy", "micro_f1" if here.multi_label else "macro_f1"}
        if here.multi_label is None:
            measured.add("micro_f1")
    return settings.train.best_by not in measured


def _no_validation(settings: Settings, here: Situation) -> bool:
    return settings.data.validation is None and settings.data.validation_share == 0


NO_EFFECT: tuple[Rule, ...] = (
    Rule(
        ("generate.max_new_tokens", "generate.temperature", "generate.top_k", "generate.top_p",
         "generate.num_beams", "generate.stop", "generate.seed", "generate.logprobs",
         "generate.json_schema"),
        _task_is("classify"),
        "classification generates no text",
    ),
    Rule(
        ("generate.top_k", "generate.top_p", "generate.seed"),
        lambda settings, here: settings.generate.temperature == 0,
        "at temperature 0 the likeliest token is always taken",
        "Leave it out, or set generate.temperature above 0",
    ),
    Rule(
        ("data.max_output_length",),
        _family_is_not("encoder-decoder"),
        "only encoder-decoder models read input and answer apart",
        "Leave it out, or set data.max_length",
    ),
    Rule(
        ("data.label_separator", "data.multi_label"),
        _task_is_not("classify"),
        "only classification has labels",
    ),
    Rule(
        ("data.label_separator",),
        lambda settings, here: settings.data.multi_label is False,
        "data.multi_label is false, so a cell is one label",
    ),
    Rule(
        ("evaluate.target_accuracy", "evaluate.out_of_scope", "evaluate.label_errors",
         "evaluate.alarm_labels", "evaluate.alarm_rate"),
        _task_is_not("classify"),
        "only classification has labels",
    ),
    Rule(
        ("evaluate.alarm_rate",),
        lambda settings, here: not settings.evaluate.alarm_labels,
        "no labels raise an alarm",
        "Name them: --set evaluate.alarm_labels=toxic",
    ),
    Rule(
        ("evaluate.target_accuracy", "evaluate.out_of_scope", "evaluate.label_errors"),
        lambda settings, here: here.multi_label is True,
        "it is for one label a row",
    ),
    Rule(
        ("evaluate.target_accuracy", "evaluate.alarm_labels"),
        _no_validation,
        "data.validation_share is 0, so there are no rows to choose a threshold on",
    ),
    Rule(
        ("evaluate.training_rows",),
        lambda settings, here: here.pretrained is not None,
        "the training rows of this run are known",
        "Leave it out; it is for tinyforge evaluate",
    ),
    Rule(("data.prefix",), _task_is("language-model"), "raw text has no input"),
    Rule(
        ("data.system",),
        _task_is_not("instruct", "preference"),
        "only instruct models read a chat",
    ),
    Rule(
        ("data.rejected", "preference.beta"),
        _task_is_not("preference"),
        "only preference training compares two answers",
    ),
    Rule(
        ("data.validation_share",),
        lambda settings, here: (
            settings.data.validation is not None and settings.data.validation_share > 0
        ),
        "the validation rows come from data.validation",
        "Give one of the two",
    ),
    Rule(
        ("data.test_share",),
        lambda settings, here: settings.data.test is not None and settings.data.test_share > 0,
        "the test rows come from data.test",
        "Give one of the two",
    ),
    Rule(
        ("data.keep_leaks",),
        lambda settings, here: settings.data.test is None and settings.data.validation is None,
        "there is no separate test or validation file that rows could leak from",
    ),
    Rule(
        ("model.vocab_size", "model.shape"),
        lambda settings, here: here.pretrained is True,
        "a pretrained model keeps its own tokenizer and sizes",
        "Leave it out, or train from nothing with a scratch: model",
    ),
    Rule(
        ("model.revision", "model.trust_remote_code"),
        lambda settings, here: here.pretrained is False,
        "a scratch model comes from no hub",
    ),
    Rule(
        ("model.revision",),
        lambda settings, here: Path(settings.model.name).is_dir(),
        "a local folder has no revisions",
    ),
    Rule(
        ("lora.r", "lora.alpha", "lora.dropout", "lora.target_modules"),
        lambda settings, here: not settings.lora.enabled,
        "lora.enabled is false",
        "Set lora.enabled=true (--lora), or leave it out",
    ),
    Rule(("train.pack",), _family_is_not("decoder"), "only decoders pack rows"),
    Rule(("train.pack",), _task_is("preference"), "the two answers of a pair stay together"),
    Rule(
        ("train.bucket",),
        lambda settings, here: settings.train.pack is True,
        "packed rows have no padding that buckets could save",
    ),
    Rule(
        ("train.label_smoothing",),
        lambda settings, here: here.multi_label is True,
        "a multi-label loss has no share to spread",
    ),
    Rule(
        ("train.rest_learning_rate",),
        lambda settings, here: settings.train.optimizer != "muon",
        "only Muon leaves some weights to another optimizer",
        "Leave it out, or set train.optimizer=muon",
    ),
    Rule(
        ("train.decay_share",),
        lambda settings, here: settings.train.schedule != "wsd",
        "only the schedule wsd has a decay of its own",
        "Leave it out, or set train.schedule=wsd",
    ),
    Rule(
        ("train.beta2", "train.epsilon"),
        lambda settings, here: settings.train.optimizer == "sgd",
        "train.optimizer is sgd, which has no second moment",
    ),
    Rule(
        ("train.validate_every", "train.best_by"),
        _no_validation,
        "data.validation_share is 0, so nothing is validated",
    ),
    Rule(
        ("train.early_stopping",),
        lambda settings, here: settings.train.early_stopping > 0 and _no_validation(settings, here),
        "data.validation_share is 0, so nothing is validated",
        "Set it to 0",
    ),
)  # fmt: skip

CONFLICTS: tuple[Conflict, ...] = (
    Conflict(
        "train.micro_batch_size",
        lambda settings, here: (
            (settings.train.micro_batch_size or 0) > (settings.train.batch_size or 2**62)
        ),
        "larger than train.batch_size, of which it is a part",
        "Lower it, or raise train.batch_size",
    ),
    Conflict(
        "train.best_by",
        _best_by_is_not_measured,
        "not measured while this task trains",
        "Choose loss or, for classification, accuracy, macro_f1 (one label) or micro_f1 (several)",
    ),
    Conflict(
        "train.precision",
        lambda settings, here: (
            settings.train.precision == "float16" and (here.model_type or "").endswith("t5")
        ),
        "T5's activations overflow in float16",
        "Use bfloat16 or float32",
    ),
    Conflict(
        "data.test_share",
        lambda settings, here: (
            settings.data.test is None
            and settings.data.validation is None
            and settings.data.test_share + settings.data.validation_share >= 1
        ),
        "with data.validation_share nothing is left to train on",
        "Lower one of the two",
    ),
)


def check_settings(
    settings: Settings,
    *,
    task: str | None = None,
    family: str | None = None,
    pretrained: bool | None = None,
    multi_label: bool | None = None,
    model_type: str | None = None,
) -> None:
    """Refuse a setting that the user gave and that does nothing here, and contradictions.

    What is not known yet stays None, and rules that need it do not speak; call again when more is
    known. See ``Situation`` for the arguments.

    Raises:
        SettingError: the first rule that is broken, with the setting's name and what to do.
    """
    here = Situation(task, family, pretrained, multi_label, model_type)
    given = [name for name in explicit(settings) if _asks(settings, name)]
    for rule in NO_EFFECT:
        named = [name for name in given if any(fnmatchcase(name, known) for known in rule.names)]
        if named and rule.useless(settings, here):
            raise SettingError(
                f"has no effect: {rule.why}",
                where=named[0],
                value=value_of(settings, named[0]),
                fix=rule.fix,
            )
    for conflict in CONFLICTS:
        if conflict.holds(settings, here):
            value: Any = value_of(settings, conflict.name)
            raise SettingError(conflict.why, where=conflict.name, value=value, fix=conflict.fix)


def _asks(settings: Settings, name: str) -> bool:
    """Whether a given value asks for anything: a switch that is off does not."""
    value = value_of(settings, name)
    return name == "data.multi_label" or (value is not None and value is not False)
