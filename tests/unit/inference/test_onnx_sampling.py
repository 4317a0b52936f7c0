"""Drawn answers of an exported model are those of the PyTorch model under the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tinyforge.inference.torch_model import TorchModel

INPUTS = ["the cat", "", "how are you doing today? i'm fine", "naïve 🐕", "the"]


@pytest.fixture(params=["continuer", "wide_chatter", "reverser"])
def both(request: pytest.FixtureRequest, opened: Callable[..., Any]) -> tuple[TorchModel, Any]:
    model: TorchModel = request.getfixturevalue(request.param)
    return model, opened(model)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0},
        {"temperature": 1.4, "top_k": 20},
        {"temperature": 0.8, "top_p": 0.9},
        {"temperature": 2.0, "top_k": 100, "top_p": 0.95, "stop": ["a", "é"]},
    ],
)
def test_the_same_seed_the_same_answers(
    both: tuple[TorchModel, Any], options: dict[str, Any]
) -> None:
    source, export = both
    options = {"max_new_tokens": 16, "seed": 11, **options}
    for one, other in zip(
        export.predict(INPUTS, **options), source.predict(INPUTS, **options), strict=True
    ):
        assert (one.output, one.finish_reason) == (other.output, other.finish_reason)
        assert one.confidence == pytest.approx(other.confidence, rel=1e-3)


def test_a_row_is_the_same_in_any_company(both: tuple[TorchModel, Any]) -> None:
    _, export = both
    how: dict[str, Any] = {"temperature": 1.3, "top_p": 0.95, "max_new_tokens": 12}
    together = [p.output for p in export.predict(INPUTS, seed=4, **how)]
    assert [export.predict(text, seed=4, **how).output for text in INPUTS] == together
    assert together != [p.output for p in export.predict(INPUTS, seed=5, **how)]
    assert "".join(export.stream(INPUTS[0], seed=4, **how)) == together[0]


def test_without_a_seed_answers_differ(both: tuple[TorchModel, Any]) -> None:
    _, export = both
    said = {export.predict("the cat", temperature=2.5, max_new_tokens=12).output for _ in range(6)}
    assert len(said) > 1
