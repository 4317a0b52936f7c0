"""One step after the other: what is learnt does not depend on how it is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training_fakes import (
    Recorder,
    TinyBatches,
    TinyTask,
    begun,
    digest,
    settings,
    tiny_model,
    train,
)

from tinyforge.train.loop import gradients, steps
from tinyforge.train.optimizers import Optimizer, clip_factor
from tinyforge.train.randomness import random_state, restore_random_state, seed_torch
from tinyforge.train.speedups.native import library, why_not

with_and_without_speedups = pytest.mark.parametrize(
    "without", [[], ["all"]], ids=["speed-ups", "plain"]
)


@with_and_without_speedups
def test_accumulation_8_times_1_equals_1_times_8(without: list[str]) -> None:
    found = {}
    for micro in (1, 3, 8):
        batches, model = TinyBatches(micro=micro), tiny_model(dropout=0.0)
        with begun(model, batches=batches, without_speedups=without) as training:
            loss, norm = gradients(training, batches.step(0))
            grads = {name: w.grad.clone() for name, w in training.model.named_parameters()}
        found[micro] = (loss, norm, grads)
    for micro in (1, 3):
        assert found[micro][0] == pytest.approx(found[8][0], rel=1e-6)
        assert found[micro][1] == pytest.approx(found[8][1], rel=1e-5)
        for name, grad in found[micro][2].items():
            assert torch.allclose(grad, found[8][2][name], rtol=1e-4, atol=1e-7), name


def test_whole_trainings_agree_however_they_accumulate(tmp_path: Path) -> None:
    curves = []
    for micro in (1, 8):
        listener = Recorder()
        train(
            tmp_path / str(micro), model=tiny_model(dropout=0.0), listener=listener,
            batches=TinyBatches(micro=micro), evaluate=None,
        )  # fmt: skip
        curves.append([result.loss for result in listener.steps])
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


@with_and_without_speedups
def test_it_learns_and_counts(without: list[str]) -> None:
    batches = TinyBatches()
    with begun(tiny_model(dropout=0.0), epochs=10.0, without_speedups=without) as training:
        results = list(steps(training, batches))
    assert len(results) == 80
    assert results[-1].loss < 0.5 * results[0].loss
    assert [result.step for result in results] == list(range(1, 81))
    assert training.progress.examples == 80 * 8
    assert training.progress.tokens == sum(result.tokens for result in results)
    assert results[-1].epoch == 10.0
    assert results[0].units == sum(m.units for m in batches.step(0))


def test_the_loss_is_that_of_the_whole_batch() -> None:
    batches = TinyBatches(micro=3)
    with begun(tiny_model(dropout=0.0), batches=batches) as training:
        model = training.model
        total, units = 0.0, 0
        for micro in batches.step(0):
            with torch.no_grad():
                logits = model(micro.tensors["input_ids"])
            total += float(
                torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1), micro.tensors["labels"].flatten(), reduction="sum"
                )
            )
            units += int((micro.tensors["labels"] != -100).sum())
        [first, *_] = steps(training, batches)
        assert first.loss == pytest.approx(total / units, rel=1e-6)


@pytest.mark.parametrize(("limit", "expected"), [(0.0, 5.0), (1.0, 1.0), (10.0, 5.0)])
@pytest.mark.parametrize("native", [False, True], ids=["torch", "native"])
def test_clipping(limit: float, expected: float, native: bool) -> None:
    if native and library() is None:
        pytest.skip(f"no kernels here: {why_not()}")
    model = torch.nn.Linear(1, 1)
    given = settings(optimizer="sgd", beta1=0.0, weight_decay=0.0)
    optimizer = Optimizer(model, given, native=native)
    model.weight.grad, model.bias.grad = torch.tensor([[3.0]]), torch.tensor([-4.0])
    before = [weight.detach().clone() for weight in model.parameters()]
    norm = optimizer.norm()
    assert norm == pytest.approx(5.0)
    optimizer.step(1.0, clip_factor(norm, limit))
    after = [weight.detach() for weight in model.parameters()]
    moved = [(new - old).norm() for new, old in zip(after, before, strict=True)]
    assert float(torch.stack(moved).norm()) == pytest.approx(expected, rel=1e-4)


@with_and_without_speedups
def test_dropout_depends_on_seed_step_and_micro_batch_only(without: list[str]) -> None:
    losses = []
    for noise, seed in ((0, 3), (1, 3), (0, 4)):
        model = tiny_model(dropout=0.5)
        with begun(model, seed=seed, without_speedups=without) as training:
            torch.manual_seed(noise)
            losses.append([result.loss for result in steps(training, TinyBatches())])
    assert losses[0] == losses[1]
    assert losses[2][0] != losses[0][0]


@with_and_without_speedups
def test_equal_micro_batches_have_dropout_of_their_own(without: list[str]) -> None:
    losses: list[float] = []

    class Task(TinyTask):
        def loss(self, model: Any, batch: Any, **options: Any) -> torch.Tensor:
            loss = super().loss(model, batch, **options)
            losses.append(float(loss.detach()))
            return loss

    with begun(tiny_model(dropout=0.5), Task(), without_speedups=without) as training:
        gradients(training, [TinyBatches().step(0)[0]] * 3)
    assert len(set(losses)) == 3


def test_seeds_of_neighbours_have_nothing_in_common() -> None:
    draws = set()
    for numbers in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 256, 0), (0, 0, 256)]:
        seed_torch(*numbers)
        draws.add(float(torch.rand(())))
    assert len(draws) == 6


def test_random_states_come_back() -> None:
    import random

    import numpy as np

    np.random.standard_normal(3)
    random.gauss(0, 1)
    state = random_state()

    def draw() -> list[float]:
        return [float(torch.rand(())), float(np.random.standard_normal()), random.gauss(0, 1)]

    first = draw()
    draw()
    restore_random_state(*state)
    assert draw() == first


def test_max_steps_and_part_epochs_end_training(tmp_path: Path) -> None:
    assert train(tmp_path / "a", max_steps=5)[1].steps == 5
    _, outcome = train(tmp_path / "b", epochs=1.5)
    assert (outcome.steps, outcome.epochs, outcome.stopped_because) == (12, 1.5, "done")


def test_max_minutes_ends_training_and_the_schedule(tmp_path: Path) -> None:
    listener = Recorder()
    _, outcome = train(
        tmp_path, listener=listener, epochs=1e6, max_minutes=0.02, validate_every=10**9,
        warmup_share=0.0,
    )  # fmt: skip
    assert outcome.stopped_because == "max_minutes"
    assert 1.2 <= outcome.seconds < 30
    assert listener.steps[-1].lr < 0.1 * listener.steps[0].lr
    assert [v.step for v in listener.validations] == [outcome.steps]


def test_elapsed_time_goes_on_after_a_resume(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        train(
            tmp_path, listener=Recorder(raise_at=9), epochs=1e6, max_minutes=0.02,
            checkpoint_every=8,
        )  # fmt: skip
    listener = Recorder()
    train(
        tmp_path, resume=True, listener=listener, epochs=1e6, max_minutes=0.02, checkpoint_every=8
    )
    assert listener.started.elapsed > 0
    assert listener.started.first_step == 8


def test_without_validation_the_last_weights_are_used(tmp_path: Path) -> None:
    listener = Recorder()
    _, outcome = train(tmp_path, evaluate=None, listener=listener)
    assert (outcome.best_step, outcome.best_value) == (None, None)
    assert listener.ended == [outcome]
    assert outcome.history["validation"] == []


def test_same_run_twice_is_the_same(tmp_path: Path) -> None:
    hashes = {digest(train(tmp_path / str(i))[0]) for i in range(2)}
    assert len(hashes) == 1
    assert digest(train(tmp_path / "other", seed=4)[0]) not in hashes


@with_and_without_speedups
def test_a_batch_with_nothing_to_learn_changes_nothing_for_the_worse(without: list[str]) -> None:
    micro_batches = TinyBatches().step(0)
    for micro_batch in micro_batches:
        micro_batch.tensors["labels"].fill_(-100)
        object.__setattr__(micro_batch, "units", 0)
    with begun(tiny_model(dropout=0.0), without_speedups=without) as training:
        loss, norm = gradients(training, micro_batches)
    assert (loss, norm) == (0.0, 0.0)
