"""Numbers and differences as a person says them."""

from __future__ import annotations

from tinyforge.metrics import METRICS

_RIGHT = {
    "accuracy": "right",
    "exact_match": "answered exactly right",
    "subset_accuracy": "given exactly the right labels",
    "preference_accuracy": "with the chosen answer likelier than the rejected one",
}


def value_text(metric: str, value: float) -> str:
    """A value with its unit: ``93.1 %``, ``0.931``, ``45.2``, ``2.310``."""
    kind = METRICS[metric]
    if kind.proportion:
        return f"{100 * value:.1f} %"
    if kind.scale == "points":
        return f"{value:.1f}"
    return f"{value:.3f}" if abs(value) < 1e4 else f"{value:.3g}"


def change_text(metric: str, change: float) -> str:
    """A difference with its sign: ``+3.7``, ``−0.031``; proportions in percentage points."""
    kind = METRICS[metric]
    if kind.proportion or kind.scale == "points":
        text = f"{100 * change if kind.proportion else change:+.1f}"
    else:
        text = f"{change:+.3f}"
    return text.replace("-", "−")


def comparison_text(
    metric: str, ours: float, theirs: float, rows: int, other: str, *, unseen: bool = True
) -> str:
    """``93.1 % of 400 unseen rows right, against 89.4 % for TF-IDF + logistic regression``.

    Args:
        unseen: whether it is known that training never saw the rows.
    """
    kind = METRICS[metric]
    mine, other_value = value_text(metric, ours), value_text(metric, theirs)
    counted = f"{rows:,} {'unseen ' if unseen else ''}rows"
    if kind.proportion:
        right = _RIGHT.get(metric, "right")
        return f"{mine} of {counted} {right}, against {other_value} for {other}"
    lower = "" if kind.higher_is_better else " (lower is better)"
    return f"{kind.title} {mine}{lower} on {counted}, against {other_value} for {other}"


def interval_text(metric: str, change: float, low: float, high: float) -> str:
    """``difference +3.7 points, 95 % interval +1.9 to +5.5``."""
    kind = METRICS[metric]
    points = " points" if kind.proportion or kind.scale == "points" else ""
    return (
        f"difference {change_text(metric, change)}{points}, 95 % interval "
        f"{change_text(metric, low)} to {change_text(metric, high)}"
    )
