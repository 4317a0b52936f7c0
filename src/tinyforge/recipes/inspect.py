"""Show what a model would see of the user's rows, before any training."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tinyforge.config.settings import Settings
from tinyforge.data.dataset import load_dataset
from tinyforge.data.inspect import Inspection
from tinyforge.data.inspect import inspect as look
from tinyforge.data.survey import survey
from tinyforge.recipes.decide import choose_task


def inspect_data(data: Any, *, settings: Settings, model: bool) -> Inspection:
    """Columns, rejects, labels, duplicates, leaks and lengths; with a model, tokens as well.

    Args:
        model: whether to load the tokenizer of ``settings.model`` and show tokens; without it
            lengths are in words, and torch is not needed.
    """
    with tempfile.TemporaryDirectory(prefix="tinyforge-") as folder:
        work = Path(folder)
        seen = survey(data, settings.data)
        family = None
        if model:
            from tinyforge.models.load import family_of

            family = family_of(settings.model)
        name, why = choose_task(seen, family, settings.task)
        dataset = load_dataset(
            data, seen.columns, name, settings.data, seed=settings.train.seed, work=work
        )
        if not model:
            return look(dataset, seen, task=None, settings=settings.data, why=why)
        from tinyforge.recipes.setup import load_model, make_task

        loaded = load_model(settings, name, dataset)
        task = make_task(settings, name, dataset, loaded)
        return look(
            dataset, seen, task=task, settings=settings.data, why=why,
            model_max=loaded.max_positions,
        )  # fmt: skip
