"""The end of a search: winner and default settings side by side on the test rows, looked at once.

Trials are chosen among on the validation rows, and the best of many looks better there than it is
(the winner's curse). The test rows have no part in the choice, so that the paired comparison on
them is as honest as that of two models.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any

import numpy as np

from tinyforge.artifacts.files import write_json, write_text
from tinyforge.artifacts.report import write_report
from tinyforge.artifacts.tune_page import render_search
from tinyforge.data.encode import encode
from tinyforge.data.some_rows import Rows
from tinyforge.errors import ConditionError
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.run import evaluate
from tinyforge.evaluate.verdict import Verdict, judge
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.lora import merge
from tinyforge.models.save import save_model
from tinyforge.recipes.energy import Energy, EnergyMeter
from tinyforge.recipes.judge import every_ten_seconds, judge_model
from tinyforge.recipes.setup import VALIDATION_ROWS, Setup
from tinyforge.recipes.train import describe_run, report_run, validate
from tinyforge.recipes.tune_journal import Trial
from tinyforge.recipes.tune_report import DEFAULT, Judged, report_search
from tinyforge.recipes.tune_trial import Search, trained
from tinyforge.train.hooks import Estimate, Outcome

log = logging.getLogger("tinyforge")


def judge_search(search: Search, ended: str) -> dict[str, Any]:
    """Judge the winner, save it as a whole run folder, and write down the search.

    Args:
        ended: why there were no more trials.

    Returns:
        The content of ``tinyforge/tuning.json``.

    Raises:
        ConditionError: no trial was trained to its end.
    """
    began, meter = time.monotonic(), EnergyMeter()
    journal, folder = search.journal, search.folder
    best = journal.best
    if best is None:
        raise ConditionError(
            f"none of the {len(journal.trials)} trials was trained to its end; the first one: "
            f"{journal.trials[0].reason}",
            where=str(folder.path), fix="Mend what is wrong there, and start anew with --force",
        )  # fmt: skip
    theirs, theirs_value = _judge_default(search, best)
    winner = trained(search, best)
    model = winner.loaded.model
    save_model(model, winner.loaded.tokenizer, folder.path, winner.task.state())
    judged = judge_model(winner, merge(model), folder.path)
    ours = judged.evaluation
    found = Judged(
        ours, theirs, _test_value(search, winner, ours), theirs_value,
        _verdict(journal.trials, best, ours, theirs),
    )  # fmt: skip
    content = report_search(search, ended, best, winner, found)
    winner.reasons.append(
        f"settings: the best of {len(journal.trials)} trials of tinyforge tune on the validation "
        "rows; see tinyforge/tuning.html"
    )
    report = report_run(
        winner, search.data, folder, _outcome(best), judged, began - journal.seconds,
        _energy(journal.trials, meter),
    )  # fmt: skip
    write_report(folder.path, report)
    content["run"] = report["result"]
    write_json(folder.meta / "tuning.json", content)
    write_text(folder.meta / "tuning.html", render_search(content))
    write_text(folder.meta / "best.yaml", content["yaml"])
    write_json(folder.run, {**describe_run(winner, search.data), "verb": "tune"})
    return content


def _judge_default(search: Search, best: Trial) -> tuple[Evaluation | None, float | None]:
    """The default settings on the test rows; nothing where that is not needed or not possible."""
    first, dataset = search.journal.trials[0], search.base.dataset
    if first is best or first.state != "complete" or not len(dataset.test):
        return None, None
    log.info("judging the default settings on the test rows")
    setup = trained(search, first)
    predictor = TorchModel.from_loaded(
        merge(setup.loaded.model), setup.loaded.tokenizer, setup.task, name=setup.loaded.name,
        settings=setup.settings.generate,
    )  # fmt: skip
    found = evaluate(
        predictor, Rows(dataset.store, dataset.test), task=setup.task.name,
        multi_label=dataset.multi_label, labels=dataset.labels, settings=setup.settings.evaluate,
        seed=setup.settings.train.seed, name=DEFAULT, progress=every_ten_seconds(),
    )  # fmt: skip
    return found, _test_value(search, setup, found)


def _test_value(search: Search, setup: Setup, evaluation: Evaluation | None) -> float | None:
    """The value that trials were chosen by, on the test rows; None where there are none."""
    if evaluation is None:
        return None
    metric = search.journal.metric
    if metric == "accuracy" and evaluation.multi_label:
        metric = "subset_accuracy"
    if metric in evaluation.scores:
        return evaluation.scores[metric].value
    test = setup.dataset.test
    places = np.linspace(0, len(test) - 1, min(len(test), VALIDATION_ROWS)).astype(np.int64)
    rows = encode(
        setup.dataset.store, test[places], setup.task, work=search.folder.meta / "work",
        name="test",
    )  # fmt: skip
    rows = rows.limit(setup.task, setup.lengths.max_length, setup.lengths.max_output_length)
    values = validate(dataclasses.replace(setup, validation=rows), setup.loaded.model)
    return values.get(metric)


def _verdict(
    trials: list[Trial], best: Trial, ours: Evaluation | None, theirs: Evaluation | None
) -> Verdict:
    """Whether tuning helped."""
    metric = None if ours is None else ours.primary.name
    if best is trials[0]:
        return Verdict(
            "not better",
            f"Not better: none of the {len(trials) - 1} other trials beat {DEFAULT} on the "
            "validation rows, so they stay.",
            metric,
        )
    if ours is not None and theirs is None:
        return Verdict(
            "cannot tell",
            f"Cannot tell: {DEFAULT} could not be trained ({trials[0].reason}), so there is "
            "nothing to compare the winner with.",
            metric,
        )
    return judge(ours, {} if theirs is None else {"default": theirs})


def _outcome(trial: Trial) -> Outcome:
    """The winner's training, as it was told when it ended."""
    plain = dict(trial.outcome or {})
    estimate = plain.pop("estimate", None)
    plain["speedups"] = tuple(plain["speedups"])
    return Outcome(**plain, estimate=None if estimate is None else Estimate(**estimate))


def _energy(trials: list[Trial], judging: EnergyMeter) -> Energy:
    """Electricity of all trials, and of judging."""
    parts = [Energy(**trial.energy) for trial in trials if trial.energy] + [judging.read()]
    measured = all(part.measured for part in parts)
    seconds = sum(part.cpu_seconds for part in parts)
    how = "measured by the processor's own counters (RAPL)"
    if not measured:
        how = f"an estimate, not a measurement, from {seconds:,.0f} processor seconds"
    return Energy(
        joules=sum(part.joules for part in parts), measured=measured,
        how=f"{how}; all trials of the search and the judging together",
        cpu_seconds=seconds, seconds=sum(part.seconds for part in parts),
    )  # fmt: skip
