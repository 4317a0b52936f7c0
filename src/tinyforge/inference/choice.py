"""How ``generate`` of transformers chooses the next token, and how sure the model was of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import (
    LogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.inference.sampling import COLDEST, gumbel, source_of_noise


class Choice(LogitsProcessor):  # type: ignore[misc]
    """The last processor of the logits: after it, the largest one is the token to write.

    Each row has its own source of noise (see ``sampling``), and PyTorch's generator is left alone.

    Args:
        sources: of noise, one for each row; none: greedy.

    Attributes:
        steps: for each step the log-probability of every row's token, shape (rows,). It is the
            model's own, before temperature, top-k and top-p.
    """

    def __init__(self, settings: GenerateSettings, sources: Sequence[int] = ()) -> None:
        self._sources = sources
        self._warpers: list[Any] = []
        if sources:
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
        if self._sources:
            step, vocabulary = len(self.steps), scores.shape[-1]
            noise = np.stack([gumbel(source, step, vocabulary) for source in self._sources])
            scores = scores + torch.from_numpy(noise).to(scores.device)
        taken = scores.argmax(-1, keepdim=True)
        self.steps.append(log_probabilities.gather(1, taken)[:, 0])
        return scores


def sources_of_noise(prompts: Sequence[Sequence[int]], settings: GenerateSettings) -> list[int]:
    """A source of noise for each prompt; none where the settings are greedy."""
    if settings.temperature == 0:
        return []
    return [source_of_noise(prompt, settings.seed) for prompt in prompts]
