"""Score a trained model once on its test split, next to what the user could have had without it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.data.some_rows import Rows
from tinyforge.evaluate.baselines import baselines, score_baselines
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.findings import Findings
from tinyforge.evaluate.prompted_baselines import score_prompted
from tinyforge.evaluate.run import evaluate
from tinyforge.evaluate.verdict import Verdict, judge
from tinyforge.recipes.findings import findings_of_run
from tinyforge.recipes.models import score_rivals
from tinyforge.recipes.prompting import note_shortened, prompted_baselines

if TYPE_CHECKING:
    from tinyforge.inference.torch_model import TorchModel
    from tinyforge.recipes.setup import Setup

log = logging.getLogger("tinyforge")


@dataclass(frozen=True)
class Judged:
    """What a run came to.

    Attributes:
        evaluation: on the test rows; None where there are none.
        baselines: name -> what the user could have had without the model.
    """

    evaluation: Evaluation | None
    baselines: dict[str, Evaluation]
    verdict: Verdict
    findings: Findings


def judge_model(setup: Setup, model: Any, folder: Path) -> Judged:
    """The model's scores on the test split, its baselines' scores, the verdict and its reasons.

    Args:
        model: the trained model, adapters merged.
        folder: where it was saved.
    """
    dataset, settings = setup.dataset, setup.settings
    test = Rows(dataset.store, dataset.test)
    if not len(test):
        return Judged(None, {}, judge(None, {}), Findings())
    how: dict[str, Any] = {
        "task": setup.task.name, "multi_label": dataset.multi_label, "labels": dataset.labels,
        "settings": settings.evaluate, "seed": settings.train.seed,
    }  # fmt: skip
    log.info("judging on unseen rows")
    predictor = _predictor(setup, model, folder)
    ours = evaluate(predictor, test, **how, progress=every_ten_seconds())
    scored: dict[str, Evaluation] = {}
    untuned = _untuned(setup) if settings.evaluate.baselines else None
    if settings.evaluate.baselines:
        found = baselines(
            setup.task.name, Rows(dataset.store, dataset.train), multi_label=dataset.multi_label,
            seed=settings.train.seed, untuned=untuned,
        )  # fmt: skip
        scored = score_baselines(found, test, **how, progress=_name_baseline)
        prompted = prompted_baselines(setup, found)
        scored |= score_prompted(
            prompted, test, ours, settings=settings.evaluate, seed=settings.train.seed,
            progress=_name_baseline,
        )  # fmt: skip
        note_shortened(prompted, scored)
    scored |= score_rivals(
        settings.evaluate.baseline_models, setup.task, settings,
        lambda model, name: evaluate(model, test, **how, name=name),
    )  # fmt: skip
    verdict = judge(ours, scored)
    log.info("looking where it fails")
    findings = findings_of_run(
        setup, predictor, ours, scored, verdict, how=how, folder=folder, untuned=untuned
    )
    return Judged(ours, scored, verdict, findings)


def _name_baseline(title: str) -> None:
    log.info(f"baseline: {title}")


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
    from tinyforge.inference.torch_model import TorchModel

    return TorchModel.from_loaded(
        model, setup.loaded.tokenizer, setup.task, name=setup.loaded.name, path=folder,
        settings=setup.settings.generate,
    )  # fmt: skip


def _untuned(setup: Setup) -> TorchModel | None:
    """The model as it was before training, where it can answer at all.

    A model from nothing cannot, and neither can a classifier whose head is new. Which of two
    answers is likelier, any model can tell.
    """
    from_nothing = not setup.loaded.pretrained and setup.task.name != "preference"
    if from_nothing or setup.loaded.new_head:
        return None
    from tinyforge.recipes.setup import load_model

    fresh = load_model(setup.settings, setup.task.name, setup.dataset, adapters=False)
    return _predictor(setup, fresh.model)
