"""How much better the model is on rows it learnt from than on unseen ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.wording import change_text, value_text
from tinyforge.metrics import METRICS

_LARGE = 0.1
"""A gap that is surely more than this share of the scale is called large."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Training against test rows.

    Attributes:
        metric: the headline metric of the test rows.
        train, test: its value on both.
        difference: how much better it is in training, with the 95 % interval; above zero is
            better also where lower values are.
        train_rows: training rows that were judged.
        large: whether it is beyond doubt more than a tenth of the scale.
    """

    metric: str
    train: float
    test: float
    difference: float
    low: float
    high: float
    train_rows: int
    large: bool
    sentence: str


def find_gap(train: Evaluation, test: Evaluation) -> Gap | None:
    """The headline metric on training rows less that on test rows.

    The two are independent samples, each resampled by itself.

    Args:
        train: the model on some of the rows it learnt from, with the same labels.

    Returns:
        None where one of them lacks the metric, or it is infinite.
    """
    name = test.primary.name
    if name not in train.scores or name not in test.scores:
        return None
    sign = 1 if METRICS[name].higher_is_better else -1
    ours, unseen = train.scores[name].value, test.scores[name].value
    order = np.random.default_rng([test.sample.seed, 2]).permutation(len(train.resampled[name]))
    shuffled = train.resampled[name][order][: len(test.resampled[name])]
    drawn = sign * (shuffled - test.resampled[name][: len(shuffled)])
    if not np.isfinite(drawn).all():
        return None
    low, high = (float(end) for end in np.quantile(drawn, [0.025, 0.975]))
    difference = sign * (ours - unseen)
    low, high = min(low, difference), max(high, difference)
    scale = {"share": 1.0, "points": 100.0, "free": abs(unseen)}[METRICS[name].scale]
    large = low > _LARGE * scale
    return Gap(
        name, ours, unseen, difference, low, high, train.sample.rows, large,
        _sentence(name, ours, unseen, low, high, train.sample.rows, large),
    )  # fmt: skip


def _sentence(
    name: str, ours: float, unseen: float, low: float, high: float, rows: int, large: bool
) -> str:
    metric = METRICS[name]
    text = (
        f"On {rows:,} rows it learnt from, the model's {metric.title} is {value_text(name, ours)}, "
        f"on unseen rows {value_text(name, unseen)} (gap {change_text(name, low)} to "
        f"{change_text(name, high)})"
    )
    if large:
        return f"{text}: it knows its training rows much better than the task; more rows help most."
    if low > 0:
        return f"{text}: it learnt some of its rows by heart, as most models do."
    return f"{text}: no sign that it learnt its rows by heart."
