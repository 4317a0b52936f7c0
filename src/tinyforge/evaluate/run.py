"""Judge any predictor on examples: the trained model, an exported one, a baseline."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.errors import DataError, ModelError
from tinyforge.evaluate.evaluation import Evaluation, Sample
from tinyforge.evaluate.fitting import check_fit
from tinyforge.evaluate.joined import JoinedReferences
from tinyforge.evaluate.keeping import KeptPredictions, Places, Worst
from tinyforge.evaluate.preferences import PairScorer, preferred
from tinyforge.evaluate.scoring import (
    AnswerScorer,
    LabelScorer,
    Part,
    Scorer,
    Scoring,
    TextScorer,
    interval,
)
from tinyforge.inference.base import Predictor
from tinyforge.metrics import Primary
from tinyforge.metrics.spill import Column
from tinyforge.metrics.tally import RowMetric, Tally, bootstrap
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Prediction
from tinyforge.tasks.preference import rejected_answer

GENERATING = ("text2text", "instruct")
BY_LIKELIHOOD = ("language-model", "preference")
"""Tasks that are judged without an answer being written."""

GENERATED_ROWS = 1_000
"""Answers generated for a judgement, at most, where the user sets no number."""

_CHUNK = {"classify": 2_048}
"""Rows in memory at a time, 256 of other tasks: of many rows that are only read, those of like
length find each other."""

Measure = Callable[[Sequence[Example]], list[Likelihood]]


@dataclass
class Kept:
    """What is kept of the rows while a predictor goes through them: a few numbers a row, on disk.

    Attributes:
        quality, confidences: a number a row; see ``Evaluation``.
        seconds: time spent on answering.
    """

    worst: Worst
    places: Places = field(default_factory=Places)
    predictions: KeptPredictions = field(default_factory=KeptPredictions)
    quality: Column = field(default_factory=lambda: Column(np.float64))
    confidences: Column = field(default_factory=lambda: Column(np.float32))
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
    primary: Primary | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a predictor on examples, with a 95 % bootstrap interval for every metric.

    Rows are answered in chunks and forgotten; what stays of them lies in temporary files, so that
    memory does not grow with their number. Rows of one ``group``, and rows with the same input,
    are resampled together, since they are not independent. A predictor with a method
    ``log_likelihoods(examples)`` is also measured by perplexity and bits per byte where it writes
    text.

    Args:
        examples: anything with a length and indices, for example rows on disk.
        labels: all labels of the training rows; by default the predictor's own. Comparable
            evaluations need the same ones.
        seed: of the choice of rows and of the resamples.
        primary: the headline metric; by default chosen by the rows. On some of the rows that
            another evaluation is of, it has to be that one's.
        progress: called with (rows done, rows in all).

    Raises:
        DataError: there is no row, no row has an answer to compare with, none of the labels was
            seen in training, or the rows are made for another task.
        ModelError: raw text is to be judged by a predictor that gives no likelihoods.
    """
    measure = _measure(predictor, task, settings, name)
    given = len(examples)
    if settings.join_references and task in GENERATING:
        examples = JoinedReferences(examples)
    rows = _choose_rows(len(examples), task, settings, seed)
    known = tuple(labels) or tuple(getattr(predictor, "labels", ()))
    scorer = _scorer(task, known, multi_label, len(rows), settings)
    kept = Kept(Worst(raw=task == "language-model"))
    for chunk in _chunks(examples, rows, task, multi_label, kept.places, progress):
        if kept.places.count == len(chunk):
            check_fit(chunk, examples, task, known, multi_label, name)
        _answer(predictor, chunk, task, measure, scorer, kept)
    if not kept.places.count:
        raise _no_answers(kept.places)
    scoring = scorer.close()
    if primary is not None:
        scoring = replace(scoring, primary=primary)
    made = _finish(scoring, kept, given, len(examples), settings, seed)
    made["model"] = made["model"] or str(getattr(predictor, "hash", ""))
    return Evaluation(
        name=name, task=task, multi_label=multi_label,
        fit_seconds=float(getattr(predictor, "fit_seconds", 0.0)),
        parameters=getattr(predictor, "parameters", None),
        size_bytes=getattr(predictor, "size_bytes", None), **made,
    )  # fmt: skip


