"""The names of all settings: what each one takes, and which one a misspelt name meant."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from tinyforge.config.base import Stage
from tinyforge.config.settings import Settings

SYNONYMS = {
    # Names that are used elsewhere, or that would be ambiguous without their stage. Any other
    # setting can be given by its last part, for example ``learning_rate``.
    "model": "model.name",
    "model_name": "model.name",
    "model_name_or_path": "model.name",
    "num_epochs": "train.epochs",
    "num_train_epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "train_batch_size": "train.batch_size",
    "per_device_train_batch_size": "train.batch_size",
    "lr": "train.learning_rate",
    "lr_scheduler_type": "train.schedule",
    "warmup_ratio": "train.warmup_share",
    "label_smoothing_factor": "train.label_smoothing",
    "max_grad_norm": "train.clip_norm",
    "early_stopping_patience": "train.early_stopping",
    "eval_steps": "train.validate_every",
    "save_steps": "train.checkpoint_every",
    "packing": "train.pack",
    "seed": "train.seed",
    "dropout": "model.dropout",
    "max_rows": "data.max_rows",
    "max_input_length": "data.max_length",
    "max_seq_length": "data.max_length",
    "max_target_length": "data.max_output_length",
    "input_column": "data.input",
    "output_column": "data.output",
    "validation_file": "data.validation",
    "test_file": "data.test",
    "lora": "lora.enabled",
    "use_lora": "lora.enabled",
    "use_peft": "lora.enabled",
    "lora_r": "lora.r",
    "lora_rank": "lora.r",
    "lora_alpha": "lora.alpha",
    "lora_dropout": "lora.dropout",
    "lora_target_modules": "lora.target_modules",
}

Kind = Literal[
    "true or false", "whole number", "number", "text", "choice", "list", "table", "object"
]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: the dotted name, for example ``train.learning_rate``.
        kind: what it takes, without its limits.
        choices: the values of a choice, or of a list's items where those are limited.
        item: what a table's values take; empty for other kinds.
        nullable: whether ``null`` (found from data, task or model) is allowed.
        allowed: what it takes in words, limits included.
        description: what it does.
        default: its default.
    """

    name: str
    kind: Kind
    choices: tuple[str, ...]
    item: str
    nullable: bool
    allowed: str
    description: str
    default: Any


@cache
def settings_table(root: type[Stage] = Settings) -> dict[str, Setting]:
    """All settings of ``root`` by dotted name, in the order in which they are declared."""
    return {setting.name: setting for setting in _walk(root, "")}


def stages(root: type[Stage] = Settings) -> tuple[str, ...]:
    """The names of the stages that hold settings; ``a.b`` for a stage within a stage."""
    parts = (name.split(".")[:-1] for name in settings_table(root))
    ends = (".".join(names[: i + 1]) for names in parts for i in range(len(names)))
    return tuple(dict.fromkeys(ends))


def keyword_names(root: type[Stage] = Settings) -> dict[str, str]:
    """Short names to dotted names: the synonyms, and every unambiguous last part.

    The adapters' settings (``lora.r``) say nothing without their stage; they have synonyms.
    """
    tails: dict[str, list[str]] = {}
    table = settings_table(root)
    for name in table:
        if name.startswith("lora.") or name == "model.name":
            continue
        tails.setdefault(name.rpartition(".")[2], []).append(name)
    unique = {tail: names[0] for tail, names in tails.items() if len(names) == 1}
    return {**unique, **{word: name for word, name in SYNONYMS.items() if name in table}}


def nearest(name: str, root: type[Stage] = Settings) -> str:
    """What to do about an unknown name: the settings it may have meant, across all stages."""
    tail, table, short = name.rpartition(".")[2], settings_table(root), keyword_names(root)
    same = [known for known in table if known.rpartition(".")[2] == tail]
    if tail in SYNONYMS and tail in short and short[tail] not in same:
        same.append(short[tail])
    if same:
        return f"Did you mean {' or '.join(repr(known) for known in same)}?"
    spellings = {**short, **{known: known for known in table}}
    near = difflib.get_close_matches(name, spellings, n=1, cutoff=0.6)
    near = near or difflib.get_close_matches(tail, spellings, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {spellings[near[0]]!r}?"
    stage = name.partition(".")[0]
    if stage in stages(root):
        own = [known for known in table if known.startswith(f"{stage}.")]
        return f"Settings of {stage}: {', '.join(own)}"
    return f"Settings are named STAGE.NAME; the stages are {', '.join(stages(root))}"


def explicit(settings: Stage) -> list[str]:
    """The dotted names that were set by the user, as opposed to defaults."""
    names = []
    for name in settings_table(type(settings)):
        stage, _, field = name.rpartition(".")
        holder: Stage = value_of(settings, stage) if stage else settings
        if field in holder.model_fields_set:
            names.append(name)
    return names


def value_of(settings: Stage, name: str) -> Any:
    """The value of the setting called ``name`` (dotted)."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _walk(stage: type[Stage], prefix: str) -> Iterator[Setting]:
    for name, field in stage.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Stage):
            yield from _walk(annotation, f"{prefix}{name}.")
        else:
            yield _setting(f"{prefix}{name}", field)


def _setting(name: str, field: FieldInfo) -> Setting:
    annotation, nullable = _without_none(field.annotation)
    kind, choices = _kind(annotation)
    return Setting(
        name=name,
        kind=kind,
        choices=choices,
        item=_kind(get_args(annotation)[1])[0] if kind == "table" else "",
        nullable=nullable,
        allowed=_allowed(annotation, choices, field),
        description=field.description or "",
        default=field.get_default(call_default_factory=True),
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return members[0], len(members) < len(get_args(annotation))
    return annotation, False


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    origin = get_origin(annotation)
    if origin is Literal:
        return "choice", get_args(annotation)
    if origin is tuple:
        return "list", _kind(get_args(annotation)[0])[1]
    if origin is dict:
        return "table", ()
    if origin is Mapping:
        return "object", ()
    kinds: dict[Any, Kind] = {bool: "true or false", int: "whole number", float: "number"}
    return kinds.get(annotation, "text"), ()


def _allowed(annotation: Any, choices: tuple[str, ...], field: FieldInfo) -> str:
    kind = _kind(annotation)[0]
    if kind == "choice":
        return f"one of {', '.join(choices)}"
    if kind == "list":
        return f"a list of {' / '.join(choices) or 'texts'}"
    if kind == "table":
        item = _kind(get_args(annotation)[1])[0]
        example = "{num_layers: 3}" if item == "whole number" else "{some_name: 1.5}"
        return f"a table of names and {item}s, such as {example}"
    words = {
        "true or false": "true or false", "text": "text",
        "object": 'a JSON object, such as {"type": "object"}',
    }.get(kind, f"a {kind}")  # fmt: skip
    limits = []
    for item in field.metadata:
        if isinstance(item, annotated_types.Gt):
            limits.append(f"above {item.gt:,}")
        if isinstance(item, annotated_types.Ge):
            limits.append(f"at least {item.ge:,}")
        if isinstance(item, annotated_types.Lt):
            limits.append(f"below {item.lt:,}")
        if isinstance(item, annotated_types.Le):
            limits.append(f"at most {item.le:,}")
    comma = "," if limits and limits[0].startswith("at") else ""
    return f"{words}{comma} {' and '.join(limits)}".strip()
