"""How sure a judgement is, and where the model fails: one small file a finding.

``find`` puts together what follows from an evaluation alone, and carries what needed the model
(its maker is named in brackets). ``Findings.to_json()`` is plain data; a finding that was not made
is null, and each one that was made has a ``sentence`` for people::

    {
      "power": null | {
        "metric", "baseline": name, "title": of the baseline, "groups": independent rows,
        "standard_error": of the difference, "detectable": smallest true difference that shows,
        "detectable_text", "settles": null | {"half": rows more, "likely", "nearly"}, "sentence"},
      "slices": null | {
        "tested", "rows", "units", "quality", "measure": what quality is in words, "method",
        "found": [{"name", "kind", "rows", "inside", "outside", "difference", "low", "high",
                   "p": corrected, "excess": errors too many, "also": [names], "where": [file:line],
                   "inside_text", "outside_text"}],
        "sentence"},
      "errors": {"worst": [mistake], "confident": [mistake]},
        # mistake: as in the evaluation: source, input, expected, answered, confidence, score
      "leaks": null | {
        "tested", "exact", "near", "share", "metric", "all": score, "without": null | score,
        "leaked": null | score, "found": [{"row", "where", "like": file:line in training,
        "similarity", "input", "kind": exact|near}], "sentence"},
        # score: value, low, high, rows, text, interval (text)
      "label_errors": null | {                            [label_errors.find_label_errors]
        "rows", "labels", "folds", "agreement", "estimated", "share",
        "suspects": [{"row", "where", "text", "given", "suggested", "score", "p_given",
        "p_suggested"}] (the first 100), "suspected": how many there are,
        "pairs": [{"given", "suggested", "rows"}], "sentence"},
      "abstention": null | {
        "aurc", "aurc_of_chance", "accuracy", "rows", "curve": [[coverage, error], ...],
        "table": [{"coverage", "accuracy", "low", "high", "threshold", "answered"}],
        "chosen": null | {"target", "value", "guaranteed", "validation_rows", "coverage",
        "accuracy", "low", "high", "answered"}, "sentence"},
      "out_of_scope": null | {                            [out_of_scope.scope_scores]
        "inside", "outside", "best": name, "scores": [{"name", "title", "auroc", "low", "high",
        "fpr95", "fpr95_low", "fpr95_high", "threshold"}], "sentence"},
      "alarm": null | {                                   [recipes/alarms.py]
        "labels", "value", "rate", "guaranteed", "validation_rows", "recall", "precision",
        "false_alarms": null | {"value", "low", "high", "rows"}, "sentence"},
      "gap": null | {"metric", "train", "test", "difference", "low", "high", "train_rows",
        "large": bool, "sentence"},
      "forgetting": null | {                              [forgetting.probe]
        "probes", "before", "after", "change", "low", "high", "forgot": bool,
        "worst": [{"text", "before", "after"}], "sentence"},
      "learning_curve": null | {                          [recipes/learning_curve.py]
        "metric", "points": [{"rows", "value", "low", "high"}], "fit": {"a", "b", "c"},
        "doubled": {"rows", "value", "low", "high", "gain", "gain_low", "gain_high"},
        "helps": "yes"|"no"|"cannot tell", "seconds", "sentence"},
      "sentences": [the sentences of what was found, the most useful first]
    }

Whoever has the model at hand makes what needs it; see ``recipes/findings.py``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.findings.alarms import Alarm
from tinyforge.evaluate.findings.errors import Errors, find_errors
from tinyforge.evaluate.findings.forgetting import Forgetting
from tinyforge.evaluate.findings.gap import Gap, find_gap
from tinyforge.evaluate.findings.label_errors import LabelErrors
from tinyforge.evaluate.findings.leaks import Leaks, find_leaks
from tinyforge.evaluate.findings.learning_curve import LearningCurve
from tinyforge.evaluate.findings.out_of_scope import OutOfScope, out_of_scope_rows
from tinyforge.evaluate.findings.power import Power
from tinyforge.evaluate.findings.power import power as find_power
from tinyforge.evaluate.findings.slices import Slices, find_slices
from tinyforge.evaluate.findings.thresholds import Abstention, Threshold, measure_abstention
from tinyforge.evaluate.verdict import Verdict
from tinyforge.records.examples import Example

_SUSPECTS = 100
_ORDER = (
    "leaks", "power", "label_errors", "learning_curve", "slices", "gap", "forgetting",
    "out_of_scope", "abstention", "alarm",
)  # fmt: skip


@dataclass(frozen=True)
class Findings:
    """What was found; None where it was not looked for or could not be. See the module."""

    power: Power | None = None
    slices: Slices | None = None
    errors: Errors | None = None
    leaks: Leaks | None = None
    label_errors: LabelErrors | None = None
    abstention: Abstention | None = None
    out_of_scope: OutOfScope | None = None
    gap: Gap | None = None
    forgetting: Forgetting | None = None
    learning_curve: LearningCurve | None = None
    alarm: Alarm | None = None

    def sentences(self) -> list[str]:
        """Every finding in a sentence, the most useful first."""
        made = (getattr(self, name) for name in _ORDER)
        return [finding.sentence for finding in made if finding is not None]

    def to_json(self) -> dict[str, Any]:
        """Plain data, in the shape that the module's docstring gives; no NaN and no infinity."""
        found: dict[str, Any] = {
            field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)
        }
        if self.label_errors is not None:
            found["label_errors"]["suspected"] = len(self.label_errors.suspects)
            found["label_errors"]["suspects"] = found["label_errors"]["suspects"][:_SUSPECTS]
        return found | {"sentences": self.sentences()}


def find(
    evaluation: Evaluation,
    examples: Sequence[Example],
    *,
    baselines: Mapping[str, Evaluation] | None = None,
    verdict: Verdict | None = None,
    train: Sequence[Example] | None = None,
    near_duplicate: float = 0.7,
    trained: Evaluation | None = None,
    threshold: Threshold | None = None,
    label_errors: LabelErrors | None = None,
    out_of_scope: OutOfScope | None = None,
    forgetting: Forgetting | None = None,
    learning_curve: LearningCurve | None = None,
    alarm: Alarm | None = None,
    seed: int = 0,
    work: Path | None = None,
) -> Findings:
    """Everything that can be found out about a judgement with what is at hand.

    Args:
        evaluation: the model on the test rows.
        examples: the rows that were handed to ``evaluate``.
        baselines, verdict: give the power.
        train: the training rows; gives the leaks.
        near_duplicate: similarity from which a test row counts as seen.
        trained: the model on some training rows; gives the gap.
        threshold: chosen on validation rows with ``thresholds.choose_threshold``, or loaded.
        label_errors, out_of_scope, forgetting, learning_curve, alarm: made by who has the model;
            without ``out_of_scope`` test rows with a label such as "oos" are taken.
        seed: of the choice of independent rows.
        work: for temporary files.
    """
    classify = evaluation.task == "classify"
    return Findings(
        power=None if verdict is None else find_power(evaluation, baselines or {}, verdict),
        slices=find_slices(evaluation, examples, seed=seed),
        errors=find_errors(evaluation, examples),
        leaks=find_leaks(evaluation, examples, train, threshold=near_duplicate, work=work)
        if train is not None and len(train)
        else None,
        label_errors=label_errors,
        abstention=measure_abstention(evaluation, threshold),
        out_of_scope=out_of_scope
        or (out_of_scope_rows(evaluation, examples) if classify else None),
        gap=find_gap(trained, evaluation) if trained is not None else None,
        forgetting=forgetting,
        learning_curve=learning_curve,
        alarm=alarm,
    )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
