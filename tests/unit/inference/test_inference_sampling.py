"""The Gumbel-max draw has the right distribution and depends on its own row alone."""

from __future__ import annotations

import pytest
import torch

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.inference.sampling import Choice, generators

CPU = torch.device("cpu")
LOGITS = torch.tensor([2.0, 1.0, 0.5, -1.0, -3.0])


def shares(settings: GenerateSettings, draws: int = 20_000) -> torch.Tensor:
    found = generators([[i] for i in range(draws)], settings, CPU)
    choice = Choice(settings, found)
    taken = choice(torch.zeros(draws, 1), LOGITS.repeat(draws, 1)).argmax(-1)
    return torch.bincount(taken, minlength=len(LOGITS)) / draws


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    found = shares(GenerateSettings(temperature=temperature, seed=1))
    torch.testing.assert_close(found, (LOGITS / temperature).softmax(-1), atol=0.012, rtol=0)


def test_top_k_and_top_p_leave_out_the_tail() -> None:
    assert (shares(GenerateSettings(temperature=1, seed=1, top_k=2), 500) > 0).sum() == 2
    assert (shares(GenerateSettings(temperature=1, seed=1, top_p=0.7), 500) > 0).sum() == 2


def test_a_row_draws_the_same_whatever_stands_beside_it() -> None:
    settings = GenerateSettings(temperature=1, seed=5)

    def draw(prompts: list[list[int]]) -> list[int]:
        choice = Choice(settings, generators(prompts, settings, CPU))
        scores = LOGITS.repeat(len(prompts), 1)
        steps = [choice(torch.zeros(len(prompts), 1), scores).argmax(-1) for _ in range(20)]
        return torch.stack(steps, 1)[-1].tolist()

    alone = draw([[7, 8]])
    assert draw([[1], [2, 3], [7, 8]]) == alone
    assert draw([[7, 9]]) != alone


def test_without_a_seed_draws_differ_and_torch_is_left_alone() -> None:
    settings = GenerateSettings(temperature=1)
    before = torch.get_rng_state()
    first, second = (generators([[1]], settings, CPU)[0].initial_seed() for _ in range(2))
    assert first != second
    Choice(settings, generators([[1]], settings, CPU))(torch.zeros(1, 1), LOGITS[None])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_log_probability_is_the_model_s_own() -> None:
    settings = GenerateSettings(temperature=3.0, seed=2, top_k=3)
    choice = Choice(settings, generators([[1]], settings, CPU))
    taken = choice(torch.zeros(1, 1), LOGITS[None]).argmax(-1)
    assert choice.steps[0].item() == pytest.approx(LOGITS.log_softmax(-1)[taken].item())


def test_the_coldest_temperatures_are_greedy_and_finite() -> None:
    assert shares(GenerateSettings(temperature=1e-30, seed=1), 50)[0] == 1
