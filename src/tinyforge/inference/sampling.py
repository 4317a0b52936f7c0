"""How the next token is chosen, and how sure the model was of it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tinyforge.config.evaluate import GenerateSettings

COLDEST = 1e-4
"""Temperatures below are as good as greedy, and dividing by them would overflow."""


class Choice(LogitsProcessor):  # type: ignore[misc]
    """The last processor of the logits: after it, the largest one is the token to write.

    Sampling is the Gumbel-max trick: the largest of the log-probabilities plus Gumbel noise is
    distributed like a draw. Each row has its own source of noise, so that an answer does not
    depend on the rows beside it, and PyTorch's own generator is left alone.

    Args:
        generators: one for each row; none: greedy.

    Attributes:
        steps: for each step the log-probability of every row's token, shape (rows,). It is the
            model's own, before temperature, top-k and top-p.
    """

    def __init__(
        self, settings: GenerateSettings, generators: Sequence[torch.Generator] = ()
    ) -> None:
        self._generators = generators
        self._warpers: list[Any] = []
        if generators:
            self._warpers.append(TemperatureLogitsWarper(max(COLDEST, settings.temperature)))
            if settings.top_k:
                self._warpers.append(TopKLogitsWarper(settings.top_k))
            if settings.top_p < 1:
                self._warpers.append(TopPLogitsWarper(settings.top_p))
        self.steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores.float()
        log_probabilities = scores.log_softmax(-1)
        for warper in self._warpers:
            scores = warper(input_ids, scores)
        if self._generators:
            scores = scores + self._gumbel(scores)
        taken = scores.argmax(-1, keepdim=True)
        self.steps.append(log_probabilities.gather(1, taken)[:, 0])
        return scores

    def _gumbel(self, scores: torch.Tensor) -> torch.Tensor:
        noise = torch.empty_like(scores)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return noise.clamp_(min=torch.finfo(noise.dtype).tiny).log_().neg_()


def generators(
    prompts: Sequence[Sequence[int]], settings: GenerateSettings, device: torch.device
) -> list[torch.Generator]:
    """A source of noise for each prompt; none where the settings are greedy.

    With a seed it depends on the seed and the prompt's tokens alone: the same text is answered
    the same way whatever stands beside it. Without one it is drawn from the operating system.
    """
    if settings.temperature == 0:
        return []
    return [torch.Generator(device).manual_seed(_seed(prompt, settings.seed)) for prompt in prompts]


def _seed(prompt: Sequence[int], seed: int | None) -> int:
    if seed is None:
        return secrets.randbits(63)
    text = f"{seed}:{','.join(str(int(i)) for i in prompt)}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
