"""Settings of learning and measuring a tokenizer."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from tinyforge.config.base import Stage
from tinyforge.errors import SettingError
from tinyforge.registry import suggest

Kind = Literal["bpe", "unigram", "wordpiece", "characters", "words"]


class TokenizerSettings(Stage):
    """What a tokenizer is to be like, and how much text it is learnt from."""

    kind: Kind | None = Field(
        None,
        description="bpe (byte-level), unigram, wordpiece (BERT's), characters or words; default: "
        "wordpiece for an encoder, else bpe.",
    )
    family: Literal["encoder", "encoder-decoder", "decoder"] = Field(
        "decoder",
        description="Whose special tokens: BERT's (encoder), T5's (encoder-decoder) or GPT's "
        "(decoder).",
    )
    vocab_size: int | Literal["auto"] = Field(
        "auto",
        description="Entries at most, special tokens included; auto takes the advice of the curve "
        "over sizes.",
    )
    lowercase: bool = Field(False, description="Make text lower-case and drop accents first.")
    byte_fallback: bool = Field(
        True,
        description="Spell what is not in the vocabulary in bytes, so that every text comes back; "
        "without, it is the unknown token. BPE always has bytes, WordPiece never.",
    )
    sentinels: int | None = Field(
        None,
        ge=0,
        le=1_000,
        description="Tokens <extra_id_N> for spans left out, as T5 has them; default: 100 for an "
        "encoder-decoder, else none.",
    )
    sample_bytes: int = Field(
        50_000_000,
        ge=1_000,
        description="Bytes of text to learn from, at most: an even sample of the corpus, held in "
        "memory.",
    )
    max_length: int = Field(
        1_000_000, ge=2, description="The tokenizer's model_max_length, in tokens."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.vocab_size != "auto" and self.vocab_size < 16:
            raise ValueError("vocab_size: must be auto or a whole number, at least 16")
        if not self.byte_fallback and self.learnt_kind in ("bpe", "wordpiece"):
            raise ValueError(
                f"byte_fallback: has no effect on {self.learnt_kind}, which "
                + ("always has bytes" if self.learnt_kind == "bpe" else "never has bytes")
            )
        if self.sentinels and self.family != "encoder-decoder":
            raise ValueError(f"sentinels: has no effect on the family {self.family}")
        return self

    @field_validator("vocab_size", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        """A text of digits, as flags give it, is a number."""
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @property
    def learnt_kind(self) -> Kind:
        """The kind, the default of the family resolved."""
        return self.kind or ("wordpiece" if self.family == "encoder" else "bpe")

    @property
    def sentinel_count(self) -> int:
        """The sentinels, the default of the family resolved."""
        if self.sentinels is not None:
            return self.sentinels
        return 100 if self.family == "encoder-decoder" else 0


def read_settings(**given: object) -> TokenizerSettings:
    """Settings from flags or keywords; None means: not given.

    Raises:
        SettingError: a value that is not allowed, in one line.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        return TokenizerSettings.model_validate(chosen)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        if first["type"] == "extra_forbidden":
            name = str(first["loc"][0])
            raise SettingError(
                "unknown setting", value=name, fix=suggest(name, TokenizerSettings.model_fields)
            ) from None
        message = str(first["msg"]).removeprefix("Value error, ")
        if not first["loc"]:
            where, _, what = message.partition(": ")
            raise SettingError(what, where=f"tokenizer.{where}") from None
        name = str(first["loc"][0])
        if name == "vocab_size":
            message = "must be auto or a whole number"
        raise SettingError(
            message[:1].lower() + message[1:], where=f"tokenizer.{name}", value=chosen.get(name)
        ) from None
