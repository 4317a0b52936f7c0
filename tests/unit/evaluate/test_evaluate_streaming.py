"""Memory stays flat however many rows are judged."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from typing import overload

import pytest

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.run import evaluate
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Prediction
from tinyforge.records.rows import Source

LABELS = ("bad", "good")


class ManyRows(Sequence[Example]):
    """Rows that are made when they are asked for, as those on disk are."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        label = LABELS[index * 7919 % 100 < 30]
        return Example(f"row number {index}", label, source=Source("rows.jsonl", index + 1))


class Guesses:
    """Right in most rows, with a probability for each label; no two answers alike."""

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        found = []
        for example in examples:
            share = (example.source.line * 104_729 % 1_000) / 1_000
            scores = {"bad": 1 - share, "good": share}
            best = max(scores, key=lambda label: scores[label])
            found.append(Prediction(best, scores[best], scores=scores, labels=(best,)))
        return found

    def log_likelihoods(self, examples: Sequence[Example]) -> list[Likelihood]:
        return [Likelihood(1.0 + e.source.line % 7, 3, 12, 12) for e in examples]


def growth(task: str, few: int, many: int, *, draws: int = 100) -> float:
    """Bytes of heap that each further row takes: at the peak, and in what is left.

    ``draws`` of ``few`` rows must fill a block of resampling weights, whose size is fixed: one that
    fills up only with ``many`` rows would look like growth.
    """
    settings = EvaluateSettings(bootstrap_samples=draws, max_rows=many)
    seen: list[tuple[int, int]] = []
    held: list[Evaluation] = []
    # The first call fills caches. What a row takes shows both times; what a thread that another
    # test has left behind takes meanwhile, which is traced too, in one of them.
    for count in (few, few, many, few, many):
        gc.collect()
        tracemalloc.start()
        held.append(evaluate(Guesses(), ManyRows(count), task=task, settings=settings))
        left, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        seen.append((left, peak))
        assert held[-1].sample.rows == count
    pairs = [(seen[1], seen[2]), (seen[3], seen[4])]
    assert min(more[0] - less[0] for less, more in pairs) / (many - few) < 8
    return min(more[1] - less[1] for less, more in pairs) / (many - few)


@pytest.mark.parametrize("task", ["classify", "language-model"])
def test_a_row_takes_a_few_bytes(monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    monkeypatch.setattr("tinyforge.metrics.tally._CELLS", 100_000)
    monkeypatch.setattr("tinyforge.metrics.spill.SPILL", 1_000)
    monkeypatch.setattr("tinyforge.metrics.classification._ROWS", 1_000)
    monkeypatch.setattr("tinyforge.metrics.ranking._CELLS", 50_000)
    assert growth(task, 2_000, 8_000) < 80


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classify", "language-model"])
def test_two_hundred_thousand_rows(task: str) -> None:
    assert growth(task, 20_000, 200_000, draws=200) < 80
