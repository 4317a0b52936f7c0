"""The text-classification baseline on a public data set: as strong as it is known to be."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.evaluate.baselines import baselines, score_baselines
from tinyforge.records.examples import Example
from tinyforge.records.rows import Source

BANKING = Path(__file__).resolve().parents[4] / "shared/data/cls/banking77_train.jsonl.gz"


@pytest.mark.slow
@pytest.mark.skipif(not BANKING.exists(), reason="the shared data sets lie beside the checkout")
def test_tfidf_baseline_on_banking77() -> None:
    with gzip.open(BANKING, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    examples = [
        Example(row["text"], row["category"], source=Source("banking77", i))
        for i, row in enumerate(rows)
    ]
    order = np.random.default_rng(0).permutation(len(examples))
    test, train = [examples[i] for i in order[:1_000]], [examples[i] for i in order[1_000:]]
    scored = score_baselines(
        baselines("classify", train), test, task="classify",
        labels=sorted({row["category"] for row in rows}), settings=EvaluateSettings(),
    )  # fmt: skip
    accuracy = {name: result.scores["accuracy"].value for name, result in scored.items()}
    assert accuracy["tfidf_logistic_regression"] > 0.88
    assert accuracy["nearest_example"] > 0.75
    assert accuracy["majority"] < 0.05
