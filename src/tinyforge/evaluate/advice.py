"""What would help, from what was seen in the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.verdict import FEWEST_GROUPS, Verdict
from tinyforge.metrics import METRICS

_FEW_ROWS = 10


def advise(
    evaluation: Evaluation | None,
    verdict: Verdict,
    *,
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    training: Mapping[str, Any],
) -> list[str]:
    """Next steps, the most useful first; whole sentences."""
    if evaluation is None:
        return ["Keep some rows for the test: --set data.test_share=0.1, or --test FILE."]
    found = _about_rows(evaluation, verdict)
    found += _about_training(training)
    if verdict.word != "better":
        found += _about_method(verdict, model)
    return found + _about_labels(evaluation)


def _about_rows(evaluation: Evaluation, verdict: Verdict) -> list[str]:
    groups = evaluation.sample.groups
    if verdict.word != "cannot tell":
        return []
    if groups < FEWEST_GROUPS:
        return [f"Test on at least {FEWEST_GROUPS} rows; a few hundred make a verdict firm."]
    if verdict.difference is None or verdict.low is None or verdict.high is None:
        return []
    if verdict.difference <= 0 or verdict.low > 0:
        return []
    half = (verdict.high - verdict.low) / 2
    needed = int(groups * (half / verdict.difference) ** 2 * 1.2) + 1
    if needed > 100 * groups:
        return ["The difference is too small to be shown with any likely number of test rows."]
    return [
        f"A difference of this size would show on about {_round(needed):,} test rows; there were "
        f"{groups:,}."
    ]


def _round(number: int) -> int:
    """To two digits, upwards."""
    step: int = 10 ** max(len(str(number)) - 2, 0)
    return -(-number // step) * step


def _about_training(training: Mapping[str, Any]) -> list[str]:
    rows: Sequence[Mapping[str, Any]] = (training.get("history") or {}).get("validation") or []
    losses = [float(row["loss"]) for row in rows if row.get("loss") is not None]
    if len(losses) < 3:
        return []
    best = losses.index(min(losses))
    if best == len(losses) - 1 and losses[-1] < 0.99 * losses[-2]:
        return ["The validation loss was still falling at the end: train longer (--epochs)."]
    if losses[-1] > 1.1 * losses[best]:
        return [
            "The validation loss rose again after its best point: the model learnt its training "
            "rows by heart. More rows help most; the best checkpoint was kept."
        ]
    return []


def _about_method(verdict: Verdict, model: Mapping[str, Any]) -> list[str]:
    found = []
    if model.get("pretrained") is False:
        found.append("The model started from nothing: a pretrained one (--model) needs fewer rows.")
    if verdict.best_baseline == "untuned_model" and verdict.word == "not better":
        found.append(
            "The model was as good before training: try a smaller learning rate, or use it as it "
            "was."
        )
    elif verdict.best_baseline and verdict.word == "not better":
        best = verdict.comparisons[0]
        found.append(f"As long as nothing else helps, {best.title} does the same job in no time.")
    return found


def _about_labels(evaluation: Evaluation) -> list[str]:
    found = []
    rare = [row.label for row in evaluation.label_table if 0 < row.support < _FEW_ROWS]
    if rare and len(evaluation.label_table) > 1:
        found.append(
            f"{len(rare):,} of {len(evaluation.label_table):,} labels have fewer than {_FEW_ROWS} "
            "test rows; their own numbers are rough."
        )
    if evaluation.confusion is not None:
        wrong = evaluation.confusion.counts.sum() - evaluation.confusion.counts.trace()
        for true, answered, rows in evaluation.confusion.pairs(1):
            if rows >= 5 and rows >= 0.1 * wrong and len(evaluation.confusion.labels) > 2:
                found.append(
                    f"{true!r} is answered with {answered!r} most often ({rows:,} rows): see "
                    "whether the two are told apart in the training rows."
                )
    error = evaluation.scores.get("ece")
    if error is not None and error.low > 0.1:
        found.append(
            f"{METRICS['ece'].title} is {error.value:.2f}: the confidences are not to be taken "
            "as probabilities."
        )
    return found
