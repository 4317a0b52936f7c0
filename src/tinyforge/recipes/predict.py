"""Answer texts or rows one after the other, in flat memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.errors import DataError, SettingError
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction, TokenScore
from tinyforge.records.rows import Rejected, Source

if TYPE_CHECKING:
    from tinyforge.recipes.prompting import Answerer
    from tinyforge.recipes.questions import Questions

BATCHES = 8
"""Batches that are sorted by length together."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One row with its answer, or with the reason why it has none.

    Attributes:
        prediction: None where the row could not be answered.
        problem: why not; empty where it was.
        withheld: the model has an answer and is not sure enough of it.
    """

    source: Source
    input: str
    prediction: Prediction | None
    problem: str = ""
    withheld: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data: input, output, confidence and so on; or input, a null output and error.

        A withheld answer has a null output and ``"withheld": true`` beside its confidence.
        """
        if self.prediction is None:
            return {"input": self.input, "output": None, "error": f"{self.source}: {self.problem}"}
        p = self.prediction
        plain: dict[str, Any] = {
            "input": self.input,
            "output": None if self.withheld else p.output,
            "confidence": p.confidence,
        }
        if self.withheld:
            plain["withheld"] = True
        if p.scores:
            plain |= {"labels": list(p.labels), "scores": dict(p.scores)}
        if p.token_scores and not self.withheld:
            plain["token_scores"] = [_score(score) for score in p.token_scores]
        return plain | {"finish_reason": p.finish_reason, "model": p.model}


def _score(score: TokenScore) -> dict[str, Any]:
    """Plain data: text, bytes, log_probability, and top where there is any."""
    plain: dict[str, Any] = {
        "text": score.text, "bytes": list(score.bytes), "log_probability": score.log_probability,
    }  # fmt: skip
    return plain | ({"top": [_score(each) for each in score.top]} if score.top else {})


def predict(
    model: Answerer,
    questions: Questions,
    settings: GenerateSettings | None = None,
    *,
    min_confidence: float = 0.0,
) -> Iterator[Answered]:
    """One answer for each row, in the rows' order.

    Rows are read, answered and forgotten a few batches at a time. A row that cannot be read or
    answered comes with its problem, and the others go on.

    Args:
        min_confidence: answers of lower confidence, or of none, are withheld.

    Raises:
        SettingError: a setting has no effect on this model.
        DataError: the columns cannot serve this model's task.
    """
    settings = settings or GenerateSettings()
    options = settings.model_dump(exclude_unset=True)
    rows = questions.examples(model.task.name)
    size = settings.batch_size * (1 if questions.live else BATCHES)
    while chunk := list(islice(rows, size)):
        asked = [item for item in chunk if isinstance(item, Example)]
        answers = iter(_answers(model, asked, options))
        for item in chunk:
            answered = _rejected(item) if isinstance(item, Rejected) else next(answers)
            yield _sure_enough(answered, min_confidence)


def saved_min_confidence(model: Answerer) -> float:
    """The confidence that was chosen on validation rows when the model was trained.

    Raises:
        SettingError: nothing was chosen, or it was chosen for another way of asking.
    """
    # Imported here: it brings what judging needs, and most answers are asked for without it.
    from tinyforge.evaluate.findings.thresholds import Threshold
    from tinyforge.inference.answering import AnsweringModel

    folder = model.path if isinstance(model, AnsweringModel) else None
    threshold = None if folder is None else Threshold.load(folder)
    if threshold is None:
        raise SettingError(
            "no confidence was chosen when this model was trained",
            where="--min-confidence", value="auto",
            fix="Give a number, or train a classifier with --set evaluate.target_accuracy=0.95",
        )  # fmt: skip
    return threshold.value


def _sure_enough(answered: Answered, least: float) -> Answered:
    if answered.prediction is None or (answered.prediction.confidence or 0.0) >= least:
        return answered
    return replace(answered, withheld=True)


def _answers(model: Answerer, examples: list[Example], options: dict[str, Any]) -> list[Answered]:
    try:
        found = model.predict_examples(examples, **options)
    except DataError as error:  # one row, a chat that the template refuses for example, spoils all
        if len(examples) == 1:
            example = examples[0]
            return [Answered(example.source, example.input, None, error.what)]
        return [answer for example in examples for answer in _answers(model, [example], options)]
    return [
        Answered(example.source, example.input, prediction)
        for example, prediction in zip(examples, found, strict=True)
    ]


def _rejected(row: Rejected) -> Answered:
    problem = f"{row.reason} ({row.detail})" if row.detail else row.reason
    return Answered(row.source, row.excerpt, None, problem)