def _chunks(
    examples: Sequence[Example],
    rows: NDArray[np.int64],
    task: str,
    multi_label: bool,
    places: Places,
    progress: Callable[[int, int], None] | None,
) -> Iterator[list[tuple[Example, tuple[str, ...]]]]:
    """The rows that have an answer, so many at a time; tells ``progress`` when one is done with."""
    size = _CHUNK.get(task, 256)
    for start in range(0, len(rows), size):
        chunk = _next(examples, rows[start : start + size], task, multi_label, places)
        if chunk:
            yield chunk
        if progress is not None:
            progress(min(start + size, len(rows)), len(rows))


def _no_answers(places: Places) -> DataError:
    return DataError(
        "no row has an answer to compare with", value=f"{places.without_gold} rows",
        fix="Name the column that holds the answers with --set data.output=COLUMN",
    )  # fmt: skip


def _scorer(
    task: str, known: Sequence[str], multi_label: bool, rows: int, settings: EvaluateSettings
) -> Scorer:
    if task == "classify":
        return LabelScorer(known, multi_label=multi_label, rows=rows)
    if task == "preference":
        return PairScorer()
    return TextScorer() if task == "language-model" else AnswerScorer(task, settings)


def _measure(
    predictor: Predictor, task: str, settings: EvaluateSettings, name: str
) -> Measure | None:
    """How to ask the predictor for likelihoods; None where that makes no sense."""
    measure: Measure | None = getattr(predictor, "log_likelihoods", None)
    if task == "classify":
        return None
    if measure is None:
        if task in BY_LIKELIHOOD:
            raise ModelError(
                "this model cannot tell how likely a text is", value=name,
                fix="Judge raw text and preferences with a decoder model",
            )  # fmt: skip
        return None
    chosen = {"window": settings.window, "stride": settings.stride}
    chosen = {key: value for key, value in chosen.items() if value is not None}
    if chosen and "window" in inspect.signature(measure).parameters:
        return partial(measure, **chosen)
    return measure


def _choose_rows(count: int, task: str, settings: EvaluateSettings, seed: int) -> NDArray[np.int64]:
    if count == 0:
        raise DataError("there are no rows to judge on", fix="Give a file with at least one row")
    limit = settings.max_rows or (GENERATED_ROWS if task in GENERATING else count)
    if limit >= count:
        return np.arange(count)
    chosen = np.random.default_rng(seed).choice(count, limit, replace=False)
    return np.sort(chosen).astype(np.int64)


def _next(
    examples: Sequence[Example],
    rows: NDArray[np.int64],
    task: str,
    multi_label: bool,
    places: Places,
) -> list[tuple[Example, tuple[str, ...]]]:
    """The rows that have an answer, each with it."""
    chunk = []
    for index in rows.tolist():
        example = examples[index]
        gold = gold_of(example, task, multi_label)
        if gold is None:
            places.without_gold += 1
            continue
        number = examples.row(index) if isinstance(examples, JoinedReferences) else index
        places.add(number, example, gold)
        chunk.append((example, gold))
    return chunk


def gold_of(example: Example, task: str, multi_label: bool = False) -> tuple[str, ...] | None:
    """What the answer is compared with: a label, a set of labels, or texts; None: nothing."""
    if multi_label:
        if example.labels is not None:
            return tuple(sorted(set(example.labels)))
        return None if example.output is None else (example.output,)
    if task in GENERATING and example.references:
        return example.references
    return None if example.output is None else (example.output,)


