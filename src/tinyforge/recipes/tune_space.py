"""What a search for settings varies, in which limits, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tinyforge.config.check import check_settings
from tinyforge.config.defaults import MOST_EPOCHS
from tinyforge.config.load import load_settings, load_tree
from tinyforge.config.model import LoraSettings
from tinyforge.config.names import explicit, keyword_names, nearest, settings_table, value_of
from tinyforge.config.settings import Settings
from tinyforge.config.train import TrainSettings
from tinyforge.config.tune import TuneSettings
from tinyforge.errors import SettingError
from tinyforge.models.dropout import dropout_fields
from tinyforge.recipes.setup import Setup

SEARCHABLE = (
    "train.epochs", "train.batch_size", "train.learning_rate", "train.rest_learning_rate",
    "train.schedule", "train.decay_share", "train.warmup_share", "train.weight_decay",
    "train.beta1", "train.beta2", "train.epsilon", "train.clip_norm", "train.label_smoothing",
    "train.early_stopping", "model.dropout", "lora.r", "lora.alpha", "lora.dropout",
)  # fmt: skip
"""Settings that change how a model learns, and neither the rows nor what it is judged by."""

FACTOR = 5.0
"""The learning rate is searched this many times below and above what is usual."""

MOST_WARMUP = 0.2
DROPOUTS = (0.0, 0.1, 0.2)
DECAYS = (0.0, 0.01, 0.1)
RANKS = (8, 16, 32, 64)
LORA_DROPOUTS = (0.0, 0.05, 0.1)
FEWEST_STEPS = 8
"""A batch is at most so large that a pass over the rows has as many steps."""

LOG_FROM = 10.0
"""A range that spans this factor is searched on a logarithmic scale."""

OPEN = ("train.validate_every", "train.pack")
"""Settings that each trial chooses anew, as they depend on what is searched."""

_ALPHA = LoraSettings().alpha / LoraSettings().r
"""Scale of the adapters for each rank; adapters of another rank keep it."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting that is searched: a range, or a few values.

    Attributes:
        name: the setting's dotted name.
        why: where the limits come from.
        low, high: ends of a range; None for values.
        log: whether the range is searched on a logarithmic scale.
        whole: whether only whole numbers are taken from it.
        values: what is tried where there is no range; None is the model's own value.
    """

    name: str
    why: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    values: tuple[Any, ...] = ()

    def contains(self, value: Any) -> bool:
        """Whether a search can come upon this value."""
        if self.low is None or self.high is None:
            return value in self.values
        return isinstance(value, int | float) and self.low <= value <= self.high

    def tidy(self, value: Any) -> Any:
        """A value as a person would write it: two digits of a number from a range."""
        if self.low is None or self.high is None:
            return value
        if self.whole:
            return round(value)
        return min(max(float(f"{value:.2g}"), self.low), self.high)

    def shown(self) -> str:
        """The limits in words."""
        if self.low is None or self.high is None:
            return ", ".join(map(shown, self.values))
        scale = " (logarithmic)" if self.log else ""
        return f"{shown(self.low)} to {shown(self.high)}{scale}"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Parameter:
        """The inverse of ``to_json``."""
        return cls(**{**plain, "values": tuple(plain["values"])})


@dataclass(frozen=True, slots=True)
class Space:
    """All that is searched.

    Attributes:
        notes: what is not searched, and why.
    """

    parameters: tuple[Parameter, ...]
    notes: tuple[str, ...] = ()


def choose_space(setup: Setup, settings: Settings, tune: TuneSettings) -> Space:
    """What the user asked for, and what is usual for this model and these rows.

    Args:
        setup: of the default settings.
        settings: what the user set; it is not searched.

    Raises:
        SettingError: a setting that cannot be searched, is set as well, or takes no such value;
            or nothing is left to search.
    """
    given = set(explicit(settings))
    asked = asked_parameters(tune.search)
    for parameter in asked:
        if parameter.name in given:
            raise SettingError(
                "is set and searched at once", where=parameter.name,
                value=value_of(settings, parameter.name),
                fix="Leave one of the two out",
            )  # fmt: skip
    named = {parameter.name for parameter in asked}
    found, notes = list(asked), []
    for usual in usual_parameters(setup) if tune.usual else ():
        name = usual.name
        if name in named:
            continue
        if name in given:
            notes.append(f"{name} is not searched: you set it")
        elif name in ("train.epochs", "train.batch_size") and "train.max_steps" in given:
            notes.append(f"{name} is not searched: train.max_steps says how much is learnt")
        elif len(usual.values) == 1 or (usual.low is not None and usual.low == usual.high):
            notes.append(f"{name} is not searched: {usual.why}")
        else:
            found.append(usual)
    if not found:
        raise SettingError(
            "nothing is left to search", where="tune.search",
            fix="Leave a setting open, or name one with --search, for example "
            "--search train.learning_rate=1e-5..1e-3",
        )  # fmt: skip
    return Space(tuple(found), tuple(notes))


def usual_parameters(setup: Setup) -> Iterator[Parameter]:
    """What is worth searching for this kind of model; one value only says why it is not."""
    facts, train = setup.facts, setup.settings.train
    yield _learning_rate(setup)
    yield _batch_size(setup)
    yield _epochs(setup)
    yield Parameter(
        "train.warmup_share", "a longer rise steadies large rates and untrained layers",
        0.0, MOST_WARMUP,
    )  # fmt: skip
    if facts.lora:
        r = setup.settings.lora.r
        yield Parameter(
            "lora.r", "what the adapters can take in; their scale grows along",
            values=_with(RANKS, r),
        )  # fmt: skip
        yield Parameter(
            "lora.dropout", f"{facts.train_rows:,} rows can be learnt by heart",
            values=_with(LORA_DROPOUTS, setup.settings.lora.dropout),
        )  # fmt: skip
        return
    yield Parameter(
        "train.weight_decay", "from none to that of large models",
        values=_with(DECAYS, train.weight_decay),
    )  # fmt: skip
    yield _dropout(setup)


def _learning_rate(setup: Setup) -> Parameter:
    rate = setup.settings.train.learning_rate or 0.0
    why = f"{FACTOR:g} times below and above {shown(rate)}"
    reason = _reason(setup, "train.learning_rate")
    return Parameter(
        "train.learning_rate", f"{why}, {reason}" if reason else why,
        float(f"{rate / FACTOR:.0e}"), float(f"{rate * FACTOR:.0e}"), log=True,
    )  # fmt: skip


def _batch_size(setup: Setup) -> Parameter:
    batch = setup.settings.train.batch_size or 1
    most = max(batch, setup.facts.train_rows // FEWEST_STEPS)
    least = max(2, setup.settings.train.micro_batch_size or 1)
    values = tuple(size for size in (batch // 2, batch, 2 * batch) if least <= size <= most)
    why = f"half and twice the usual {batch}"
    if 2 * batch > most:
        why += f"; {setup.facts.train_rows:,} rows are too few for a larger one"
    return Parameter("train.batch_size", why, values=values or (batch,))


def _epochs(setup: Setup) -> Parameter:
    epochs = setup.settings.train.epochs or 1.0
    low = max(1, round(epochs / 2))
    high = max(round(min(2 * epochs, MOST_EPOCHS[setup.facts.pretrained])), math.ceil(epochs))
    why = f"half to twice {epochs:g}, {_reason(setup, 'train.epochs') or 'the default'}"
    return Parameter("train.epochs", why, low, high, log=high >= LOG_FROM * low, whole=True)


def _dropout(setup: Setup) -> Parameter:
    config = setup.loaded.model.config.get_text_config()
    own = {getattr(config, name) for name in dropout_fields(config)}
    if not own:
        return Parameter("model.dropout", "the model has none", values=(None,))
    rate = next(iter(own)) if len(own) == 1 else None
    others = tuple(value for value in DROPOUTS if value != rate)
    said = "its own rates" if rate is None else f"its own {rate:g}"
    return Parameter(
        "model.dropout",
        f"{said}, and others: {setup.facts.train_rows:,} rows can be learnt by heart",
        values=(None, *others),
    )


def _with(values: Sequence[Any], default: Any) -> tuple[Any, ...]:
    return tuple(sorted({*values, default}))


def _reason(setup: Setup, name: str) -> str:
    """Why the default is what it is; empty where the user set it."""
    for line in setup.reasons:
        said, _, reason = line.partition(": ")
        if said.startswith(f"{name} = "):
            return reason.partition("; ")[0]
    return ""


def asked_parameters(search: Mapping[str, str]) -> list[Parameter]:
    """What ``--search NAME=LOW..HIGH`` or ``NAME=a,b,c`` ask for.

    Raises:
        SettingError: an unknown name, one that cannot be searched, or a value it does not take.
    """
    table, short = settings_table(), keyword_names()
    found: dict[str, Parameter] = {}
    for key, text in search.items():
        name = key if key in table else short.get(key, key)
        if name not in table:
            raise SettingError("unknown setting", where="--search", value=key, fix=nearest(key))
        if name not in SEARCHABLE:
            raise SettingError(
                "cannot be searched", where=name,
                fix=f"Searched can be: {', '.join(SEARCHABLE)}",
            )  # fmt: skip
        if name in found:
            raise SettingError("searched twice", where=name, fix="Name it once")
        found[name] = _asked(name, text)
    return list(found.values())


def _asked(name: str, text: str) -> Parameter:
    low, dots, high = (part.strip() for part in text.partition(".."))
    if not dots:
        values = tuple(dict.fromkeys(_value(name, part.strip()) for part in text.split(",")))
        if len(values) < 2:
            raise SettingError(
                "one value is nothing to search", where=name, value=text,
                fix=f"Write --search {name}=LOW..HIGH or a,b,c, or set it with --set {name}={text}",
            )  # fmt: skip
        return Parameter(name, "you asked for it", values=values)
    kind = settings_table()[name].kind
    if kind not in ("number", "whole number"):
        raise SettingError(
            "has no range", where=name, value=text, fix=f"Write --search {name}=a,b,c"
        )
    first, last = _value(name, low), _value(name, high)
    if first is None or last is None or first >= last:
        raise SettingError(
            "the low end must be below the high one", where=name, value=text,
            fix=f"Write --search {name}=LOW..HIGH",
        )  # fmt: skip
    return Parameter(
        name, "you asked for it", first, last,
        log=first > 0 and last / first >= LOG_FROM, whole=kind == "whole number",
    )  # fmt: skip


def _value(name: str, text: str) -> Any:
    """The value of a setting that a text stands for, as ``--set`` reads it."""
    return value_of(load_tree(Settings, None, (f"{name}={text}",)), name)


def fixed_settings(setup: Setup, settings: Settings) -> dict[str, Any]:
    """What all trials have in common, by dotted name: what the user set, and the defaults.

    The defaults are written out, so that a trial with another batch or rate does not choose
    something else for what is not searched.

    Args:
        setup: of the default settings. settings: what the user set.
    """
    fixed = {name: value_of(settings, name) for name in explicit(settings)}
    fixed |= {"task": setup.task.name, "model.name": setup.loaded.name}
    left = {*OPEN, "train.epochs"} if settings.train.max_steps is not None else set(OPEN)
    for field, kind in TrainSettings.model_fields.items():
        name, value = f"train.{field}", getattr(setup.settings.train, field)
        if name not in fixed and name not in left and value != kind.default:
            fixed[name] = value
    return fixed


def default_values(space: Space, setup: Setup) -> dict[str, Any]:
    """The values of the default settings for all that is searched."""
    return {p.name: value_of(setup.settings, p.name) for p in space.parameters}


def settings_of(fixed: Mapping[str, Any], values: Mapping[str, Any]) -> Settings:
    """The settings of one trial, as if a user had given them."""
    chosen = {**fixed, **values}
    if values.get("lora.r") is not None and "lora.alpha" not in chosen:
        chosen["lora.alpha"] = _ALPHA * values["lora.r"]
    return load_settings(None, (), {name: v for name, v in chosen.items() if v is not None})


def check_space(space: Space, fixed: Mapping[str, Any], setup: Setup) -> None:
    """Try every value, and both ends of a range, beside the default settings.

    Raises:
        SettingError: one of them contradicts another setting, or has no effect here.
    """
    default = default_values(space, setup)
    for parameter in space.parameters:
        for value in parameter.values or (parameter.low, parameter.high):
            check_settings(
                settings_of(fixed, {**default, parameter.name: value}), task=setup.task.name,
                family=setup.loaded.family, pretrained=setup.loaded.pretrained,
                multi_label=setup.dataset.multi_label,
                model_type=setup.loaded.model.config.model_type,
            )  # fmt: skip


def shown(value: Any) -> str:
    """A value for people."""
    if value is None:
        return "the model's own"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value)
