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
from tinyforge.inference.json_answers import Guide
from tinyforge.inference.sampling import COLDEST, Chances, gumbel, source_of_noise


class Choice(LogitsProcessor):  # type: ignore[misc]
    """The last processor of the logits: after it, the largest one is the token to write.

    Each row has its own source of noise (see ``sampling``), and PyTorch's generator is left alone.

    Args:
        sources: of noise, one for each row; none: greedy.
        guides: what keeps each row to a JSON schema; none: nothing does.

    Attributes:
        steps: for each step the log-probability of every row's token, shape (rows,). It is the
            model's own, before a schema, temperature, top-k and top-p.
    """

    def __init__(
        self,
        settings: GenerateSettings,
        sources: Sequence[int] = (),
        guides: Sequence[Guide] = (),
    ) -> None:
        self._sources, self.guides = sources, guides
        self._alternatives = settings.logprobs
        self._warpers: list[Any] = []
        if sources:
            self._warpers.append(TemperatureLogitsWarper(max(COLDEST, settings.temperature)))
            if settings.top_k:
                self._warpers.append(TopKLogitsWarper(settings.top_k))
            if settings.top_p < 1:
                self._warpers.append(TopPLogitsWarper(settings.top_p))
        self.steps: list[torch.Tensor] = []
        self._tops: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores.float()
        log_probabilities = scores.log_softmax(-1)
        if self.guides:
            scores = self._guided(scores)
        for warper in self._warpers:
            scores = warper(input_ids, scores)
        if self._sources:
            step, vocabulary = len(self.steps), scores.shape[-1]
            noise = np.stack([gumbel(source, step, vocabulary) for source in self._sources])
            scores = scores + torch.from_numpy(noise).to(scores.device)
        taken = scores.argmax(-1, keepdim=True)
        self.steps.append(log_probabilities.gather(1, taken)[:, 0])
        if self._alternatives:
            count = min(self._alternatives, scores.shape[-1])
            values, tokens = log_probabilities.topk(count)
            self._tops.append((tokens.cpu(), values.cpu()))
        for guide, token in zip(self.guides, taken[:, 0].tolist(), strict=False):
            guide.push(token)
        return scores

    def chances(self, step: int, row: int = 0) -> Chances | None:
        """How likely a row's token at a step was; None where that is not to be told."""
        if self._alternatives is None:
            return None
        own = float(self.steps[step][row])
        if not self._tops:
            return Chances(own)
        tokens, values = (each[row].tolist() for each in self._tops[step])
        pairs = zip(tokens, values, strict=True)
        return Chances(own, tuple((i, value) for i, value in pairs if value > -np.inf))

    def _guided(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores without what the schemas do not admit."""
        rows = [
            torch.from_numpy(guide.admitted(row))
            for guide, row in zip(self.guides, scores.cpu().numpy(), strict=True)
        ]
        return torch.stack(rows).to(scores.device)


def sources_of_noise(prompts: Sequence[Sequence[int]], settings: GenerateSettings) -> list[int]:
    """A source of noise for each prompt; none where the settings are greedy."""
    if settings.temperature == 0:
        return []
    return [source_of_noise(prompt, settings.seed) for prompt in prompts]
