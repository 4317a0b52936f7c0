"""No answer where the model is not sure enough."""

from __future__ import annotations

from pathlib import Path

from tinyforge.artifacts.thresholds import ABSTENTION, read_choice
from tinyforge.errors import SettingError


def least_confidence(given: float | None, place: str | Path | None) -> float:
    """The confidence below which an answer is withheld.

    Args:
        given: by the operator; it wins.
        place: the served model's folder, which may hold what was chosen on validation rows.

    Raises:
        SettingError: neither says it.
    """
    if given is not None:
        return given
    chosen = None if place is None else read_choice(place, ABSTENTION)
    if chosen is None:
        raise SettingError(
            "no confidence was chosen when the served model was trained",
            where="safeguards.abstain", value=None if place is None else str(place),
            fix="Give safeguards.abstain_below, or train a classifier with "
            "--set evaluate.target_accuracy=0.95",
        )  # fmt: skip
    return float(chosen["value"])
