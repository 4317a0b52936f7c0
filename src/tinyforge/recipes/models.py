"""Models by name: opened as the settings say, and checked to be asked the same things."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.config.settings import Settings
from tinyforge.errors import DataError
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.recipes.load import load
from tinyforge.recipes.prompting import ask_for

if TYPE_CHECKING:
    from tinyforge.recipes.prompting import Answerer

log = logging.getLogger("tinyforge")


def open_model(path: str | Path, settings: Settings, prompt: Any = None) -> Answerer:
    """A model that answers as the settings say."""
    trust = settings.model.trust_remote_code
    return load(path, prompt=prompt, trust_remote_code=trust, settings=settings.generate)


def score_rivals(
    names: Sequence[str],
    task: Any,
    settings: Settings,
    score: Callable[[Any, str], Evaluation],
) -> dict[str, Evaluation]:
    """Other models on the same rows, one after the other.

    Args:
        task: of the model that they are compared with; None where any model can be asked.
        score: judges a model, with its name, as the model itself was judged.

    Raises:
        DataError: one of them is made for another task.
    """
    scored = {}
    for name in names:
        log.info(f"baseline: {name}")
        scored[name] = score(open_rival(name, task, settings), name)
    return scored


def open_rival(name: str, task: Any, settings: Settings) -> Answerer:
    """A model to compare with: asked by a prompt where it was made for another task.

    Raises:
        DataError: it cannot be asked the same things.
    """
    model = open_model(name, settings)
    if task is None:
        return model
    model = ask_for(model, task, labels_of(task))
    same_task(task, model.task, name)
    knows_some(name, labels_of(model.task), labels_of(task))
    return model


def check_rivals(task: Any, settings: Settings) -> None:
    """Open the models of ``evaluate.baseline_models`` once, so that a mistake shows early."""
    for name in settings.evaluate.baseline_models:
        open_rival(name, task, settings)


def labels_of(task: Any) -> tuple[str, ...]:
    """All labels of a classifier's task; empty otherwise."""
    return tuple(getattr(task, "labels", ()))


def same_task(first: Any, other: Any, name: str) -> None:
    """Raise DataError where two models cannot be asked the same things."""
    if other.name != first.name:
        raise DataError(
            f"this is a {other.name} model, the first is a {first.name} one",
            where=name, fix="Compare models of one task",
        )  # fmt: skip
    if getattr(other, "multi_label", False) != getattr(first, "multi_label", False):
        kinds = {True: "any number of labels", False: "one label"}
        raise DataError(
            f"this model gives a row {kinds[bool(other.multi_label)]}, the first "
            f"{kinds[bool(first.multi_label)]}",
            where=name, fix="Compare models of one kind",
        )  # fmt: skip


def knows_some(name: str, labels: Sequence[str], found: Sequence[str]) -> None:
    """Raise DataError where a classifier has never seen any of the rows' labels."""
    if labels and found and not set(labels) & set(found):
        raise DataError(
            "this model knows none of the labels of the rows", where=name,
            value=", ".join(sorted(found)[:8]), fix=f"It knows: {', '.join(sorted(labels)[:8])}",
        )  # fmt: skip
