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
    findings: Mapping[str, Any] | None = None,
) -> list[str]:
    """Next steps, the most useful first; whole sentences.

    What makes the score itself doubtful comes first, then what settles the verdict, then what
    makes the model better, then what to know before it is used.

    Args:
        findings: as ``Findings.to_json`` gives them.
    """
    if evaluation is None:
        return ["Keep some rows for the test: --set data.test_share=0.1, or --test FILE."]
    found = dict(findings or {})
    said = _about_leaks(found) + _about_rows(evaluation, verdict, found)
    said += _about_wrong_labels(found) + _about_training(training) + _about_more_rows(found)
    if verdict.word != "better":
        said += _about_method(verdict, model)
    return said + _about_slices(found) + _about_labels(evaluation) + _about_use(evaluation, found)


def _about_leaks(findings: Mapping[str, Any]) -> list[str]:
    leaks = findings.get("leaks")
    if not leaks or not leaks["exact"] + leaks["near"] or leaks["all"] is None:
        return []
    left = leaks["without"]
    margin = METRICS[leaks["metric"]].margin
    if left is not None and abs(left["value"] - leaks["all"]["value"]) <= margin:
        return []
    return [f"{leaks['sentence']} Take that number, or test on rows the model has not seen."]


def _about_rows(evaluation: Evaluation, verdict: Verdict, findings: Mapping[str, Any]) -> list[str]:
    groups = evaluation.sample.groups
    if verdict.word != "cannot tell":
        return []
    if groups < FEWEST_GROUPS:
        return [f"Test on at least {FEWEST_GROUPS} rows; a few hundred make a verdict firm."]
    power = findings.get("power")
    return [power["sentence"]] if power else []


def _about_wrong_labels(findings: Mapping[str, Any]) -> list[str]:
    errors = findings.get("label_errors")
    if not errors or not errors["suspected"]:
        return []
    return [
        f"{errors['suspected']:,} of {errors['rows']:,} labels look wrong to a model that has not "
        "seen the row: look through them (label_errors.jsonl), the surest first."
    ]


def _about_more_rows(findings: Mapping[str, Any]) -> list[str]:
    curve = findings.get("learning_curve")
    return [curve["sentence"]] if curve else []


def _about_slices(findings: Mapping[str, Any]) -> list[str]:
    slices = findings.get("slices")
    return [
        f"Rows {worst['name']} do worst: {worst['inside_text']} on {worst['rows']:,} rows against "
        f"{worst['outside_text']} elsewhere. Training rows of that kind would help there."
        for worst in (slices["found"][:1] if slices else [])
    ]


def _about_use(evaluation: Evaluation, findings: Mapping[str, Any]) -> list[str]:
    found = []
    error = evaluation.scores.get("ece")
    if error is not None and error.low > 0.1:
        found.append(
            f"{METRICS['ece'].title} is {error.value:.2f}: the confidences are not to be taken "
            "as probabilities."
        )
    forgetting, gap = findings.get("forgetting"), findings.get("gap")
    if forgetting and forgetting["forgot"]:
        found.append(forgetting["sentence"])
    if gap and gap["large"]:
        found.append(gap["sentence"])
    return found


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
    return found