def _answer(
    predictor: Predictor,
    chunk: Sequence[tuple[Example, tuple[str, ...]]],
    task: str,
    measure: Measure | None,
    scorer: Scorer,
    kept: Kept,
) -> None:
    """Ask for some answers, score them and keep what is needed of them."""
    examples, gold = [example for example, _ in chunk], [texts for _, texts in chunk]
    started = time.monotonic()
    predictions: Sequence[Prediction] = ()
    if task not in BY_LIKELIHOOD:
        predictions = predictor.predict_examples(examples)
    likelihoods = measure(examples) if measure is not None else []
    rejected: Sequence[Likelihood] = ()
    if task == "preference" and measure is not None:
        rejected = measure([rejected_answer(example) for example in examples])
        model = str(getattr(predictor, "hash", ""))
        predictions = preferred(examples, likelihoods, rejected, model)
    kept.seconds += time.monotonic() - started
    quality = scorer.add(Part(examples, gold, predictions, likelihoods, rejected))
    kept.worst.offer(kept.places.count - len(chunk), examples, quality, predictions)
    kept.predictions.extend(predictions)
    kept.quality.extend(quality)
    kept.confidences.extend([np.nan if p.confidence is None else p.confidence for p in predictions])


def _finish(
    scoring: Scoring, kept: Kept, given: int, units: int, settings: EvaluateSettings, seed: int
) -> dict[str, Any]:
    """Intervals, and everything that an ``Evaluation`` tells of the rows."""
    rows, keys, groups = kept.places.close()
    count = int(groups.max()) + 1
    tallies = group_all(scoring.tallies, groups)
    resampled = bootstrap(tallies, samples=settings.bootstrap_samples, seed=seed)
    headline = scoring.primary.name
    order = sorted(tallies, key=lambda metric: metric != headline)
    kept.predictions.close()
    confidences = kept.confidences.close()
    alone = scoring.tallies.get(headline)
    return {
        "primary": scoring.primary,
        "scores": {
            metric: interval(metric, tallies[metric], resampled[metric], len(rows))
            for metric in order
        },
        "sample": Sample(
            kept.places.fingerprint, len(rows), count, settings.bootstrap_samples, seed
        ),
        "rows": rows,
        "keys": keys,
        "groups": groups,
        "quality": kept.quality.close(),
        "confidences": confidences if len(confidences) and _complete(confidences) else None,
        "labels": scoring.labels,
        "probabilities": scoring.probabilities,
        "predictions": kept.predictions,
        "label_table": scoring.label_table,
        "confusion": scoring.confusion,
        "reliability": scoring.reliability,
        "mistakes": kept.worst.close(),
        "signatures": scoring.signatures,
        "notes": _notes(kept.places, given, units, count) + scoring.notes,
        "model": kept.predictions.model,
        "seconds": kept.seconds,
        "tallies": tallies,
        "row_tally": alone if isinstance(alone, Tally) else None,
        "resampled": resampled,
    }


def group_all(tallies: Mapping[str, RowMetric], groups: NDArray[np.int64]) -> dict[str, RowMetric]:
    """Every metric with the rows of a group joined; common statistics are joined once."""
    joined: dict[int, Any] = {}
    found: dict[str, RowMetric] = {}
    for name, tally in tallies.items():
        if not isinstance(tally, Tally):
            found[name] = tally.grouped(groups)
            continue
        key = id(tally.statistics)
        if key not in joined:
            joined[key] = tally.grouped(groups).statistics
        found[name] = replace(tally, statistics=joined[key])
    return found


def _complete(values: NDArray[np.float32]) -> bool:
    return not np.isnan(values).any()


def _notes(places: Places, given: int, units: int, groups: int) -> list[str]:
    notes = []
    looked_at = places.count + places.without_gold
    if units < given:
        notes.append(f"{given:,} rows were joined to {units:,} with several references each")
    if looked_at < units:
        notes.append(f"a random {looked_at:,} of {units:,} rows were judged")
    if places.without_gold:
        notes.append(f"{places.without_gold:,} rows have no answer to compare with")
    if groups < places.count:
        notes.append(
            f"the {places.count:,} rows are {groups:,} independent groups (same input or "
            "group); intervals resample groups"
        )
    return notes
