"""Judge any predictor on examples: the trained model, an exported one, a baseline."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.errors import DataError, ModelError
from tinyforge.evaluate.evaluation import Evaluation, Mistake, Sample
from tinyforge.evaluate.scoring import Scoring, interval, score_answers, score_labels, score_text
from tinyforge.inference.base import Predictor
from tinyforge.metrics.tally import bootstrap
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Prediction

GENERATING = ("text2text", "instruct")
GENERATED_ROWS = 1_000
"""Answers generated for a judgement, at most, where the user sets no number."""

_CHUNK = 256
_EXCERPT = 1_000


@dataclass
class Answers:
    """What is kept of the rows while a predictor goes through them.

    Attributes:
        gold: the expected label, labels (sorted) or text.
        inputs: the first inputs, to choose a headline metric by.
        groups: the independent group of each row, numbered from 0.
    """

    indices: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    gold: list[Any] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    likelihoods: list[Likelihood] = field(default_factory=list)
    without_gold: int = 0
    seconds: float = 0.0


def evaluate(
    predictor: Predictor,
    examples: Sequence[Example],
    *,
    task: str,
    multi_label: bool = False,
    labels: Sequence[str] = (),
    settings: EvaluateSettings,
    seed: int = 0,
    name: str = "this model",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a predictor on examples, with a 95 % bootstrap interval for every metric.

    Rows are answered in chunks and forgotten; what stays is one prediction and a few numbers a
    row. Rows of one ``group``, and rows with the same input, are resampled together, since they
    are not independent. A predictor with a method ``log_likelihoods(examples)`` is also measured
    by perplexity and bits per byte where it writes text.

    Args:
        examples: anything with a length and indices, for example rows on disk.
        labels: all labels of the training rows; by default the predictor's own. Comparable
            evaluations need the same ones.
        seed: of the choice of rows and of the resamples.
        progress: called with (rows done, rows in all).

    Raises:
        DataError: there is no row, no row has an answer to compare with, or none of the labels
            was seen in training.
        ModelError: raw text is to be judged by a predictor that gives no likelihoods.
    """
    measure = getattr(predictor, "log_likelihoods", None)
    if task == "language-model" and measure is None:
        raise ModelError(
            "this model cannot tell how likely a text is", value=name,
            fix="Judge raw text with a decoder model",
        )  # fmt: skip
    rows = _choose_rows(len(examples), task, settings, seed)
    answers = _answer(
        predictor, examples, rows, task, multi_label, measure if task != "classify" else None,
        progress,
    )  # fmt: skip
    if not answers.gold:
        raise DataError(
            "no row has an answer to compare with", value=f"{answers.without_gold} rows",
            fix="Name the column that holds the answers with --set data.output=COLUMN",
        )  # fmt: skip
    known = tuple(labels) or tuple(getattr(predictor, "labels", ()))
    if task == "classify":
        scoring = score_labels(answers.gold, answers.predictions, known, multi_label)
    elif task == "language-model":
        scoring = score_text(answers.likelihoods)
    else:
        scoring = score_answers(
            answers.gold, answers.predictions, answers.inputs, answers.likelihoods
        )
    return _finish(scoring, answers, examples, task, multi_label, settings, seed, name, predictor)


def _choose_rows(count: int, task: str, settings: EvaluateSettings, seed: int) -> NDArray[np.int64]:
    if count == 0:
        raise DataError("there are no rows to judge on", fix="Give a file with at least one row")
    limit = settings.max_rows or (GENERATED_ROWS if task in GENERATING else count)
    if limit >= count:
        return np.arange(count)
    chosen = np.random.default_rng(seed).choice(count, limit, replace=False)
    return np.sort(chosen).astype(np.int64)


