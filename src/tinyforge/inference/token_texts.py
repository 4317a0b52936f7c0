"""What single tokens say: their bytes, exactly, and their scores in words.

The bytes of all tokens of an answer, one behind the other, are the bytes of its text. Token by
token they can be told although characters span tokens, and although many tokenizers drop the space
before a text's first word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, cached_property
from typing import Any

from tinyforge.inference.detokenize import INCOMPLETE, decode
from tinyforge.inference.sampling import Chances
from tinyforge.records.predictions import TokenScore

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
"""A byte as SentencePiece spells it."""


class TokenTexts:
    """Bytes and texts of one tokenizer's tokens, read as they are asked for; for many threads."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, bytes] = {}

    def bytes_of(self, token: int) -> bytes:
        """What the token adds to a text that it stands in; nothing for a special token."""
        found = self._known.get(token)
        if found is None:
            found = self._known[token] = self._read(token)
        return found

    def text_of(self, token: int) -> str:
        """Its text for people: a part of a character as U+FFFD, a special token spelt out."""
        found = self.bytes_of(token)
        return found.decode("utf-8", "replace") if found else self.name_of(token)

    def name_of(self, token: int) -> str:
        """The token as the vocabulary spells it; empty where there is none of this id."""
        name = self._tokenizer.convert_ids_to_tokens(token)
        return name if isinstance(name, str) else ""

    def score(self, token: int, chances: Chances) -> TokenScore:
        """A written token with its log-probability, and those of the likeliest."""
        return TokenScore(
            self.text_of(token), self.bytes_of(token), chances.log_probability,
            tuple(TokenScore(self.text_of(i), self.bytes_of(i), log) for i, log in chances.top),
        )  # fmt: skip

    def vocabulary(self) -> list[bytes]:
        """The bytes of all tokens, by id."""
        last = max(self._tokenizer.get_vocab().values())
        return [self.bytes_of(token) for token in range(last + 1)]

    def _read(self, token: int) -> bytes:
        first, before = self._anchor
        text = decode(self._tokenizer, [*first, token])[len(before) :]
        if INCOMPLETE not in text:
            return text.encode("utf-8", "surrogatepass")
        name = self.name_of(token)  # a part of a character: only its spelling tells which
        if spelt := _BYTE.fullmatch(name):
            return bytes([int(spelt[1], 16)])
        table = _byte_level()
        if all(character in table for character in name):
            return bytes(table[character] for character in name)
        return text.encode("utf-8", "surrogatepass")

    @cached_property
    def _anchor(self) -> tuple[list[int], str]:
        """A token to stand before the one that is read, and its text: none is then the first."""
        for token in self._usable():
            text = decode(self._tokenizer, [token])
            plain = text.isascii() and text.strip().isalnum()
            if plain and decode(self._tokenizer, [token, token]).startswith(text):
                return [token], text
        return [], ""

    def _usable(self) -> Iterable[int]:
        """Ids in order of their names' lengths: letters come first."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        return (vocabulary[name] for name in sorted(vocabulary, key=lambda name: (len(name), name)))


@cache
def _byte_level() -> dict[str, int]:
    """Character to byte as in byte-level BPE (Radford et al. 2019): what can be printed stands for
    itself, and the other bytes for the characters from 256 on."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    table = {chr(byte): byte for byte in printed}
    return table | {chr(256 + place): byte for place, byte in enumerate(others)}
