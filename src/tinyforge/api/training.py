"""The verbs that train on rows: ``train`` and ``tune``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.api.given import named, run_settings
from tinyforge.config.load import keyword_settings, load_tree
from tinyforge.config.settings import Settings

if TYPE_CHECKING:
    from tinyforge.recipes.train import Run
    from tinyforge.recipes.tune import Tuned
    from tinyforge.recipes.tune_trial import News
    from tinyforge.train.hooks import Listener


def train(
    data: Any,
    model: str | None = None,
    *,
    output_dir: str | Path,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
    require_better: bool = False,
    listeners: Sequence[Listener] = (),
    **keywords: Any,
) -> Run:
    """Train on your rows, judge the result on unseen ones, and save both.

    Args:
        data: a path, a hub id, a pandas or polars frame, a ``datasets.Dataset`` or a list of rows.
        model: a hub id, a local folder, ``scratch:PRESET`` or ``auto`` (the default).
        output_dir: where the model and its report go; a folder that does not exist yet.
        config: a YAML file of settings.
        settings: settings by dotted name or nested by stage; they win over ``config``.
        resume: continue what an unfinished run left in ``output_dir``.
        force: replace what is in ``output_dir``.
        require_better: raise ConditionError where the verdict is not "better".
        listeners: told of every step, validation and event.
        **keywords: settings by their short name (``epochs=3``, ``lora=True``) or, in a
            dictionary, by their dotted one; they win over ``settings``.

    Raises:
        TinyForgeError: a mistake in data, settings or folder, in one line.
    """
    from tinyforge.recipes.train import train as recipe

    return recipe(
        data,
        settings=run_settings(config, settings, {"model.name": model, **keywords}),
        output_dir=Path(output_dir),
        resume=resume,
        force=force,
        require_better=require_better,
        listeners=listeners,
    )


def tune(
    data: Any,
    model: str | None = None,
    *,
    output_dir: str | Path,
    trials: int | None = None,
    max_minutes: float | None = None,
    search: Mapping[str, str | Sequence[Any]] | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
    listeners: Sequence[Listener] = (),
    tell: Callable[[News], None] | None = None,
    **keywords: Any,
) -> Tuned:
    """Search for settings; the best trial becomes a run folder, judged beside the default ones.

    Args:
        trials: how many settings are tried; the first are the default ones.
        max_minutes: minutes for all trials together.
        search: settings to search by name: ``"1e-5..1e-3"``, ``"8,16,32"`` or a list of values.
        tell: told when a trial begins and when it has ended.
        data, model, output_dir, config, settings, resume, force, listeners, **keywords: as for
            ``train``; all trials share the settings.

    Raises:
        TinyForgeError: a mistake in data, settings or folder, in one line.
    """
    from tinyforge.config.tune import TuneRunSettings

    direct = keyword_settings(settings or {}, TuneRunSettings)
    direct |= named(Settings, None, {"model.name": model, **keywords})
    direct |= {"tune.trials": trials, "tune.max_minutes": max_minutes}
    for name, limits in (search or {}).items():
        text = limits if isinstance(limits, str) else ",".join(map(str, limits))
        direct[f"tune.search.{name}"] = text
    chosen = load_tree(TuneRunSettings, config, (), direct)

    from tinyforge.recipes.tune import tune as recipe

    return recipe(
        data, settings=chosen, output_dir=Path(output_dir), resume=resume, force=force,
        listeners=listeners, tell=tell,
    )  # fmt: skip
