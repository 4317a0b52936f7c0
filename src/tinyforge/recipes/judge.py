"""Score a trained model once on its test split, next to what the user could have had without it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinyforge.evaluate.baselines import baselines, score_baselines
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.run import evaluate
from tinyforge.evaluate.verdict import Verdict, judge
from tinyforge.inference.torch_model import TorchModel
from tinyforge.recipes.rows import Rows
from tinyforge.recipes.setup import Setup, load_model

log = logging.getLogger("tinyforge")


def judge_model(
    setup: Setup, model: Any, folder: Path
) -> tuple[Evaluation | None, dict[str, Evaluation], Verdict]:
    """The model's scores on the test split, its baselines' scores, and the verdict.

    Args:
        model: the trained model, adapters merged.
        folder: where it was saved.
    """
    dataset, settings = setup.dataset, setup.settings
    test = Rows(dataset.store, dataset.test)
    if not len(test):
        return None, {}, judge(None, {})
    how: dict[str, Any] = {
        "task": setup.task.name, "multi_label": dataset.multi_label, "labels": dataset.labels,
        "settings": settings.evaluate, "seed": settings.train.seed,
    }  # fmt: skip
    log.info("judging on unseen rows")
    ours = evaluate(_predictor(setup, model, folder), test, **how, progress=every_ten_seconds())
    scored: dict[str, Evaluation] = {}
    if settings.evaluate.baselines:
        found = baselines(
            setup.task.name, Rows(dataset.store, dataset.train), multi_label=dataset.multi_label,
            seed=settings.train.seed, untuned=_untuned(setup),
        )  # fmt: skip
        scored = score_baselines(
            found, test, **how, progress=lambda title: log.info(f"baseline: {title}")
        )
    return ours, scored, judge(ours, scored)


def every_ten_seconds() -> Callable[[int, int], None]:
    """Says how far a long evaluation is, not more often than that."""
    said = time.monotonic()

    def progress(done: int, rows: int) -> None:
        nonlocal said
        if time.monotonic() - said > 10:
            said = time.monotonic()
            log.info(f"judged {done:,} of {rows:,} rows")

    return progress


def _predictor(setup: Setup, model: Any, folder: Path | None = None) -> TorchModel:
    return TorchModel.from_loaded(
        model, setup.loaded.tokenizer, setup.task, name=setup.loaded.name, path=folder,
        settings=setup.settings.generate,
    )  # fmt: skip


def _untuned(setup: Setup) -> TorchModel | None:
    """The model as it was before training, where it can answer at all.

    A model from nothing cannot, and neither can a classifier whose head is new.
    """
    if not setup.loaded.pretrained or setup.loaded.new_head:
        return None
    fresh = load_model(setup.settings, setup.task.name, setup.dataset, adapters=False)
    return _predictor(setup, fresh.model)
