"""What a tokenizer makes of texts: how short, how complete, and whether they come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tinyforge.text.encoding import Encoder
from tinyforge.text.sampling import Piece, mended, utf8_size

BATCH_CHARACTERS = 1_000_000
ROUND_TRIP_CHARACTERS = 2_000_000
"""Text whose way there and back is tried, at most; taken evenly."""

HOSTILE = (
    "", " ", "  two  spaces ", "\n\n\t tab\r\nand line\r", "\x00\x01\x1b\x1c\x1f\x7f\x85\xa0\xad",
    "é vs e\u0301", "ﬁne ½ ２ Ⅻ", "한국어 日本語 ไทย हिन्दी العربية עברית", "👩\u200d👩\u200d👧 🇩🇪",
    "\ufeffbom\u200b\u2028\u202e",
    "▁ Ġ ## <0x41> <unk>", "[MASK] [UNK] </s> <pad> <|endoftext|> <extra_id_0>",
    "a" * 500, "\U0010ffff\ue000\ufffd", "don't WON'T x_1 3.14 --flag C++ {\"k\": 1}",
)  # fmt: skip
"""Texts that tokenizers are known to damage."""


@dataclass
class Count:
    """Sums over some texts."""

    texts: int = 0
    bytes: int = 0
    characters: int = 0
    tokens: int = 0
    unknown: int = 0

    @property
    def bytes_per_token(self) -> float:
        """0 where there are no tokens."""
        return self.bytes / self.tokens if self.tokens else 0.0

    @property
    def characters_per_token(self) -> float:
        """0 where there are no tokens."""
        return self.characters / self.tokens if self.tokens else 0.0

    @property
    def unknown_share(self) -> float:
        """Share of the tokens that are the unknown token."""
        return self.unknown / self.tokens if self.tokens else 0.0

    def add(self, text: str, tokens: int, unknown: int) -> None:
        """Count one more text."""
        self.texts += 1
        self.bytes += utf8_size(text)
        self.characters += len(text)
        self.tokens += tokens
        self.unknown += unknown

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {
            "bytes_per_token": self.bytes_per_token,
            "characters_per_token": self.characters_per_token,
            "unknown_share": self.unknown_share,
        }


@dataclass
class Measure:
    """What a tokenizer makes of texts.

    Attributes:
        vocab_size: its entries.
        all: over all texts.
        by_source: over the texts of each source.
        by_language: over the texts of each language; unknown ones are left out.
        used: entries that occur in the texts.
        tried: texts whose round trip was tried, and how many of them came back.
        hostile: the same for texts that are known to be hard.
        damaged: the first text that did not come back, shortened, and what came instead.
        unknown_characters: the most frequent characters in unknown tokens' place, single texts of
            one character each being tried.
    """

    vocab_size: int
    all: Count = field(default_factory=Count)
    by_source: dict[str, Count] = field(default_factory=dict)
    by_language: dict[str, Count] = field(default_factory=dict)
    used: int = 0
    tried: tuple[int, int] = (0, 0)
    hostile: tuple[int, int] = (0, 0)
    damaged: tuple[str, str] | None = None
    unknown_characters: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether every text that was tried came back as it was."""
        return self.tried[0] == self.tried[1] and self.hostile[0] == self.hostile[1]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "vocab_size": self.vocab_size,
            **self.all.to_json(),
            "by_source": _plain(self.by_source),
            "by_language": _plain(self.by_language),
            "used_entries": self.used,
            "round_trip": {
                "exact": self.exact,
                "texts": self.tried[0],
                "texts_exact": self.tried[1],
                "hard_texts": self.hostile[0],
                "hard_texts_exact": self.hostile[1],
                "first_damaged": None if self.damaged is None else list(self.damaged),
            },
            "unknown_characters": self.unknown_characters,
        }


def _plain(counts: Mapping[str, Count]) -> dict[str, Any]:
    return {name: counts[name].to_json() for name in sorted(counts)}


def measure(tokenizer: Any, pieces: Sequence[Piece]) -> Measure:
    """Encode the pieces, decode some of them, and count.

    Args:
        tokenizer: a ``transformers`` tokenizer.
        pieces: texts with their source and language.
    """
    encoder = Encoder(tokenizer)
    unknown = tokenizer.unk_token_id
    found = Measure(vocab_size=len(tokenizer))
    seen = np.zeros(encoder.size, dtype=bool)
    every = max(1, sum(len(p.text) for p in pieces) // ROUND_TRIP_CHARACTERS)
    number = 0
    for batch in batches(pieces):
        for piece, ids in zip(batch, encoder.encode([p.text for p in batch]), strict=True):
            strange = 0 if unknown is None else int(np.count_nonzero(ids == unknown))
            seen[ids] = True
            _count(found, piece, len(ids), strange)
            if number % every == 0:
                _try(found, tokenizer, piece.text, ids.tolist())
            number += 1
    found.used = int(seen.sum())
    for text, ids in zip(HOSTILE, encoder.encode(HOSTILE), strict=True):
        _try(found, tokenizer, text, ids.tolist(), hostile=True)
    if found.all.unknown:
        found.unknown_characters = _unknown_characters(encoder, unknown, pieces)
    return found


def batches(pieces: Sequence[Piece]) -> list[Sequence[Piece]]:
    """The pieces in groups of about a million characters."""
    groups: list[Sequence[Piece]] = []
    start = size = 0
    for end, piece in enumerate(pieces, start=1):
        size += len(piece.text)
        if size >= BATCH_CHARACTERS or end == len(pieces):
            groups.append(pieces[start:end])
            start, size = end, 0
    return groups


def _count(found: Measure, piece: Piece, tokens: int, unknown: int) -> None:
    counts = [found.all, found.by_source.setdefault(piece.source, Count())]
    if piece.language:
        counts.append(found.by_language.setdefault(piece.language, Count()))
    for count in counts:
        count.add(piece.text, tokens, unknown)


def _try(
    found: Measure, tokenizer: Any, text: str, ids: list[int], *, hostile: bool = False
) -> None:
    """There and back: does the text come out as it went in?"""
    text = mended(text)
    back = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    same = back == text
    tried, good = found.hostile if hostile else found.tried
    result = (tried + 1, good + same)
    if hostile:
        found.hostile = result
    else:
        found.tried = result
    if not same and found.damaged is None:
        found.damaged = _difference(text, back)


def _difference(text: str, back: str) -> tuple[str, str]:
    """The first place where two texts part, a few characters of each."""
    same = next(
        (i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b),
        min(len(text), len(back)),
    )
    start = max(0, same - 20)
    return text[start : same + 40], back[start : same + 40]


def _unknown_characters(encoder: Encoder, unknown: int, pieces: Sequence[Piece]) -> list[str]:
    """Characters that are unknown by themselves, the most frequent first; ten at most."""
    counts: dict[str, int] = {}
    for piece in pieces:
        for character in set(mended(piece.text)):
            counts[character] = counts.get(character, 0) + piece.text.count(character)
    characters = sorted(counts)
    tokens = encoder.encode(characters)
    strange = [c for c, ids in zip(characters, tokens, strict=True) if unknown in ids.tolist()]
    return sorted(strange, key=lambda c: (-counts[c], c))[:10]
