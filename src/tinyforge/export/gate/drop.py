"""Whether a headline metric has kept what it had, and how sure that is.

``lost`` is judged on rows that both models answered, paired. What was seen has to be within the
allowance, whatever chance may have done: one row more that is wrong is a loss that was seen. What
was not seen is told: a few rows can rule out only a large loss, and then the sentence says that a
larger one than allowed was not ruled out. The interval is that of the verdict: the paired
bootstrap, widened for few rows, and never narrower than what rows that nobody saw may hide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tinyforge.export.gate.check import Check
from tinyforge.metrics import Metric

NAME = "metric"

Word = Literal["same", "kept", "not shown", "lost"]

_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Change:
    """A metric of the exported model beside the source's, on the same rows.

    Attributes:
        source, exported: the metric's values.
        difference: above zero is an improvement, also where lower values are better.
        low, high: its 95 % interval.
        rows: the rows. groups: how many of them are independent.
        changed: rows whose answer is better or worse than the source's.
        exact: whether the logits agree as closely as another order of sums allows (fp32).
    """

    metric: Metric
    source: float
    exported: float
    difference: float
    low: float
    high: float
    rows: int
    groups: int
    changed: int
    exact: bool


def allowance(metric: Metric, max_drop: float, source: float) -> float:
    """How much may be lost, in the metric's own unit: half a point where ``max_drop`` is 0.005.

    Metrics without an upper bound (perplexity, bits per byte) may lose that share of their value.
    """
    if metric.scale == "free":
        return max_drop * abs(source)
    return max_drop * (100.0 if metric.scale == "points" else 1.0)


def judge(change: Change, max_drop: float) -> Word:
    """``same``: no row is answered better or worse, by a model that computes the same. ``kept``: no
    larger loss than allowed, and the whole interval says so. ``not shown``: no larger one was seen,
    and the rows are too few to rule it out. ``lost``: a larger one was seen."""
    allowed = allowance(change.metric, max_drop, change.source) + _TINY
    if change.difference < -allowed:
        return "lost"
    if change.exact and not change.changed and abs(change.difference) <= _TINY:
        return "same"
    return "kept" if change.low >= -allowed else "not shown"


def check_metric(change: Change, max_drop: float, texts: dict[str, str], *, strict: bool) -> Check:
    """The judgement as a check.

    Args:
        texts: ``source``, ``exported``, ``difference``, ``low``, ``high`` and ``allowed`` as a
            person reads them.
        strict: ``not shown`` does not pass.
    """
    word = judge(change, max_drop)
    lower = "" if change.metric.higher_is_better else " (lower is better)"
    head = (
        f"{change.metric.title}{lower} is {texts['exported']}, the source has {texts['source']} on "
        f"the same {change.rows:,} rows (difference {texts['difference']}, 95 % interval "
        f"{texts['low']} to {texts['high']})"
    )
    rows = f"{change.changed:,} of {change.rows:,} rows are answered better or worse than before"
    if change.metric.scale == "free":  # raw text: every row moves a little
        rows = f"{change.changed:,} of {change.rows:,} rows have moved"
    tail = {
        "same": "; no row is answered better or worse, and the logits are the source's",
        "kept": f"; a loss of more than {texts['allowed']} is ruled out, and {rows}",
        "not shown": f"; {rows}. A loss of more than {texts['allowed']} was not seen, and "
        f"{_few(change.groups)} cannot rule it out",
        "lost": f"; more than the {texts['allowed']} allowed is lost, and {rows}",
    }[word]
    passed = word in ("same", "kept") or (word == "not shown" and not strict)
    figures: dict[str, Any] = {
        "metric": change.metric.name, "word": word, "source": change.source,
        "exported": change.exported, "difference": change.difference, "low": change.low,
        "high": change.high, "rows": change.rows, "groups": change.groups,
        "changed": change.changed, "allowed": allowance(change.metric, max_drop, change.source),
    }  # fmt: skip
    return Check(NAME, passed, head + tail, figures)


def _few(groups: int) -> str:
    return f"{groups:,} independent rows" if groups > 1 else "a single row"
