"""What a model's tokenizer makes of a text: whether it knows what is written, and how well."""

from __future__ import annotations

from typing import Any

from tinyforge.tasks.tokens import token_ids

RARE = "\ua66e \U000103a0\U000103a1 \u16a0\u16a2"
"""Letters that hardly any vocabulary has: a many-eyed O, Old Persian, runes."""


class Tokens:
    """Counts the tokens of texts.

    A tokenizer whose vocabulary cannot spell everything puts its unknown token in the place of
    what it does not have. One that goes down to bytes has no such place: what is strange to it
    comes out in more and shorter tokens.

    Args:
        tokenizer: the model's, of ``transformers`` or an export's.

    Attributes:
        unknown: the token that stands for what is not in the vocabulary; None: there is none, or
            it never stands anywhere, since all can be spelt.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        token = getattr(tokenizer, "unk_token_id", None)
        self.unknown = token if token is not None and token in self._ids(RARE) else None

    def of(self, text: str) -> tuple[float | None, float | None]:
        """The share of a text's tokens that are unknown (None where that cannot be told), and how
        many characters a token has on average; None and None of a text without tokens."""
        ids = self._ids(text)
        if not ids:
            return None, None
        unknown = None if self.unknown is None else ids.count(self.unknown) / len(ids)
        return unknown, len(text) / len(ids)

    def _ids(self, text: str) -> list[int]:
        # Lone surrogates are no characters, and tokenizers refuse them.
        clean = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
        (ids,) = token_ids(self._tokenizer, [clean], special=False)
        return list(ids)
