"""What a model answers."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TokenScore:
    """How likely a token was at its place in an answer.

    Attributes:
        text: what it says; bytes that are only a part of a character read as U+FFFD. A special
            token is spelt out.
        bytes: exactly what it adds to the text: those of all tokens of an answer, one behind the
            other, are the answer's, white space around it included.
        log_probability: natural logarithm, under the model itself: before temperature, top-k,
            top-p and a JSON schema have their say.
        top: the likeliest tokens at this place, the likeliest first, as many as were asked for.
            The token itself is among them only where it is one of these.
    """

    text: str
    bytes: builtins.bytes
    log_probability: float
    top: tuple[TokenScore, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer, told while the answer is written; the parts' texts make up the whole.

    Attributes:
        text: what is certain to belong to the answer and was not told before; may be empty.
        token_scores: of the tokens that this text brought, where they were asked for.
        finish_reason: of the last piece, "stop" or "length"; None of every other.
        prompt_tokens, tokens: of the last piece, as in ``Prediction``; 0 of every other.
        confidence: of the last piece, as in ``Prediction``; None of every other.
    """

    text: str
    token_scores: tuple[TokenScore, ...] = ()
    finish_reason: str | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    confidence: float | None = None


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
        finish_reason: "label", "stop" (end token, stop string, or the end of the JSON that a
            schema asks for) or "length".
        prompt_tokens: tokens that the model read, after cutting what was too long.
        tokens: tokens that the model wrote, those of a stop string included, an end token not; 0
            for a label.
        token_scores: of each token written, where they were asked for; a token that begins inside
            a stop string is none of the answer's and has none.
    """

    output: str
    confidence: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    input: str = ""
    model: str = ""
    finish_reason: str = "label"
    prompt_tokens: int = 0
    tokens: int = 0
    token_scores: tuple[TokenScore, ...] = ()


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
