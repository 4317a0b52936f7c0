"""Special tokens of the model families, and what a learner of tokenizers is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Family = Literal["encoder", "encoder-decoder", "decoder"]


@dataclass(frozen=True)
class Specials:
    """Special tokens of a model family; ids follow the order of ``tokens``."""

    tokens: tuple[str, ...]
    names: dict[str, str]
    single: str = ""
    pair: str = ""


SPECIALS: dict[str, Specials] = {
    "encoder": Specials(
        ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        {
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        },
        "[CLS] $A [SEP]",
        "[CLS] $A [SEP] $B:1 [SEP]:1",
    ),
    "encoder-decoder": Specials(
        ("<pad>", "</s>", "<unk>"),
        {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
        "$A </s>",
        "$A </s> $B </s>",
    ),
    # As in GPT-2, one token ends a text and stands before the next.
    "decoder": Specials(
        ("<|pad|>", "<|endoftext|>", "<|unk|>"),
        {
            "pad_token": "<|pad|>",
            "eos_token": "<|endoftext|>",
            "bos_token": "<|endoftext|>",
            "unk_token": "<|unk|>",
        },
    ),
}


@dataclass(frozen=True)
class Plan:
    """What a tokenizer is to be like.

    Attributes:
        size: entries at most, special tokens and bytes included.
        specials: of the model's family.
        lowercase: make text lower-case and drop accents first.
        words_alike: give every text a space in front, so that its first word has the same tokens
            as the same word elsewhere.
        byte_fallback: characters that are not in the vocabulary are spelt in bytes.
    """

    size: int
    specials: Specials
    lowercase: bool = False
    words_alike: bool = False
    byte_fallback: bool = True


BYTE_TOKENS = tuple(f"<0x{b:02X}>" for b in range(256))
"""One token for each byte, as SentencePiece writes them."""


BYTE_SPELLING = r"<(?=0x[0-9A-F]{2}>)"


def spelled_out(specials: Specials) -> str:
    """A regular expression for the first character of a special or byte token in a text.

    Cutting a text behind it keeps a model, which knows these tokens by their spelling, from
    finding them in what is only text.
    """
    tails = [BYTE_SPELLING]
    tails += [f"{re.escape(t[0])}(?={re.escape(t[1:])})" for t in specials.tokens]
    return "|".join(tails)
