"""What a model would see of the user's rows, found out before any training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.data import DataSettings
from tinyforge.data.dataset import Dataset
from tinyforge.data.encode import Lengths, choose_lengths, encode
from tinyforge.data.render import render
from tinyforge.data.report import DataReport
from tinyforge.data.survey import Survey
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example
from tinyforge.tasks.base import Task

_MEASURED = 50_000
_EDGES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
_XRAY_TOKENS = 400


@dataclass(frozen=True)
class CutAt:
    """What a limit on the input would do.

    Attributes:
        length: the limit, in the unit of the histogram.
        rows: how many rows are longer.
        first: where the first of them stands.
    """

    length: int
    rows: int
    first: str


@dataclass(frozen=True)
class LengthFacts:
    """How long one side of the rows is.

    Attributes:
        side: ``input`` or ``output``.
        unit: ``tokens`` or ``words``.
        rows: rows measured; evenly spaced ones where there are very many.
        mean, median, longest: in the unit.
        histogram: upper edge of each bin and the rows in it; the last edge is the longest row.
        cuts: what limits would cut.
    """

    side: str
    unit: str
    rows: int
    mean: float
    median: int
    longest: int
    histogram: list[tuple[int, int]]
    cuts: list[CutAt]


@dataclass(frozen=True)
class XRay:
    """One example as the model would get it.

    Attributes:
        where: the row's file and line.
        text: the exact text of the prompt, template and prefix included.
        answer: the text to learn.
        rejected: the text to be made less likely (preference); else empty.
        ids, tokens: token ids and their strings: of the input, then (encoder-decoder) the answer.
        learnt: for each token whether it carries loss.
        labels: the labels to learn (classification).
        answer_start: where in ``tokens`` the answer's own sequence begins (encoder-decoder).
        length: how many tokens there are in all; the lists stop at 400.
        ends: whether an end token is learnt last (of a document: in its last piece); None for
            classification.
        cut: tokens that the default limits remove.
    """

    where: str
    text: str
    answer: str
    rejected: str
    ids: list[int]
    tokens: list[str]
    learnt: list[bool]
    labels: list[str]
    answer_start: int | None
    length: int
    ends: bool | None
    cut: int


@dataclass(frozen=True)
class Inspection:
    """Everything ``inspect`` found. ``render()`` is the text, ``to_json()`` plain data.

    Attributes:
        why: how the task was chosen.
        report: columns, counts, rejects, duplicates, conflicts, leaks, labels, split.
        survey: what the first rows look like.
        lengths: the input's lengths, and the output's where it is text.
        limits: the default limits and what they cut (with a tokenizer).
        samples: token X-rays (with a tokenizer).
    """

    why: str
    report: DataReport
    survey: dict[str, Any]
    lengths: list[LengthFacts]
    limits: dict[str, Any] | None = None
    samples: list[XRay] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def render(self) -> str:
        """Text for a terminal."""
        return render(self.to_json())


def inspect(
    dataset: Dataset,
    survey: Survey,
    *,
    task: Task | None = None,
    settings: DataSettings | None = None,
    why: str = "",
    model_max: int | None = None,
    samples: int = 3,
) -> Inspection:
    """Look at a loaded dataset.

    Args:
        task: with its tokenizer gives lengths in tokens and X-rays; without it, words are counted.
        settings: with ``max_length`` and the like; default: chosen from the rows.
        why: how the task was chosen, for display.
        model_max: positions of the model; None: unbounded.
        samples: rows to X-ray.
    """
    looked = {
        "rows": survey.rows,
        "distinct_outputs": survey.distinct_outputs,
        "input_words": survey.input_words,
        "output_words": survey.output_words,
        "labels_like": survey.labels_like,
        "raw_text": survey.raw_text,
    }
    rows = _measured(dataset)
    if task is None:
        lengths = _word_lengths(dataset, rows)
        return Inspection(why, dataset.report, looked, lengths)
    folder = dataset.store.data.path.parent
    whole = encode(dataset.store, rows, task, work=folder, name="inspect")
    limits = choose_lengths([whole], task, settings or DataSettings(), model_max)
    sides = [("text" if limits.in_pieces else "input", whole.input_lengths)]
    if task.family == "encoder-decoder" and task.name != "classify":
        sides.append(("output", whole.label_lengths))
    lengths = [
        _length_facts(side, "tokens", counts, lambda row: str(whole.source(row)))
        for side, counts in sides
    ]
    shown = _spread(len(rows), samples)
    limited = whole.limit(task, limits.max_length, limits.max_output_length)
    xrays = [
        _xray(dataset.store[int(rows[row])], task, whole[row] if limits.in_pieces else limited[row])
        for row in shown.tolist()
    ]
    return Inspection(why, dataset.report, looked, lengths, _limit_facts(limits), xrays)


def _measured(dataset: Dataset) -> NDArray[np.int64]:
    rows = np.concatenate([dataset.train, dataset.validation, dataset.test])
    rows.sort()
    return rows[_spread(len(rows), _MEASURED)]


def _spread(total: int, wanted: int) -> NDArray[np.int64]:
    """At most ``wanted`` numbers below ``total``, evenly spaced."""
    if total <= wanted:
        return np.arange(total, dtype=np.int64)
    return (np.arange(wanted, dtype=np.int64) * total) // wanted


def _word_lengths(dataset: Dataset, rows: NDArray[np.int64]) -> list[LengthFacts]:
    inputs, outputs = [], []
    for row in rows:
        example = dataset.store[int(row)]
        turns = [m.content for m in example.messages if m.role != "assistant"]
        inputs.append(len(" ".join(turns).split()) if turns else len(example.input.split()))
        outputs.append(len((example.output or "").split()))
    sides = [("input", inputs), ("output", outputs)]
    if dataset.task == "language-model":
        sides = [("text", outputs)]
    elif dataset.task == "classify":
        sides = [("input", inputs)]
    return [
        _length_facts(
            side,
            "words",
            np.array(counts, np.int32),
            lambda i: str(dataset.store[int(rows[i])].source),
        )
        for side, counts in sides
    ]


def _length_facts(side: str, unit: str, counts: NDArray[np.int32], where: Any) -> LengthFacts:
    longest = int(counts.max(initial=0))
    edges = [edge for edge in _EDGES if edge < longest]
    bins = np.searchsorted(np.array(edges), counts, side="left")
    histogram = np.bincount(bins, minlength=len(edges) + 1).tolist()
    cuts = []
    for edge in edges:
        longer = np.flatnonzero(counts > edge)
        if len(longer) <= len(counts) / 2:
            cuts.append(CutAt(edge, len(longer), where(int(longer[0]))))
    return LengthFacts(
        side,
        unit,
        len(counts),
        round(float(counts.mean()), 1) if len(counts) else 0.0,
        int(np.median(counts)) if len(counts) else 0,
        longest,
        list(zip([*edges, longest], histogram, strict=True)),
        cuts,
    )


def _limit_facts(limits: Lengths) -> dict[str, Any]:
    facts = asdict(limits)
    facts["first_cut"] = str(limits.first_cut) if limits.first_cut else None
    facts["nothing_to_learn"] = [str(source) for source in limits.nothing_to_learn]
    return facts


def _xray(example: Example, task: Task, encoded: Encoded) -> XRay:
    """``encoded`` is the example within the limits; a document is shown whole."""
    ids = encoded.input_ids.tolist()
    labels = encoded.labels.tolist()
    learnt = [False] * len(ids)
    names: list[str] = []
    start = None
    if task.name == "classify":
        table: Sequence[str] = getattr(task, "labels", ())
        names = [table[i] if 0 <= i < len(table) else str(i) for i in labels]
    elif task.family == "encoder-decoder":
        start = len(ids)
        learnt += [label != IGNORED for label in labels]
        ids += [label for label in labels if label != IGNORED]
    else:
        learnt = [label != IGNORED and place > 0 for place, label in enumerate(labels)]
    ends = None
    if task.name != "classify":
        end_ids = getattr(task, "end_ids", (task.tokenizer.eos_token_id,))
        last = [token for token, learns in zip(ids, learnt, strict=True) if learns][-1:]
        ends = bool(last) and last[0] in end_ids
    tokens = task.tokenizer.convert_ids_to_tokens(ids[:_XRAY_TOKENS])
    return XRay(
        where=str(example.source),
        text=task.prompt(example),
        answer=example.output or "",
        rejected=example.rejected or "",
        ids=ids[:_XRAY_TOKENS],
        tokens=[str(token) for token in tokens],
        learnt=learnt[:_XRAY_TOKENS],
        labels=names,
        length=len(ids),
        answer_start=start,
        ends=ends,
        cut=encoded.cut_input + encoded.cut_output,
    )
