"""The Gumbel-max draw has the right distribution and depends on its own row alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import TopPLogitsWarper

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.inference.choice import Choice, sources_of_noise
from tinyforge.inference.sampling import Draw, gumbel, log_probability, nucleus, source_of_noise

LOGITS = torch.tensor([2.0, 1.0, 0.5, -1.0, -3.0])


def shares(settings: GenerateSettings, draws: int = 20_000) -> torch.Tensor:
    choice = Choice(settings, sources_of_noise([[i] for i in range(draws)], settings))
    taken = choice(torch.zeros(draws, 1), LOGITS.repeat(draws, 1)).argmax(-1)
    return torch.bincount(taken, minlength=len(LOGITS)) / draws


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    found = shares(GenerateSettings(temperature=temperature, seed=1))
    torch.testing.assert_close(found, (LOGITS / temperature).softmax(-1), atol=0.012, rtol=0)


def test_the_steps_of_one_answer_follow_the_softmax_too() -> None:
    draw = Draw(GenerateSettings(temperature=1.0), source=9)
    taken = torch.tensor([draw(LOGITS.numpy()) for _ in range(20_000)])
    found = torch.bincount(taken, minlength=len(LOGITS)) / len(taken)
    torch.testing.assert_close(found, LOGITS.softmax(-1), atol=0.012, rtol=0)
    follows = taken[1:][taken[:-1] == 0]  # whatever was drawn before
    found = torch.bincount(follows, minlength=len(LOGITS)) / len(follows)
    torch.testing.assert_close(found, LOGITS.softmax(-1), atol=0.02, rtol=0)


def test_top_k_and_top_p_leave_out_the_tail() -> None:
    assert (shares(GenerateSettings(temperature=1, seed=1, top_k=2), 500) > 0).sum() == 2
    assert (shares(GenerateSettings(temperature=1, seed=1, top_p=0.7), 500) > 0).sum() == 2


def test_a_row_draws_the_same_whatever_stands_beside_it() -> None:
    settings = GenerateSettings(temperature=1, seed=5)

    def draw(prompts: list[list[int]]) -> list[int]:
        choice = Choice(settings, sources_of_noise(prompts, settings))
        scores = LOGITS.repeat(len(prompts), 1)
        steps = [choice(torch.zeros(len(prompts), 1), scores).argmax(-1) for _ in range(20)]
        return torch.stack(steps, 1)[-1].tolist()

    alone = draw([[7, 8]])
    assert draw([[1], [2, 3], [7, 8]]) == alone
    assert draw([[7, 9]]) != alone


def test_without_a_seed_draws_differ_and_torch_is_left_alone() -> None:
    settings = GenerateSettings(temperature=1)
    before = torch.get_rng_state()
    first, second = (sources_of_noise([[1]], settings) for _ in range(2))
    assert first != second
    Choice(settings, first)(torch.zeros(1, 1), LOGITS[None])
    assert torch.equal(torch.get_rng_state(), before)
    assert sources_of_noise([[1]], GenerateSettings()) == []


def test_the_log_probability_is_the_model_s_own() -> None:
    settings = GenerateSettings(temperature=3.0, seed=2, top_k=3)
    choice = Choice(settings, sources_of_noise([[1]], settings))
    taken = int(choice(torch.zeros(1, 1), LOGITS[None]).argmax(-1))
    expected = LOGITS.log_softmax(-1)[taken].item()
    assert choice.steps[0].item() == pytest.approx(expected)
    room = np.empty(len(LOGITS), dtype=np.float32)
    assert log_probability(LOGITS.numpy(), taken, room) == pytest.approx(expected, rel=1e-5)


def test_the_coldest_temperatures_are_greedy_and_finite() -> None:
    assert shares(GenerateSettings(temperature=1e-30, seed=1), 50)[0] == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.7},
        {"top_k": 3},
        {"top_k": 50, "top_p": 0.9},
        {"top_p": 0.5},
        {"top_p": 1e-6},
        {"temperature": 1.7, "top_k": 5_000},
    ],
)
def test_both_backends_draw_the_same(options: dict[str, float]) -> None:
    settings = GenerateSettings(**{"temperature": 1.0, "seed": 3, **options})  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(200, 1_000, generator=generator) * 3
    choice = Choice(settings, [source_of_noise([4, 5], 3)])
    draw = Draw(settings, source_of_noise([4, 5], 3))
    expected = [int(choice(torch.zeros(1, 1), step[None]).argmax()) for step in steps]
    assert [draw(step.numpy()) for step in steps] == expected
    assert len(set(expected)) > 100


def test_the_noise_of_some_tokens_is_that_of_all() -> None:
    tokens = np.array([0, 7, 8, 99])
    assert (gumbel(5, 3, 100, tokens) == gumbel(5, 3, 100)[tokens]).all()
    assert (gumbel(5, 3, 100) != gumbel(5, 4, 100)).all()
    assert (gumbel(5, 3, 100) != gumbel(6, 3, 100)).all()


def test_noise_is_gumbel_noise() -> None:
    noise = np.concatenate([gumbel(source, 0, 50_000) for source in range(4)])
    assert np.isfinite(noise).all()
    assert noise.mean() == pytest.approx(0.5772, abs=0.01)
    assert noise.std() == pytest.approx(np.pi / 6**0.5, abs=0.01)
    halves = noise.reshape(4, -1)
    assert abs(np.corrcoef(halves)[np.triu_indices(4, 1)]).max() < 0.02
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.01


@pytest.mark.parametrize("mass", [0.01, 0.3, 0.9, 0.999, 1 - 1e-7])
def test_the_nucleus_is_transformers(mass: float) -> None:
    generator = torch.Generator().manual_seed(1)
    for scale in (0.0, 0.5, 4.0):
        scores = torch.randn(1, 300, generator=generator) * scale
        if scale == 0:
            scores += torch.linspace(0, 1e-3, 300)
        kept = torch.isfinite(TopPLogitsWarper(mass)(torch.zeros(1, 1), scores))[0]
        found = nucleus(scores[0].numpy(), mass).tolist()
        expected = kept.nonzero()[:, 0].tolist()
        assert len(set(found) ^ set(expected)) <= 1  # the one at the bound, by rounding
