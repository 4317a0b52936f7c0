"""What a bare run uses: learning rate, batch, epochs and the rest, from task, model and data.

The numbers are common practice for each kind of model, read off at its size: a smaller model
wants a larger step. Whatever is chosen here is recorded with its reason in the run folder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinyforge.config.settings import Settings
from tinyforge.config.train import TrainSettings


@dataclass(frozen=True, slots=True)
class Facts:
    """What the defaults depend on.

    Attributes:
        task: ``classify``, ``text2text``, ``instruct``, ``language-model`` or ``preference``.
        family: ``encoder``, ``encoder-decoder`` or ``decoder``.
        parameters: weights of the model, adapters not counted.
        pretrained: False for a model trained from nothing.
        lora: whether only adapters are trained.
        train_rows: rows to train on.
        mean_tokens: mean tokens of a row, input and answer together.
        max_length: tokens in a sequence, at most; packing fills sequences to it.
        labels: how many classes (classification).
        multi_label: whether a row may carry several labels.
        validation_rows: rows to validate on.
        accelerator: whether a GPU does the work.
    """

    task: str
    family: str
    parameters: int
    pretrained: bool
    lora: bool
    train_rows: int
    mean_tokens: float
    max_length: int | None = None
    labels: int = 0
    multi_label: bool = False
    validation_rows: int = 1
    accelerator: bool = False


Curve = Sequence[tuple[float, float]]
"""Points (parameters, learning rate); between them the rate is read off on log-log paper."""

PEAK_RATES: dict[tuple[str, bool], Curve] = {
    # (family, pretrained): rates for AdamW, every weight trained.
    ("encoder", True): ((4e6, 5e-4), (22e6, 2e-4), (66e6, 8e-5), (110e6, 5e-5), (340e6, 2e-5)),
    ("encoder", False): ((1e6, 1e-3), (30e6, 5e-4), (110e6, 2e-4)),
    ("encoder-decoder", True): ((1e6, 1e-3), (60e6, 5e-4), (250e6, 2e-4), (800e6, 1e-4)),
    ("encoder-decoder", False): ((10e6, 1e-3), (60e6, 5e-4), (250e6, 2e-4)),
    ("decoder", True): ((1e6, 1e-3), (30e6, 3e-4), (125e6, 1e-4), (500e6, 5e-5), (2e9, 2e-5)),
    ("decoder", False): ((2e6, 3e-3), (15e6, 1e-3), (120e6, 6e-4), (350e6, 3e-4)),
}

MUON_FOR_T5 = (
    # A new T5 starts with embeddings of spread 1, fifty times those of other models, which AdamW's
    # usual rates hardly move; Muon takes the matrices, and AdamW the rest at a rate that fits.
    ("optimizer", "muon", "an untrained T5 learns several times sooner by it"),
    ("learning_rate", 0.01, "usual for Muon on small models"),
    ("rest_learning_rate", 0.05, "a new T5's embeddings are large and want large steps"),
    ("weight_decay", 0.0, "with Muon on small models"),
)
"""Setting, value, reason."""

LORA_TIMES, LORA_LOWEST, LORA_HIGHEST = 10.0, 2e-4, 2e-3

PREFERENCE_SHARE = 0.1
"""Of the usual rate: DPO only moves weight between answers that the model can write already."""

STEPS_WANTED = {True: 300, False: 1500}
"""Optimizer steps that a small data set is repeated for, pretrained or not."""

MOST_EPOCHS = {True: 30.0, False: 100.0}
STEPS_AT_LEAST = 60
MANY_LABELS = 20
"""With more labels than this each one is seen seldom, and the rows are repeated more often."""


def resolve(settings: Settings, facts: Facts) -> tuple[Settings, list[str]]:
    """Fill what the user left open in ``train``.

    ``None`` stays only where the loop finds the value while it runs (``checkpoint_every`` and
    ``threads``), where there is nothing to validate on (``validate_every`` and ``best_by``), and
    where None means no limit (``max_steps``, ``max_minutes``,
    ``micro_batch_size`` or ``micro_batch_tokens``).

    Returns:
        The settings, which still tell what the user set (``explicit``), and one line for each
        choice: the setting, its value and the reason.
    """
    train = settings.train
    chosen: dict[str, Any] = {}
    reasons: list[str] = []

    def choose(name: str, value: Any, reason: str) -> None:
        chosen[name] = value
        reasons.append(f"train.{name} = {_show(value)}: {reason}")

    if train.pack is None:
        pack = facts.task == "language-model"
        chosen["pack"] = pack
        if pack:
            reasons.append("train.pack = true: raw text fills every sequence")
    packed = bool(chosen.get("pack", train.pack))
    rows = _sequences(facts) if packed else facts.train_rows

    if train.batch_size is None:
        choose("batch_size", *_batch_size(rows, facts, packed))
    batch: int = train.batch_size or chosen["batch_size"]
    if train.micro_batch_tokens is None and train.micro_batch_size is None:
        tokens = 16_384 if facts.accelerator else 4_096 if facts.parameters < 300e6 else 2_048
        chosen["micro_batch_tokens"] = max(tokens, facts.max_length or 0)
    if _wants_muon(train, facts):
        for name, value, reason in MUON_FOR_T5:
            if name not in train.model_fields_set:
                choose(name, value, reason)
    if train.learning_rate is None and "learning_rate" not in chosen:
        choose("learning_rate", *_learning_rate(facts, train))
    _choose_usual(train, facts, choose)

    steps_per_epoch = max(1, math.ceil(rows / batch))
    if train.epochs is None:
        if train.max_steps is not None:
            chosen["epochs"] = float(math.ceil(train.max_steps / steps_per_epoch))
        else:
            choose("epochs", *_epochs(steps_per_epoch, facts))
    epochs: float = train.epochs or chosen["epochs"]
    steps = math.ceil(steps_per_epoch * epochs)
    steps = min(steps, train.max_steps or steps)
    if train.validate_every is None and facts.validation_rows:
        every = max(1, min(math.ceil(steps / 10), max(steps_per_epoch, math.ceil(steps / 20))))
        choose("validate_every", every, f"about {math.ceil(steps / every)} times in {steps} steps")
    if train.best_by is None and facts.validation_rows:
        choose("best_by", *_best_by(facts))
    return _with(settings, chosen), reasons


def _wants_muon(train: TrainSettings, facts: Facts) -> bool:
    untouched = not {"optimizer", "learning_rate"} & train.model_fields_set
    return untouched and facts.family == "encoder-decoder" and not facts.pretrained


def _sequences(facts: Facts) -> int:
    tokens = facts.train_rows * max(facts.mean_tokens, 1.0)
    return max(1, math.ceil(tokens / (facts.max_length or 512)))


def _batch_size(rows: int, facts: Facts, packed: bool) -> tuple[int, str]:
    if rows < 100:
        return 8, f"{rows} rows want many small steps"
    if rows < 1_000:
        return 16, f"{rows:,} rows want many small steps"
    if packed:
        return 16, "packed sequences hold several rows each"
    if not facts.pretrained and rows >= 20_000:
        return 64, f"{rows:,} rows and a model that starts from nothing"
    return 32, f"usual for {rows:,} rows"


def _learning_rate(facts: Facts, train: TrainSettings) -> tuple[float, str]:
    rate = _read_off(PEAK_RATES[facts.family, facts.pretrained], facts.parameters)
    kind = "a pretrained" if facts.pretrained else "an untrained"
    reason = f"usual for {kind} {facts.family} of {facts.parameters / 1e6:.3g} M weights"
    if facts.lora:
        rate = min(max(rate * LORA_TIMES, LORA_LOWEST), LORA_HIGHEST)
        reason = "adapters take about ten times the rate of a full run"
    if train.optimizer == "muon":
        return 0.02, "usual for Muon"
    if train.optimizer == "sgd":
        return 0.05, "usual for SGD with momentum"
    if facts.task == "preference":
        return PREFERENCE_SHARE * rate, f"a tenth of the usual rate, which DPO takes; {reason}"
    return rate, reason


def _choose_usual(train: TrainSettings, facts: Facts, choose: Any) -> None:
    """Settings with one default for all runs, where another is usual for this one."""
    generating = facts.task != "classify"
    if "schedule" not in train.model_fields_set and (generating or not facts.pretrained):
        why = "usual for models that write" if generating else "usual from nothing"
        choose("schedule", "cosine", why)
    waits = facts.validation_rows and not facts.pretrained
    if waits and "early_stopping" not in train.model_fields_set:
        choose("early_stopping", 5, "an untrained model may stand still before it improves")
    if facts.pretrained or facts.family != "decoder" or train.optimizer == "sgd":
        return
    if "beta2" not in train.model_fields_set and train.optimizer == "adamw":
        choose("beta2", 0.95, "usual for decoders from nothing")
    if "weight_decay" not in train.model_fields_set:
        choose("weight_decay", 0.1, "usual for decoders from nothing")


def _epochs(steps_per_epoch: int, facts: Facts) -> tuple[float, str]:
    """Passes over the data: a usual number, more where that would be very few steps."""
    if facts.pretrained:
        usual = {"classify": 5.0, "text2text": 5.0, "instruct": 3.0, "language-model": 3.0}
    else:
        usual = {"classify": 10.0, "text2text": 20.0, "instruct": 10.0, "language-model": 10.0}
    epochs = usual.get(facts.task, 3.0)
    many = facts.task == "classify" and facts.pretrained and facts.labels > MANY_LABELS
    if many:
        epochs = 8.0
    early = "; fewer if validation stops improving" if facts.validation_rows else ""
    big = facts.pretrained and steps_per_epoch >= 1_000
    if big:
        epochs = min(epochs, 3.0)
        return epochs, f"{steps_per_epoch:,} steps an epoch are enough in a few"
    wanted = STEPS_WANTED[facts.pretrained] / steps_per_epoch
    more = min(max(epochs, wanted), MOST_EPOCHS[facts.pretrained])
    if facts.task == "preference":
        more = epochs  # pairs seen too often drive the model away from all that it could write
    more = float(math.ceil(max(more, STEPS_AT_LEAST / steps_per_epoch)))
    if more > epochs:
        return more, f"few rows ({facts.train_rows:,}), so they are repeated{early}"
    usually = f"usual for {facts.labels} labels" if many else "usual here"
    return epochs, f"{usually}{early}"


def _best_by(facts: Facts) -> tuple[str, str]:
    if facts.task != "classify":
        return "loss", "validation loss"
    if facts.multi_label:
        return "micro_f1", "over all labels of all rows"
    return "accuracy", "share of rows that are right"


def _read_off(curve: Curve, parameters: float) -> float:
    """The curve's value, straight on log-log paper and flat beyond its ends; 1 digit."""
    size = math.log(max(parameters, 1.0))
    sizes = [math.log(point[0]) for point in curve]
    rates = [math.log(point[1]) for point in curve]
    value = rates[0] if size <= sizes[0] else rates[-1]
    for i in range(len(curve) - 1):
        if sizes[i] <= size <= sizes[i + 1]:
            share = (size - sizes[i]) / (sizes[i + 1] - sizes[i])
            value = rates[i] + share * (rates[i + 1] - rates[i])
    return float(f"{math.exp(value):.0e}")


def _with(settings: Settings, chosen: dict[str, Any]) -> Settings:
    """The settings with ``train`` filled, validated; what counts as set by the user stays."""
    given = settings.train.model_fields_set
    filled = TrainSettings.model_validate({**settings.train.model_dump(), **chosen})
    train = TrainSettings.model_construct(_fields_set=set(given), **dict(filled))
    values = {**dict(settings), "train": train}
    return Settings.model_construct(_fields_set=set(settings.model_fields_set), **values)


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
