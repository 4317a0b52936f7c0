"""Weights of graphs are the source's bit for bit, or something is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import task_models
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyforge.export.gate.weights import STORED, _find, check_stored
from tinyforge.inference.torch_model import TorchModel
from tinyforge.metrics.tally import Floats
from tinyforge.tasks.classify import Classify

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((40, 16)).astype(np.float32)
KNOWN = {(40, 16): [TABLE], (16, 40): [TABLE.T]}


def found(tensor: Floats) -> int | None:
    return _find(np.asarray(tensor, dtype=np.float32), KNOWN)


def test_a_tensor_as_it_is_or_transposed() -> None:
    assert found(TABLE) == 0
    assert found(TABLE.T) == 0


@given(st.integers(0, 39), st.integers(0, 15), st.integers(0, 31))
def test_any_flipped_bit_is_found(row: int, column: int, bit: int) -> None:
    spoilt = TABLE.copy()
    spoilt.view(np.uint32)[row, column] ^= np.uint32(1 << bit)
    assert found(spoilt) == 1
    assert found(np.ascontiguousarray(spoilt.T)) == 1


@pytest.mark.parametrize("other", [TABLE * 2, TABLE + 1, RNG.standard_normal((40, 16))])
def test_a_tensor_made_from_several_is_no_mistake(other: Floats) -> None:
    assert found(other) is None


def test_zeros_tell_nothing() -> None:
    sparse = np.zeros((40, 16), dtype=np.float32)
    sparse[0] = 1.0
    assert _find(sparse * np.float32(3), {(40, 16): [sparse]}) is None


def loaded(change: Any = None, kind: str = "float32") -> TorchModel:
    """A tiny classifier as a precision stores it, perhaps with a change."""
    model = task_models.classifier("bert", 3)
    model = model.to(getattr(torch, kind)).float()
    if change is not None:
        with torch.no_grad():
            change(dict(model.named_parameters()))
    task = Classify(task_models.bert_tokenizer(), model.config, ["a", "b", "c"])
    return TorchModel.from_loaded(model, task.tokenizer, task)


EMBEDDING = "bert.embeddings.word_embeddings.weight"
NORM = "bert.encoder.layer.0.output.LayerNorm.weight"


@pytest.mark.parametrize(("precision", "kind"), list(STORED.items()))
def test_what_is_stored_number_by_number_is_compared_so(precision: str, kind: str) -> None:
    check = check_stored(loaded(), loaded(kind=kind), precision)
    assert check.passed, check.sentence
    if precision != "fp32":
        assert not check_stored(loaded(), loaded(kind=kind), "fp32").passed

    def flip(weights: Any) -> None:
        weights[EMBEDDING][-1, 3] *= 1.01

    spoilt = check_stored(loaded(), loaded(flip, kind), precision)
    assert not spoilt.passed
    assert EMBEDDING in spoilt.sentence


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        (lambda w: w[EMBEDDING].mul_(1.001), True),
        (lambda w: w[EMBEDDING][7].mul_(2), False),
        (lambda w: w[EMBEDDING][7].fill_(float("nan")), False),
        (lambda w: w[NORM].add_(1).sub_(1), True),
        (lambda w: w[NORM][0].add_(1e-4), False),
    ],
)
def test_blocks_may_cost_each_row_a_little(change: Any, passes: bool) -> None:
    assert check_stored(loaded(), loaded(change), "int8").passed is passes


def test_a_row_that_was_changed_is_found() -> None:
    spoilt = TABLE.copy()
    spoilt[7] = 0
    assert found(spoilt) == 16
