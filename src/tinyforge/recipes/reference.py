"""What the rows of a run looked like, for whoever serves its model (``safety/drift.py``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.safety.drift_reference import Observation, common_words, make_reference, observe
from tinyforge.safety.drift_tokens import Tokens

if TYPE_CHECKING:
    from tinyforge.data.dataset import Dataset
    from tinyforge.evaluate.evaluation import Evaluation

_WORDS_OF = 20_000
_OBSERVED = 2_000


def reference_of_run(
    dataset: Dataset, evaluation: Evaluation | None, tokenizer: Any
) -> dict[str, Any] | None:
    """The reference of a run: words of the training rows; all else from the test rows.

    On rows that it learnt from a model is surer, and no word is new to it. Where there are no test
    rows, the training rows stand in, without confidences and unknown words.

    Args:
        evaluation: the model on the test rows.
        tokenizer: the model's.

    Returns:
        None for raw text, which is nothing like what a model is asked.
    """
    if dataset.task == "language-model":
        return None
    texts = (dataset.store[int(row)].input for row in _evenly(dataset.train, _WORDS_OF))
    words, tokens = common_words(texts), Tokens(tokenizer)
    if evaluation is None:
        learnt = (dataset.store[int(row)] for row in _evenly(dataset.train, _OBSERVED))
        seen = [observe(row.input, None, (), None, tokens) for row in learnt]
    else:
        seen = _judged(dataset, evaluation, words, tokens)
    counts = dataset.report.labels.get("train")
    return make_reference(seen, words, source="training", labels=counts)


def _judged(
    dataset: Dataset, evaluation: Evaluation, words: frozenset[int], tokens: Tokens
) -> list[Observation]:
    seen = []
    for place in _evenly(np.arange(len(evaluation.rows)), _OBSERVED):
        row = dataset.store[int(dataset.test[int(evaluation.rows[place])])]
        answer = evaluation.predictions[int(place)] if len(evaluation.predictions) else None
        confidence, labels = (answer.confidence, answer.labels) if answer else (None, ())
        seen.append(observe(row.input, confidence, labels, words, tokens))
    return seen


def _evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many, from all over the file."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)]
