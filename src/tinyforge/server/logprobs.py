"""How likely tokens were, in OpenAI's two forms."""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence

from tinyforge.records.predictions import TokenScore
from tinyforge.server.replies import ChatLogprobs, TextLogprobs, TokenLogprob, TopLogprob

LEAST = -9999.0
"""OpenAI's number for a probability that is all but 0; JSON has no infinity."""


def of_chat(scores: Sequence[TokenScore]) -> ChatLogprobs:
    """The form of chats: an object for each token."""
    return ChatLogprobs(
        content=[
            TokenLogprob(
                token=score.text,
                logprob=_number(score.log_probability),
                bytes=list(score.bytes),
                top_logprobs=[
                    TopLogprob(
                        token=top.text,
                        logprob=_number(top.log_probability),
                        bytes=list(top.bytes),
                    )
                    for top in score.top
                ],
            )
            for score in scores
        ]
    )


class TextForm:
    """The form of completions, piece by piece: lists, and where each token begins in the text.

    Args:
        stripped: whether white space before the text is no part of it.
        tops: whether alternatives were asked for.
    """

    def __init__(self, *, stripped: bool, tops: bool) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at, self._begun, self._tops = 0, not stripped, tops

    def of(self, scores: Sequence[TokenScore]) -> TextLogprobs:
        """What these further tokens add."""
        return TextLogprobs(
            tokens=[_name(score) for score in scores],
            token_logprobs=[_number(score.log_probability) for score in scores],
            top_logprobs=[_likeliest(score) for score in scores] if self._tops else None,
            text_offset=[self._place(score.bytes) for score in scores],
        )

    def _place(self, content: bytes) -> int:
        """Characters before the token."""
        at = self._at
        text = self._decoder.decode(content)
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        self._at += len(text)
        return at


def _likeliest(score: TokenScore) -> dict[str, float]:
    """The token itself among them, as OpenAI has it."""
    found: dict[str, float] = {}
    for each in (*score.top, score):
        found.setdefault(_name(each), _number(each.log_probability))
    return found


def _name(score: TokenScore) -> str:
    try:
        return score.bytes.decode() or score.text
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in score.bytes)


def _number(value: float) -> float:
    return max(LEAST, value) if math.isfinite(value) else LEAST
