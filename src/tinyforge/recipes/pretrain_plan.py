"""How large a model, how many tokens, which batch and rates: chosen by known rules, with reasons.

- Loss to be expected of N weights after D tokens: Hoffmann et al. 2022 (arXiv:2203.15556) with the
  constants of Besiroglu et al. 2024 (arXiv:2404.10102); its optimum lies near 20 tokens a weight.
- Repeated text: Muennighoff et al. 2023 (arXiv:2305.16264): nearly as good as new for four
  epochs, worth hardly anything after sixteen.
- Batch: DeepSeek LLM 2024 (arXiv:2401.02954), 0.292 C^0.3271 tokens for a run of C operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tinyforge.corpus.batches import Stage
from tinyforge.models.dial import NAMES

TOKENS_A_WEIGHT = 20
"""The best use of a computing budget, about."""

FREE_EPOCHS, MOST_EPOCHS = 4, 16

MINUTES = 30.0
"""Where the user sets neither a size nor any limit."""

USED = 0.88
"""Of the minutes, in steps as fast as the measured ones; the rest is for validation and saving, and
so that a machine that is a little slower than measured still keeps to the plan."""

FEWEST_STEPS = 400
"""A batch is made smaller rather than that."""

ENOUGH_TOKENS = 5_000_000
"""With less text than this a model from nothing learns spelling and style, and little else."""

WORTHWHILE = 0.005
"""A larger size has to lower the loss to be expected by this share: where the text is used up long
before the time, the law sees no harm in weights that have nothing to learn from."""

A, B, E, ALPHA, BETA = 482.01, 2085.43, 1.8172, 0.3478, 0.3658
REPEATS, EXCESS = 15.39, 5.31
"""Muennighoff's R*_D and R*_N: how fast more epochs and more weights than the text feeds decay."""

