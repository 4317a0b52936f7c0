"""What a model answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer.

    Attributes:
        output: the label, the labels joined by ", " (multi-label), or the generated text.
        confidence: the label's probability in [0, 1]; for generated text the geometric mean of
            the probabilities of its tokens; None where the backend cannot tell.
        scores: every label's probability (classification); empty otherwise.
        labels: the labels chosen (classification); one, or any number for multi-label.
        input: the text that was answered, as the user gave it.
        model: which weights answered: the first 12 hex digits of the SHA-256 of the model's file.
        finish_reason: "label", "stop" (end token or stop string) or "length".
    """

    output: str
    confidence: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    input: str = ""
    model: str = ""
    finish_reason: str = "label"


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How surprised a model is by one example's answer.

    Attributes:
        nll: negative log-likelihood in nats, summed over the answer's tokens.
        tokens: how many tokens that sum is over.
        bytes: UTF-8 bytes of the answer's text.
        characters: Unicode characters of the answer's text; 0 where they were not counted.
    """

    nll: float
    tokens: int
    bytes: int
    characters: int = 0