def _answer(
    predictor: Predictor,
    examples: Sequence[Example],
    rows: NDArray[np.int64],
    task: str,
    multi_label: bool,
    measure: Callable[[Sequence[Example]], list[Likelihood]] | None,
    progress: Callable[[int, int], None] | None,
) -> Answers:
    answers = Answers()
    places: dict[object, int] = {}
    for start in range(0, len(rows), _CHUNK):
        chunk: list[Example] = []
        for index in rows[start : start + _CHUNK]:
            example = examples[int(index)]
            gold = _gold(example, multi_label)
            if gold is None:
                answers.without_gold += 1
                continue
            chunk.append(example)
            answers.indices.append(int(index))
            answers.sources.append(str(example.source))
            answers.gold.append(gold)
            answers.groups.append(places.setdefault(_group(example, index), len(places)))
            if len(answers.inputs) < 2 * GENERATED_ROWS:
                answers.inputs.append(example.input)
        if not chunk:
            continue
        started = time.monotonic()
        if task != "language-model":
            answers.predictions += [_light(p) for p in predictor.predict_examples(chunk)]
        if measure is not None:
            answers.likelihoods += measure(chunk)
        answers.seconds += time.monotonic() - started
        if progress is not None:
            progress(min(start + _CHUNK, len(rows)), len(rows))
    return answers


def _gold(example: Example, multi_label: bool) -> str | tuple[str, ...] | None:
    if not multi_label:
        return example.output
    if example.labels is not None:
        return tuple(sorted(set(example.labels)))
    return None if example.output is None else (example.output,)


def _group(example: Example, index: np.int64) -> object:
    """Rows with an equal key are not independent of each other."""
    if example.group is not None:
        return "group", example.group
    asked = (example.messages[:-1], example.input)
    return hash(asked) if any(asked) else (int(index),)


def _light(prediction: Prediction) -> Prediction:
    return replace(prediction, scores={}, input="")


def _finish(
    scoring: Scoring,
    answers: Answers,
    examples: Sequence[Example],
    task: str,
    multi_label: bool,
    settings: EvaluateSettings,
    seed: int,
    name: str,
    predictor: Predictor,
) -> Evaluation:
    groups = np.array(answers.groups)
    count = int(groups.max()) + 1
    joined: dict[int, Any] = {}
    tallies = {}
    for metric, tally in scoring.tallies.items():
        key = id(tally.statistics)
        if key not in joined:
            joined[key] = tally.grouped(groups).statistics
        tallies[metric] = replace(tally, statistics=joined[key])
    resampled = bootstrap(tallies, samples=settings.bootstrap_samples, seed=seed)
    order = sorted(tallies, key=lambda metric: metric != scoring.primary.name)
    scores = {
        metric: interval(metric, tallies[metric], resampled[metric], len(answers.gold))
        for metric in order
    }
    return Evaluation(
        name=name,
        task=task,
        multi_label=multi_label,
        primary=scoring.primary,
        scores=scores,
        sample=Sample(
            _fingerprint(answers), len(answers.gold), count, settings.bootstrap_samples, seed
        ),
        predictions=answers.predictions,
        label_table=scoring.label_table,
        confusion=scoring.confusion,
        mistakes=[_mistake(row, score, answers, examples) for row, score in scoring.worst],
        signatures=scoring.signatures,
        notes=_notes(answers, len(examples), count) + scoring.notes,
        model=answers.predictions[0].model if answers.predictions else "",
        seconds=answers.seconds,
        fit_seconds=float(getattr(predictor, "fit_seconds", 0.0)),
        tally=tallies.get(scoring.primary.name),
        resampled=resampled,
    )


def _fingerprint(answers: Answers) -> str:
    digest = hashlib.sha256()
    for source, gold in zip(answers.sources, answers.gold, strict=True):
        digest.update(repr((source, gold)).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _mistake(row: int, score: float, answers: Answers, examples: Sequence[Example]) -> Mistake:
    example = examples[answers.indices[row]]
    gold = answers.gold[row]
    prediction = answers.predictions[row] if answers.predictions else None
    return Mistake(
        source=answers.sources[row],
        input=_excerpt(example.input),
        expected=_excerpt(gold if isinstance(gold, str) else ", ".join(gold)),
        answered=_excerpt(prediction.output) if prediction else "",
        confidence=prediction.confidence if prediction else None,
        score=score,
    )


def _excerpt(text: str) -> str:
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"


def _notes(answers: Answers, given: int, groups: int) -> list[str]:
    notes = []
    looked_at = len(answers.gold) + answers.without_gold
    if looked_at < given:
        notes.append(f"a random {looked_at:,} of {given:,} rows were judged")
    if answers.without_gold:
        notes.append(f"{answers.without_gold:,} rows have no answer to compare with")
    if groups < len(answers.gold):
        notes.append(
            f"the {len(answers.gold):,} rows are {groups:,} independent groups (same input or "
            "group); intervals resample groups"
        )
    return notes