SHORT_ROWS = ((0.0, 4), (0.15, 2), (0.4, 1))
"""From which share of the steps on a window is cut into how many rows."""
SMALL_BATCH_UNTIL = 0.1


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user wants, and what there is.

    Attributes:
        size: None: the best one.
        minutes: of training; None: no limit.
        max_tokens: learnt from; None: no limit.
        unique_tokens: of the training text.
        max_steps: None: no limit.
        batch: windows of a step; None: the best number.
        given: settings of the training loop that the user has set.
    """

    architecture: str
    size: str | None
    minutes: float | None
    max_tokens: int | None
    unique_tokens: int
    max_steps: int | None = None
    batch: int | None = None
    given: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Measured:
    """A size as it runs here.

    Attributes:
        window: tokens of a window.
        tokens_per_second: in steps as training does them; 0 where it was not measured.
    """

    size: str
    parameters: int
    window: int
    tokens_per_second: float


@dataclass(frozen=True)
class Plan:
    """Everything that was chosen before the first step.

    Attributes:
        tokens: learnt from in all, repetitions counted.
        unique_tokens: of the training text.
        windows_per_step: of the full batch.
        stages: (first step, tokens of a row, windows of a step).
        measured: the sizes that were tried out.
        minutes: of training, at most; None: no limit.
        train: settings of the training loop that the plan chooses.
        reasons: a line for each choice.
        advice: what the user should know first.
    """

    architecture: str
    size: str
    parameters: int
    window: int
    tokens: int
    unique_tokens: int
    steps: int
    windows_per_step: int
    stages: tuple[tuple[int, int, int], ...]
    tokens_per_second: float
    minutes: float | None = None
    measured: tuple[Measured, ...] = ()
    train: dict[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def epochs(self) -> float:
        """How often the text is seen."""
        return self.tokens / max(1, self.unique_tokens)

    @property
    def seconds(self) -> float | None:
        """Of the steps, on this machine; None where it was not measured."""
        return self.tokens / self.tokens_per_second if self.tokens_per_second else None

    @property
    def operations(self) -> float:
        """Floating-point operations: 6 for each weight and token."""
        return 6.0 * self.parameters * self.tokens

    def batches(self) -> list[Stage]:
        """The stages as the batches take them."""
        return [Stage(*stage) for stage in self.stages]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Plan:
        """The plan that ``to_json`` gave."""
        lists = {
            "stages": tuple(tuple(stage) for stage in saved["stages"]),
            "measured": tuple(Measured(**row) for row in saved["measured"]),
            "reasons": tuple(saved["reasons"]),
            "advice": tuple(saved["advice"]),
        }
        return cls(**{**saved, **lists})


def expected_loss(parameters: float, tokens: float, unique_tokens: float) -> float:
    """Nats a token that the law expects, on web text with a large vocabulary; for comparing sizes.

    Args:
        tokens: learnt from, repetitions counted.
    """
    fresh = max(1.0, min(tokens, unique_tokens))
    repeats = max(0.0, tokens / fresh - 1)
    data = fresh * (1 + REPEATS * (1 - math.exp(-repeats / REPEATS)))
    fed = fresh / TOKENS_A_WEIGHT
    excess = max(0.0, parameters / fed - 1)
    weights = min(parameters, fed * (1 + EXCESS * (1 - math.exp(-excess / EXCESS))))
    return float(E + A / max(weights, 1.0) ** ALPHA + B / data**BETA)


def make_plan(
    wish: Wish,
    measure: Callable[[str], Measured],
    *,
    short_rows: bool | None = None,
    small_batches: bool = True,
) -> Plan:
    """Choose what the user left open.

    Args:
        measure: tries a size out on this machine.
        short_rows, small_batches: whether to begin with them; see the settings.
    """
    minutes = wish.minutes
    reasons: list[str] = []
    limits = (minutes, wish.max_tokens, wish.max_steps, wish.size)
    if all(limit is None for limit in limits):
        minutes = MINUTES
        reasons.append(f"train.max_minutes = {minutes:g}: you set no size and no limit")
    if wish.size is not None:
        tried = [measure(wish.size)]
        reasons.append(f"pretrain.size = {wish.size}: you asked for it")
    else:
        tried = _try_sizes(wish, minutes, measure)
        reasons.append(_why_size(wish, minutes, tried))
    chosen = _best(tried, wish, minutes)
    tokens, why = _tokens(chosen, wish, minutes)
    reasons.append(f"{tokens:,} tokens ({tokens / max(1, wish.unique_tokens):.2g} epochs): {why}")
    batch = wish.batch
    if batch is None:
        batch, why = _batch(wish.architecture, chosen, tokens)
        reasons.append(f"train.batch_size = {batch} windows of {chosen.window}: {why}")
    mean = 1 - 0.5 * SMALL_BATCH_UNTIL if small_batches and batch > 1 else 1.0
    steps = max(1, round(tokens / (chosen.window * batch * mean)))
    steps = min(steps, wish.max_steps or steps)
    stages = make_stages(steps, chosen.window, batch, wish.architecture, short_rows, small_batches)
    train, more = _rates(wish, chosen.parameters, tokens / max(1, wish.unique_tokens))
    taken = windows_of(stages, steps) * chosen.window
    plan = Plan(
        architecture=wish.architecture, size=chosen.size, parameters=chosen.parameters,
        window=chosen.window, tokens=taken, unique_tokens=wish.unique_tokens, steps=steps,
        windows_per_step=batch, stages=stages,
        tokens_per_second=chosen.tokens_per_second, minutes=minutes, measured=tuple(tried),
        train=train,
        reasons=(*reasons, *more, *_why_stages(stages)),
    )  # fmt: skip
    return replace(plan, advice=tuple(advise(plan)))


def make_stages(
    steps: int, window: int, batch: int, architecture: str, short_rows: bool | None, small: bool
) -> tuple[tuple[int, int, int], ...]:
    """(first step, tokens of a row, windows of a step) from the first step to the last."""
    if short_rows is None:
        short_rows = architecture == "gpt" and window >= 128 and steps >= 100
    cuts = SHORT_ROWS if short_rows and window % SHORT_ROWS[0][1] == 0 else ((0.0, 1),)
    edges = {round(share * steps) for share, _ in cuts}
    half = max(1, batch // 2)
    if small and batch > 1:
        edges.add(round(SMALL_BATCH_UNTIL * steps))
    stages = []
    for first in sorted(edges):
        pieces = [pieces for share, pieces in cuts if round(share * steps) <= first][-1]
        few = small and batch > 1 and first < round(SMALL_BATCH_UNTIL * steps)
        stages.append((first, window // pieces, half if few else batch))
    return tuple(stages)


def windows_of(stages: Sequence[tuple[int, int, int]], steps: int) -> int:
    """Windows that so many steps take."""
    ends = [stage[0] for stage in stages[1:]] + [steps]
    pairs = zip(stages, ends, strict=True)
    return sum(max(0, end - first) * windows for (first, _, windows), end in pairs)


def advise(plan: Plan) -> list[str]:
    """What the user should know before the run; whole sentences, the weightiest first."""
    said = []
    if plan.unique_tokens < ENOUGH_TOKENS:
        said.append(
            f"The corpus is small ({plan.unique_tokens:,} tokens): a model from nothing learns "
            "spelling and style from it, and little of what it says. Fine-tuning a pretrained "
            "model on it is the better way: tinyforge train FILE --model MODEL --task "
            "language-model."
        )
    if plan.epochs > FREE_EPOCHS * 1.05:
        said.append(
            f"Every text is seen {plan.epochs:.1f} times. Up to {FREE_EPOCHS} times are nearly as "
            f"good as new text, after {MOST_EPOCHS} more hardly help: more text would help most."
        )
    share = plan.tokens / plan.parameters
    if share < TOKENS_A_WEIGHT / 4:
        cure = "more time" if plan.size == NAMES[0] else "a smaller --size, or more time,"
        said.append(
            f"The model gets {share:.1f} tokens a weight, far below the {TOKENS_A_WEIGHT} that "
            f"make the best use of the time: {cure} would end better."
        )
    minutes, seconds = plan.minutes, plan.seconds
    if minutes is not None and seconds is not None and seconds < 30 * minutes:
        said.append(
            f"The text is used up after about {seconds / 60:.2g} of the {minutes:g} minutes."
        )
    return said


def _try_sizes(
    wish: Wish, minutes: float | None, measure: Callable[[str], Measured]
) -> list[Measured]:
    """Sizes from the smallest on, until one is too large."""
    tried: list[Measured] = []
    for name in NAMES:
        tried.append(measure(name))
        if _best(tried, wish, minutes) is not tried[-1]:
            break
    return tried


def _best(tried: Sequence[Measured], wish: Wish, minutes: float | None) -> Measured:
    """The size to take.

    In a given time it is the one with the lowest loss to be expected, the smaller one of two that
    are nearly alike. Where only the number of
    tokens is given a larger model is always better, and it is the largest that they feed.
    """
    if minutes is not None:
        best = tried[0]
        for found in tried[1:]:
            if _loss(found, wish, minutes) < (1 - WORTHWHILE) * _loss(best, wish, minutes):
                best = found
        return best
    fed = [m for m in tried if TOKENS_A_WEIGHT * m.parameters <= 1.5 * _tokens(m, wish, None)[0]]
    return fed[-1] if fed else tried[0]


def _loss(found: Measured, wish: Wish, minutes: float | None) -> float:
    tokens, _ = _tokens(found, wish, minutes)
    return expected_loss(found.parameters, tokens, wish.unique_tokens)


def _tokens(found: Measured, wish: Wish, minutes: float | None) -> tuple[int, str]:
    """How many tokens, and what bounds them."""
    bounds = [(MOST_EPOCHS * wish.unique_tokens, f"{MOST_EPOCHS} times the text, at most")]
    if wish.max_tokens is not None:
        bounds.append((wish.max_tokens, "pretrain.max_tokens"))
    if wish.max_steps is not None and wish.batch is not None:
        bounds.append((wish.max_steps * wish.batch * found.window, "train.max_steps"))
    if minutes is not None:
        able = int(found.tokens_per_second * 60 * minutes * USED)
        bounds.append((able, f"{minutes:g} minutes at {found.tokens_per_second:,.0f} tokens/s"))
    if minutes is None and wish.max_tokens is None and wish.max_steps is None:
        suits = TOKENS_A_WEIGHT * found.parameters
        bounds.append((suits, f"{TOKENS_A_WEIGHT} for each of {found.parameters:,} weights"))
    tokens, why = min(bounds, key=lambda bound: bound[0])
    return max(tokens, found.window), why


def _batch(architecture: str, found: Measured, tokens: int) -> tuple[int, str]:
    operations = 6.0 * found.parameters * tokens
    wanted = 0.292 * operations**0.3271
    if architecture != "gpt":
        wanted *= 2  # only some of the tokens are learnt
    most = tokens / FEWEST_STEPS
    windows = max(1, round(min(wanted, most) / found.window))
    if wanted > most:
        return windows, f"so that there are at least {FEWEST_STEPS} steps"
    return windows, f"usual for a run of {operations:.1e} operations (DeepSeek 2024)"


def _rates(wish: Wish, parameters: int, epochs: float) -> tuple[dict[str, Any], list[str]]:
    """Settings of the loop that the user has left open: Muon for matrices, AdamW for the rest."""
    shrink = min(1.0, (30e6 / parameters) ** 0.25)
    t5 = wish.architecture == "t5"
    rate, rest = (0.01, 0.05) if t5 else (0.02, 0.004)
    rows: list[tuple[str, Any, str]] = [
        ("beta1", 0.9, ""),
        ("beta2", 0.95, "usual from nothing"),
        ("weight_decay", 0.1 if epochs > FREE_EPOCHS else 0.0, f"text seen {epochs:.2g} times"),
        ("schedule", "wsd", "warm-up, stable, decay"),
        ("warmup_share", 0.02, ""),
        ("decay_share", 0.4, "the rate falls in the last 40 % of the steps"),
        ("early_stopping", 0, "the loss falls most at the end"),
    ]
    if "optimizer" not in wish.given:
        size = f"for {parameters / 1e6:.3g} M weights"
        embeddings = "a new T5's embeddings are large" if t5 else "of embeddings and norms"
        rows += [
            ("optimizer", "muon", "for matrices (Jordan et al. 2024); AdamW for the rest"),
            ("learning_rate", float(f"{rate * shrink:.2g}"), f"usual for Muon, {size}"),
            ("rest_learning_rate", float(f"{rest * shrink:.2g}"), embeddings),
        ]
    if "schedule" in wish.given:
        rows = [row for row in rows if row[0] != "decay_share"]
    rows = [row for row in rows if row[0] not in wish.given]
    reasons = [f"train.{name} = {value}: {why}" for name, value, why in rows if why]
    return {name: value for name, value, _ in rows}, reasons


def _why_size(wish: Wish, minutes: float | None, tried: Sequence[Measured]) -> str:
    best = _best(tried, wish, minutes)
    if minutes is None:
        return (
            f"pretrain.size = {best.size}: the largest that the tokens feed, about "
            f"{TOKENS_A_WEIGHT} a weight (Hoffmann 2022)"
        )
    rows, lowest = [], _loss(best, wish, minutes)
    for found in tried:
        tokens, _ = _tokens(found, wish, minutes)
        rows.append(
            f"{found.size} ({found.parameters / 1e6:.2g} M weights, {tokens / 1e6:.2g} M tokens) "
            f"{_loss(found, wish, minutes) / lowest:.2f}"
        )
    return (
        f"pretrain.size = {best.size}: the lowest loss to be expected, its own being 1 (Hoffmann "
        f"2022, Muennighoff 2023): {', '.join(rows)}"
    )


def _why_stages(stages: Sequence[tuple[int, int, int]]) -> list[str]:
    if len(stages) < 2:
        return []
    parts = [f"from step {first:,} {windows} windows in rows of {length}"
             for first, length, windows in stages]  # fmt: skip
    return [
        "short rows or small batches first, which learn the same from less computing (Li et al. "
        f"2022, arXiv:2108.06084): {'; '.join(parts)}"
    ]
