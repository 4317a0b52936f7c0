"""Whether a model and the rows it is to be judged on fit each other; said before any work."""

from __future__ import annotations

from collections.abc import Sequence

from tinyforge.errors import DataError
from tinyforge.evaluate.scoring import some
from tinyforge.records.examples import Example

_WORDS = 5
"""Labels with more words than this on average are written answers."""


Rows = Sequence[tuple[Example, tuple[str, ...]]]
"""Examples, each with what its answer is compared with."""


def check_fit(
    first: Rows,
    examples: Sequence[Example],
    task: str,
    known: Sequence[str],
    multi_label: bool,
    name: str,
) -> None:
    """Look at the first rows for signs that they are made for another task or other labels.

    Args:
        first: the first rows.
        examples: all rows; looked at only if none of the first has a known label.
        known: the labels that the model gives.
        name: the model's.

    Raises:
        DataError: they are.
    """
    if task == "classify":
        if not multi_label:
            _one_label(first, name)
        _known_labels(known, first, examples, multi_label)
    _texts([example for example, _ in first], task, name)


def _one_label(first: Rows, name: str) -> None:
    several = [e for e, _ in first if e.labels is not None and len(e.labels) > 1]
    if several:
        raise DataError(
            f"rows carry several labels, and {name} gives one", where=str(several[0].source),
            value=", ".join(several[0].labels or ()),
            fix="Judge a model that was trained on several labels a row",
        )  # fmt: skip


def _texts(examples: Sequence[Example], task: str, name: str) -> None:
    where = str(examples[0].source)
    if task == "language-model":
        if not any(example.output for example in examples):
            raise DataError(
                "the rows hold no text", where=where,
                fix="Name the column with the text: --set data.output=COLUMN",
            )  # fmt: skip
    elif not any(example.input or example.messages for example in examples):
        raise DataError(
            f"the rows are raw text without an input, and {name} answers inputs", where=where,
            fix="Name the column with the input: --set data.input=COLUMN; raw text is judged by "
            "language models",
        )  # fmt: skip


def _known_labels(
    known: Sequence[str], first: Rows, examples: Sequence[Example], multi_label: bool
) -> None:
    seen = {label for _, labels in first for label in labels}
    if not known or not seen or seen & set(known):
        return
    for i in range(len(examples)):
        example = examples[i]
        labels = example.labels if multi_label else None
        if set(labels or (example.output or "",)) & set(known):
            return
    unseen = sorted(seen)
    knows = f"The model knows: {some(sorted(known))}"
    if sum(len(label.split()) for label in unseen) > _WORDS * len(unseen):
        raise DataError(
            "the rows hold written answers, and this model gives labels", value=unseen[0][:80],
            where=str(first[0][0].source), fix=knows,
        )  # fmt: skip
    raise DataError(
        "none of the labels of these rows was seen in training", value=some(unseen), fix=knows
    )
