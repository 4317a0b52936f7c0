"""Judgements made from numbers alone, and pairs of systems whose true quality is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyforge.evaluate.evaluation import Evaluation, Sample
from tinyforge.metrics import Primary
from tinyforge.metrics.classification import label_tallies
from tinyforge.metrics.tally import Floats, Tally, bootstrap, mean_tally
from tinyforge.records.predictions import Prediction
from tinyforge.records.scores import Score

DRAWS = 200


def measured(
    metric: str,
    tally: Tally,
    *,
    name: str = "this model",
    task: str = "text2text",
    groups: NDArray[np.int64] | None = None,
    keys: NDArray[np.int64] | None = None,
    quality: Floats | None = None,
    answers: Sequence[str] = (),
    seed: int = 0,
    draws: int = DRAWS,
) -> Evaluation:
    """A judgement with one metric, from its statistics row by row."""
    rows = tally.rows
    keys = np.arange(rows) if keys is None else keys
    groups = np.arange(rows) if groups is None else groups
    joined = tally.grouped(groups)
    sample = Sample(str(keys.tolist()), rows, int(groups.max()) + 1, draws, seed)
    predictions = [Prediction(answer, 0.9, labels=(answer,), model=f"hash-{name}")
                   for answer in answers]  # fmt: skip
    return Evaluation(
        name=name, task=task, multi_label=False, primary=Primary(metric, "chosen by the test"),
        scores={metric: Score(metric, tally.value(), tally.value(), tally.value(), rows)},
        sample=sample, rows=np.arange(rows), keys=keys, groups=groups,
        quality=np.zeros(rows) if quality is None else quality, confidences=None, labels=(),
        probabilities=None, predictions=predictions, label_table=[], confusion=None,
        reliability=[], mistakes=[], signatures={}, notes=[], model=f"hash-{name}", seconds=0.0,
        fit_seconds=0.0, tallies={metric: joined}, row_tally=tally,
        resampled=bootstrap({metric: joined}, samples=draws, seed=seed),
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A kind of judgement.

    Attributes:
        make: draws two systems' statistics: (generator, rows, gain) -> (ours, theirs). Without a
            gain the two are equal; with it ours is better by about so much of the metric.
        gain: a gain that 300 rows should show.
    """

    metric: str
    make: Callable[[np.random.Generator, int, float], tuple[Tally, Tally]]
    gain: float


def accuracy(rng: np.random.Generator, rows: int, gain: float) -> tuple[Tally, Tally]:
    """Rows are hard or easy for both systems."""
    ease = rng.beta(4, 1.5, rows)
    ours = rng.random(rows) < np.minimum(ease + gain, 1)
    return mean_tally(ours), mean_tally(rng.random(rows) < ease)


def macro_f1(rng: np.random.Generator, rows: int, gain: float) -> tuple[Tally, Tally]:
    """Four labels, one of them on three rows in four, one rare."""
    labels = ["a", "b", "c", "d"]
    shares = [0.75, 0.13, 0.08, 0.04]
    gold = rng.choice(labels, rows, p=shares)
    gold[0] = "b"

    def answers(right: float) -> list[str]:
        guess = rng.choice(labels, rows, p=shares)
        return list(np.where(rng.random(rows) < right, gold, guess))

    tallies = [label_tallies(list(gold), answers(0.5 + extra), labels)["macro_f1"]
               for extra in (gain, 0.0)]  # fmt: skip
    return tallies[0], tallies[1]  # type: ignore[return-value]


def overlap(sums: Floats) -> Floats:
    """F1 of matched units in points, as chrF is made: from (matched, in answers, in references)."""
    return 100 * 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)


def chrf(rng: np.random.Generator, rows: int, gain: float) -> tuple[Tally, Tally]:
    """Texts of very different lengths."""
    lengths = np.maximum(rng.lognormal(3.5, 0.8, rows), 5).astype(int)
    ease = rng.beta(5, 5, rows)

    def system(extra: float) -> Tally:
        written = np.maximum(lengths * rng.normal(1, 0.15, rows), 1)
        share = np.clip(ease + extra + rng.normal(0, 0.12, rows), 0, 1)
        return Tally(np.stack([share * np.minimum(written, lengths), written, lengths], 1), overlap)

    return system(gain), system(0.0)


def bits_per_byte(rng: np.random.Generator, rows: int, gain: float) -> tuple[Tally, Tally]:
    """A few long texts weigh more than all the others."""
    lengths = np.maximum(rng.lognormal(5, 1.1, rows), 10)
    base = rng.normal(2.3, 0.4, rows)

    def score(sums: Floats) -> Floats:
        return sums[..., 0] / sums[..., 1]

    def system(less: float) -> Tally:
        bits = (base - less + rng.normal(0, 0.15, rows)) * lengths
        return Tally(np.stack([bits, lengths], 1), score)

    return system(gain), system(0.0)


CASES = {
    "accuracy": Case("accuracy", accuracy, 0.15),
    "macro F1": Case("macro_f1", macro_f1, 0.3),
    "chrF": Case("chrf", chrf, 0.05),
    "bits per byte": Case("bits_per_byte", bits_per_byte, 0.08),
}
