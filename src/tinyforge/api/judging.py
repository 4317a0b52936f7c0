"""The verbs that look at rows and models: ``inspect``, ``evaluate`` and ``compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.api.given import run_settings

if TYPE_CHECKING:
    from tinyforge.data.inspect import Inspection
    from tinyforge.recipes.compare import Compared
    from tinyforge.recipes.evaluate import Judgement
    from tinyforge.recipes.lm_eval import Benchmarks


def inspect(
    data: Any,
    model: str | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Inspection:
    """What a model would see of these rows: columns, rejects, lengths, leaks, tokens.

    Args:
        data: as for ``train``.
        model: whose tokens to count; None counts characters and words.
        settings: as for ``train``.
        **keywords: settings by their short name, as for ``train``.
    """
    from tinyforge.recipes.inspect import inspect_data

    chosen = {**keywords, "model.name": model} if model is not None else keywords
    return inspect_data(
        data, settings=run_settings(None, settings, chosen), model=model is not None
    )


def evaluate(
    model: str | Path,
    data: Any,
    *,
    baseline: str | Path | Sequence[str | Path] | None = None,
    prompt: Any = None,
    report: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Judgement | Benchmarks:
    """Score a model on rows, with 95 % intervals; with ``baseline``, next to other models.

    Args:
        model: a run folder, any Hugging Face folder, or a hub id.
        data: as for ``train``; or ``lm-eval:TASK``, public benchmarks by the package ``lm-eval``.
        baseline: another model, or several.
        prompt: how to put the rows to the model, as for ``load``.
        report: an HTML file to write.
        settings: as for ``train``.
        **keywords: settings by their short name, as for ``train``.
    """
    from tinyforge.recipes.evaluate import evaluate as recipe

    return recipe(
        model, data, settings=run_settings(None, settings, keywords), baseline=baseline,
        prompt=prompt, report=None if report is None else Path(report),
    )  # fmt: skip


def compare(
    models: Sequence[str | Path],
    data: Any,
    *,
    report: str | Path | None = None,
    changes: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Compared:
    """Which of several models is better on rows, how sure that is, and which rows changed.

    Args:
        models: two or more; the first is what the others are shown against.
        data: as for ``train``.
        report: an HTML file to write.
        changes: a JSON-lines file to write: every row that got better or worse.
        settings: as for ``train``.
        **keywords: settings by their short name, as for ``train``.
    """
    from tinyforge.recipes.compare import compare as recipe

    return recipe(
        models, data, settings=run_settings(None, settings, keywords),
        report=None if report is None else Path(report),
        changes=None if changes is None else Path(changes),
    )  # fmt: skip
