"""The challenge's model sees no future, and learns by the same computation as it is judged by."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from benchmarks.speed import learn_shakespeare, table
from benchmarks.speed.ngram_gpt import Model, Sizes


@pytest.fixture
def model() -> Model:
    """A small one whose weights are all drawn, so that every part has a say."""
    torch.manual_seed(0)
    made = Model(Sizes(characters=11, width=32, layers=2, head=16, hashed=97, dropout=0.0))
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return made


def test_no_character_sees_a_later_one(model: Model) -> None:
    ids = torch.randint(11, (2, 12), generator=torch.Generator().manual_seed(1))
    changed = ids.clone()
    changed[:, 7] = (ids[:, 7] + 1) % 11
    with torch.no_grad():
        before, after = model.eval()(ids), model(changed)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_learning_and_judging_compute_the_same(model: Model) -> None:
    ids = torch.randint(11, (2, 12), generator=torch.Generator().manual_seed(1))
    judged = model.eval()(ids)
    torch.testing.assert_close(model.train()(ids), judged, rtol=1e-4, atol=1e-5)


def test_rates_rise_then_fall_to_nothing_and_windows_grow() -> None:
    shares = [learn_shakespeare.share_of_rate(step / 1_000) for step in range(1_000)]
    assert max(shares) == pytest.approx(1.0)
    assert shares[0] < 0.1
    assert shares[-1] < 0.01
    windows = [learn_shakespeare.window(step / 1_000) for step in range(1_000)]
    assert windows == sorted(windows)
    assert set(windows) == {64, 128, 256, 512}


def test_the_table_says_whether_the_loss_was_reached() -> None:
    run = {
        "seconds": 600.0, "wall_seconds": 660.0, "parameters": 10_000_000,
        "loss_in_longer_windows": 1.4567,
        "looks": [{"step": 1, "seconds": 60.0, "loss": 2.5}],
    }  # fmt: skip
    result: dict[str, Any] = {
        "case": "shakespeare", "title": "T", "quick": False, "repeat": 2, "published_loss": 1.4697,
        "sides": {"ours": [{**run, "loss": 1.46}, {**run, "loss": 1.48}]}, "comparisons": [],
    }  # fmt: skip
    text = table.render(result)
    assert "| 0 | 10.0 | 11.0 | 1.4600 | yes | 10.0 M |" in text
    assert "| 1 | 10.0 | 11.0 | 1.4800 | no | 10.0 M |" in text
    assert "1.4567, 1.4567" in text
    assert "2.500 at 1.0" in text
