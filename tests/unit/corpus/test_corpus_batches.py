"""Windows as batches: their order, their stages, and what is drawn for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pretraining_fakes import ARCHITECTURES, FakeWindows, tiny

from tinyforge.corpus.batches import Stage, WindowBatches, first_windows
from tinyforge.recipes.pretrain_plan import windows_of

WINDOW = 32


def batches(
    architecture: str = "gpt", stages: tuple[Stage, ...] = (Stage(0, WINDOW, 4),), **given: Any
) -> WindowBatches:
    _, task = tiny(architecture, context=64)
    values: dict[str, Any] = {
        "window": WINDOW, "micro_tokens": 2 * WINDOW, "windows_per_epoch": 20, "seed": 3
    }  # fmt: skip
    return WindowBatches(FakeWindows(architecture, WINDOW), task, stages, **(values | given))


def numbers(made: WindowBatches, index: int) -> list[int]:
    found = np.concatenate([batch.rows for batch in made.step(index)])
    return list(dict.fromkeys(found.tolist()))


def equal(one: list[Any], other: list[Any]) -> bool:
    return all(
        a.tensors.keys() == b.tensors.keys()
        and all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)
        for a, b in zip(one, other, strict=True)
    )


def test_every_window_comes_once_and_in_order() -> None:
    made = batches()
    assert [numbers(made, index) for index in range(3)] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]
    ]  # fmt: skip
    assert made.steps_per_epoch == 5
    assert [len(made.step(0)), made.step(0)[0].examples] == [2, 2]


@given(
    cuts=st.lists(st.integers(1, 30), min_size=0, max_size=3, unique=True),
    sizes=st.lists(st.integers(1, 5), min_size=4, max_size=4),
)
@settings(deadline=None, max_examples=30)
def test_stages_leave_no_window_out(cuts: list[int], sizes: list[int]) -> None:
    firsts = [0, *sorted(cuts)]
    lengths = (8, 16, 32, 32)
    stages = tuple(
        Stage(first, length, size)
        for first, length, size in zip(firsts, lengths, sizes, strict=False)
    )
    made = batches(stages=stages)
    steps = firsts[-1] + 3
    seen = [number for index in range(steps) for number in numbers(made, index)]
    assert seen == list(range(len(seen)))
    plain = [(stage.first, stage.length, stage.windows) for stage in stages]
    assert len(seen) == windows_of(plain, steps)


def test_short_rows_hold_the_same_tokens() -> None:
    whole = batches().step(0)
    short = batches(stages=(Stage(0, WINDOW // 4, 4),)).step(0)
    assert {batch.tensors["input_ids"].shape[1] for batch in short} == {8}
    flat = [torch.cat([b.tensors["input_ids"].flatten() for b in made]) for made in (whole, short)]
    assert torch.equal(*flat)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_step_depends_on_seed_and_number_alone(architecture: str) -> None:
    made = batches(architecture)
    late = made.step(7)
    assert equal(late, batches(architecture).step(7))
    small = batches(architecture, micro_tokens=WINDOW).step(7)
    assert sum(batch.units for batch in small) == sum(batch.units for batch in late)
    if architecture != "gpt":
        assert not equal(late, batches(architecture, seed=4).step(7))


@pytest.mark.parametrize("architecture", ["t5", "bert"])
def test_a_window_that_comes_again_is_masked_anew(architecture: str) -> None:
    made = batches(architecture, stages=(Stage(0, WINDOW, 1),))
    count = made.windows.count  # type: ignore[attr-defined]
    first, again = made.step(0)[0], made.step(count)[0]
    assert not (
        first.tensors["labels"].shape == again.tensors["labels"].shape
        and torch.equal(first.tensors["labels"], again.tensors["labels"])
    )


def test_halving_keeps_the_step() -> None:
    made = batches()
    half = made.halved()
    assert made.can_halve
    assert not half.can_halve
    assert len(half.step(0)) == 2 * len(made.step(0))
    assert numbers(half, 1) == numbers(made, 1)
    assert sum(b.units for b in half.step(0)) == sum(b.units for b in made.step(0))


def test_documents_are_crossed_by_choice() -> None:
    apart, crossed = batches().step(0)[0], batches(cross_documents=True).step(0)[0]
    assert "position_ids" in apart.tensors
    assert "position_ids" not in crossed.tensors
    assert crossed.units > apart.units


def test_validation_windows_are_the_same_each_time() -> None:
    _, task = tiny("bert", context=64)
    made = [
        first_windows(FakeWindows("bert", WINDOW), task, 4, window=WINDOW, micro_tokens=2 * WINDOW)
        for _ in range(2)
    ]
    assert equal(*made)
    assert sum(batch.examples for batch in made[0]) == 4
