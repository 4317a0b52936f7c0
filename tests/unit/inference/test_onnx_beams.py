"""Beam search of an exported model finds what ``generate`` of transformers finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tiny_answerers import PAIRS

from tinyforge.inference.onnx.beams import largest
from tinyforge.inference.torch_model import TorchModel

INPUTS = ["the cat", "how are you doing today? i'm fine", "naïve 🐕", "the", PAIRS[0][0], "x y"]


@pytest.fixture(params=["continuer", "wide_chatter", "reverser"])
def both(request: pytest.FixtureRequest, opened: Callable[..., Any]) -> tuple[TorchModel, Any]:
    model: TorchModel = request.getfixturevalue(request.param)
    return model, opened(model)


def same(both: tuple[TorchModel, Any], texts: list[str], **options: Any) -> None:
    source, export = both
    for one, other in zip(
        export.predict(texts, **options), source.predict(texts, **options), strict=True
    ):
        assert (one.output, one.finish_reason) == (other.output, other.finish_reason)
        assert one.confidence == pytest.approx(other.confidence, rel=1e-3)


@pytest.mark.parametrize("beams", [2, 3, 5])
def test_the_same_answers(both: tuple[TorchModel, Any], beams: int) -> None:
    same(both, INPUTS, num_beams=beams, max_new_tokens=14)


@pytest.mark.parametrize("room", [1, 2, 40])
def test_short_and_long_ones(both: tuple[TorchModel, Any], room: int) -> None:
    same(both, INPUTS[:4], num_beams=4, max_new_tokens=room)


def test_stop_strings(both: tuple[TorchModel, Any]) -> None:
    source, _ = both
    whole = source.predict("the cat", max_new_tokens=14, num_beams=3).output
    stops = [c for c in whole[1:] if c.isascii() and c.isalnum()][:1]
    same(both, INPUTS, num_beams=3, max_new_tokens=14, stop=[*stops, "e "])


def test_one_alone_is_as_among_others(both: tuple[TorchModel, Any]) -> None:
    _, export = both
    together = export.predict(INPUTS, num_beams=3, max_new_tokens=10)
    alone = [export.predict(text, num_beams=3, max_new_tokens=10) for text in INPUTS]
    assert [p.output for p in together] == [p.output for p in alone]


def test_more_answers_than_are_searched_together(both: tuple[TorchModel, Any]) -> None:
    same(both, INPUTS, num_beams=3, max_new_tokens=8, batch_size=2)


def test_the_memory_is_given_back(both: tuple[TorchModel, Any]) -> None:
    _, export = both
    engine = export._onnx_writer.engine
    export.predict("the cat", num_beams=3, max_new_tokens=6)
    assert engine.stats().running == engine.stats().waiting == 0
    assert engine._branches._decoder.lengths.size == 0


@pytest.mark.parametrize("size", [3, 64, 1_000, 5_000])
def test_the_largest_values(size: int) -> None:
    draw = np.random.default_rng(size)
    for count in (1, 3, 12):
        values = draw.integers(0, size, size).astype(np.float32)  # with equal ones
        expected = sorted(range(size), key=lambda i: (-values[i], i))[:count]
        assert largest(values, count).tolist() == expected
    assert len(largest(np.full(size, np.nan, dtype=np.float32), 3)) == 3
