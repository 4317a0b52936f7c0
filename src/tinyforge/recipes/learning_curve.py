"""Train on parts of the rows too, to see whether more rows would help."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinyforge.artifacts.files import read_json, write_json
from tinyforge.artifacts.run_folder import RunFolder, open_run
from tinyforge.config.settings import Settings
from tinyforge.data.some_rows import Rows
from tinyforge.errors import FolderError, SettingError
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.findings.learning_curve import LearningCurve, Point, fit_curve
from tinyforge.evaluate.run import evaluate
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.lora import merge
from tinyforge.recipes.setup import Setup, set_up

log = logging.getLogger("tinyforge")

PARTS = (8, 4, 2)
"""One eighth, a quarter and a half of the training rows."""

FEWEST_ROWS = 80
"""With fewer training rows an eighth is no training set."""


def announce() -> None:
    """Say what the learning curve costs, before anything is trained."""
    share = sum(1 / part for part in PARTS)
    log.info(
        f"learning curve: three more models are trained on {_named(PARTS)} of the rows, which "
        f"takes about {share:.1f} times as long as the run itself"
    )


def learning_curve(
    data: Any,
    settings: Settings,
    folder: RunFolder,
    *,
    setup: Setup,
    evaluation: Evaluation | None,
    seconds: float,
    identity: Any,
    learn: Callable[[Setup, RunFolder], Any],
) -> LearningCurve | None:
    """Runs on 1/8, 1/4 and 1/2 of the training rows, judged on the test rows of the whole run.

    A part that was finished before is not repeated; its result lies in the run folder.

    Args:
        data, settings: of the run, as the user gave them.
        setup: of the whole run.
        evaluation: of the whole run; None where there are no test rows.
        seconds: what the whole run's training took.
        identity: what makes the parts' results the same again; plain JSON.
        learn: trains what is set up, in a folder of its own.
    """
    rows = len(setup.dataset.train)
    if evaluation is None or evaluation.headline is None:
        log.warning("learning curve: there are no test rows to judge on")
        return None
    if rows < FEWEST_ROWS:
        log.warning(f"learning curve: {rows} training rows are too few to learn from parts of them")
        return None
    started = time.monotonic()
    name = evaluation.primary.name
    mark = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    places = {part: folder.meta / "learning_curve" / f"1-of-{part}" for part in PARTS}
    found = {part: _finished(place, mark, name) for part, place in places.items()}
    left = tuple(part for part in PARTS if found[part] is None)
    if left:
        minutes = seconds * sum(1 / part for part in left) / 60
        log.info(f"learning curve: {_named(left)} of the rows, about {minutes:.1f} minutes")
    points = [Point(rows, evaluation.headline.value, evaluation.resampled[name])]
    for part, place in places.items():
        point = found[part]
        if point is None:
            log.info(f"learning curve: 1/{part} of the rows")
            point = _run_part(data, settings, place, part, evaluation, learn)
            _keep(place, mark, name, point)
        points.append(point)
    return fit_curve(
        name, points, seconds=time.monotonic() - started, seed=settings.train.seed
    )  # fmt: skip


def _run_part(
    data: Any,
    settings: Settings,
    place: Path,
    part: int,
    whole: Evaluation,
    learn: Callable[[Setup, RunFolder], Any],
) -> Point:
    """Train on one part and judge it by the headline metric of the whole run."""
    run = place / "run"
    with open_run(run, resume=run.exists()) as folder:
        work = folder.meta / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        setup = set_up(data, settings, work=work, rejected=None, share=1 / part)
        learn(setup, folder)
        dataset = setup.dataset
        predictor = TorchModel.from_loaded(
            merge(setup.loaded.model), setup.loaded.tokenizer, setup.task,
            name=setup.loaded.name, settings=setup.settings.generate,
        )  # fmt: skip
        found = evaluate(
            predictor, Rows(dataset.store, dataset.test), task=setup.task.name,
            multi_label=dataset.multi_label, labels=dataset.labels,
            settings=setup.settings.evaluate, seed=setup.settings.train.seed,
        )  # fmt: skip
        if found.sample != whole.sample:
            raise SettingError(
                "the rows have changed during the run", where=str(place),
                fix="Train again without --learning-curve, or leave the file as it is",
            )  # fmt: skip
        point = Point(
            len(dataset.train), found.scores[whole.primary.name].value,
            found.resampled[whole.primary.name],
        )  # fmt: skip
    shutil.rmtree(run, ignore_errors=True)
    return point


def _finished(place: Path, mark: str, metric: str) -> Point | None:
    try:
        kept = read_json(place / "point.json")
        if kept["identity"] != mark or kept["metric"] != metric:
            return None
        return Point(int(kept["rows"]), float(kept["value"]), np.array(kept["resampled"], float))
    except (FolderError, KeyError, TypeError, ValueError):
        return None


def _keep(place: Path, mark: str, metric: str, point: Point) -> None:
    place.mkdir(parents=True, exist_ok=True)
    write_json(
        place / "point.json",
        {
            "identity": mark, "metric": metric, "rows": point.rows, "value": point.value,
            "resampled": point.resampled,
        },
    )  # fmt: skip


def _named(parts: tuple[int, ...]) -> str:
    return " and ".join(", ".join(f"1/{part}" for part in parts).rsplit(", ", 1))
