"""Answer texts or rows one after the other, in flat memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.errors import DataError
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.records.rows import Rejected, Source

if TYPE_CHECKING:
    from tinyforge.inference.prompted import PromptedModel
    from tinyforge.inference.torch_model import TorchModel
    from tinyforge.recipes.questions import Questions

BATCHES = 8
"""Batches that are sorted by length together."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One row with its answer, or with the reason why it has none.

    Attributes:
        prediction: None where the row could not be answered.
        problem: why not; empty where it was.
    """

    source: Source
    input: str
    prediction: Prediction | None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data: input, output, confidence and so on; or input, a null output and error."""
        if self.prediction is None:
            return {"input": self.input, "output": None, "error": f"{self.source}: {self.problem}"}
        p = self.prediction
        plain: dict[str, Any] = {
            "input": self.input,
            "output": p.output,
            "confidence": p.confidence,
        }
        if p.scores:
            plain |= {"labels": list(p.labels), "scores": dict(p.scores)}
        return plain | {"finish_reason": p.finish_reason, "model": p.model}


def predict(
    model: TorchModel | PromptedModel,
    questions: Questions,
    settings: GenerateSettings | None = None,
) -> Iterator[Answered]:
    """One answer for each row, in the rows' order.

    Rows are read, answered and forgotten a few batches at a time. A row that cannot be read or
    answered comes with its problem, and the others go on.

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
            yield _rejected(item) if isinstance(item, Rejected) else next(answers)


def _answers(
    model: TorchModel | PromptedModel, examples: list[Example], options: dict[str, Any]
) -> list[Answered]:
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
