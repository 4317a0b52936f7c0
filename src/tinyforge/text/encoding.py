"""Many texts to token ids, several times faster than one by one and the same to the last id.

Most tokenizers split a text into words first, and a word's ids depend on nothing around it. Words
repeat (Zipf's law), so each distinct one is given to the package ``tokenizers`` once and looked up
afterwards; the splitting is done by Python's ``re`` with the same expression. Wherever that could
differ from the package (a rule that is not known here, a character that ``splitting`` does not
know), the package encodes the text itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.text.sampling import mended, whole_words
from tinyforge.text.specials import BYTE_SPELLING
from tinyforge.text.splitting import BERT, BYTE_LEVEL, EXPRESSIONS, Splitter

MOST_WORDS = 300_000
"""Distinct words remembered; then all are forgotten and learnt anew."""


@dataclass(frozen=True)
class _Rule:
    """How a tokenizer splits.

    Attributes:
        front: what it puts before every text.
        splitter: what splits; None where every character stands alone.
    """

    front: str
    splitter: Splitter | None


class Encoder:
    """Encodes texts without special tokens around them.

    A special token spelt out in a text is text: no document can end itself.

    Args:
        tokenizer: of ``transformers`` or of ``tokenizers``.

    Attributes:
        size: one more than the largest id.
        dtype: of the ids: uint16 where it is large enough, else uint32.
        splits: whether the quick way is taken.
    """

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers import Tokenizer

        backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
        vocabulary = tokenizer.get_vocab()
        self.size = max(vocabulary.values()) + 1
        self.dtype: type[np.unsignedinteger[Any]] = np.uint16 if self.size <= 1 << 16 else np.uint32
        self._slow = None
        self._rule: _Rule | None = None
        self._known: dict[str, bytes] = {}
        self._thread = ThreadPoolExecutor(1)
        if not isinstance(backend, Tokenizer):
            self._slow = tokenizer
            return
        self._backend = Tokenizer.from_str(backend.to_str())
        self._backend.encode_special_tokens = True
        self._backend.no_padding()
        self._backend.no_truncation()
        self._rule = _rule_of(json.loads(self._backend.to_str()))
        if self._rule is not None and self._rule.front:
            self._backend.normalizer = None  # it is put in front here

    @property
    def splits(self) -> bool:
        return self._rule is not None

    def encode(self, texts: Sequence[str]) -> list[NDArray[Any]]:
        """The ids of each text. Texts of a few megabytes together are best."""
        clean = [mended(text) for text in texts]
        if self._slow is not None:
            ids = self._slow(clean, add_special_tokens=False, split_special_tokens=True)
            return [np.asarray(row, dtype=self.dtype) for row in ids["input_ids"]]
        if self._rule is None:
            return [np.frombuffer(ids, dtype=self.dtype) for ids in self._plainly(clean)]
        return self._by_words(clean, self._rule)

    def _by_words(self, texts: list[str], rule: _Rule) -> list[NDArray[Any]]:
        parts: list[list[list[str] | int]] = []
        hard: list[str] = []
        seen: set[str] = set()
        for text in texts:
            own: list[list[str] | int] = []
            for piece in whole_words(rule.front + text if text else text):
                words = list(piece) if rule.splitter is None else rule.splitter.words(piece)
                if words is None:
                    own.append(len(hard))
                    hard.append(piece)
                else:
                    own.append(words)
                    seen.update(words)
            parts.append(own)
        rest = self._thread.submit(self._plainly, hard) if hard else None
        self._learn(seen)
        known = self._known
        done = rest.result() if rest is not None else []
        return [
            np.frombuffer(
                b"".join(
                    done[part] if isinstance(part, int) else b"".join([known[w] for w in part])
                    for part in own
                ),
                dtype=self.dtype,
            )
            for own in parts
        ]

    def _learn(self, words: set[str]) -> None:
        """Remember the ids of these words."""
        if len(self._known) > MOST_WORDS:
            self._known.clear()
        new = sorted(words.difference(self._known))
        self._known.update(zip(new, self._plainly(new), strict=True))

    def _plainly(self, texts: list[str]) -> list[bytes]:
        """What the package makes of each text, as bytes; it uses every core."""
        found = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=self.dtype).tobytes() for encoding in found]


def _rule_of(plan: dict[str, Any]) -> _Rule | None:
    """The rule of a tokenizer's JSON; None where it is none that is known here."""
    model = plan["model"]
    added = all(token["special"] for token in plan["added_tokens"])
    if _type(plan["normalizer"]) == "BertNormalizer" and added:
        bert = _type(plan["pre_tokenizer"]) == "BertPreTokenizer" and model["type"] == "WordPiece"
        return _Rule("", Splitter(BERT)) if bert else None
    front = _front(plan["normalizer"])
    random = model.get("dropout") or model["type"] not in ("BPE", "Unigram", "WordLevel")
    if front is None or not added or random:
        return None
    splitter = plan["pre_tokenizer"]
    if splitter is None:
        alone = model["type"] == "BPE" and not model["merges"] and not front
        return _Rule("", None) if alone and not model["fuse_unk"] else None
    guard = None
    if splitter["type"] == "Sequence" and len(splitter["pretokenizers"]) == 2:
        first, splitter = splitter["pretokenizers"]
        found = _split_expression(first)
        if found is None or not found.startswith(BYTE_SPELLING):
            return None
        guard = found
    if splitter["type"] == "ByteLevel":
        known = splitter["use_regex"] and not splitter["add_prefix_space"]
        expression = BYTE_LEVEL if known else None
    else:
        expression = _split_expression(splitter)
    if expression not in EXPRESSIONS:
        return None
    return _Rule(front, Splitter(expression, guard))


def _type(part: dict[str, Any] | None) -> str | None:
    return None if part is None else str(part["type"])


def _split_expression(splitter: dict[str, Any]) -> str | None:
    """The expression whose matches this splitter isolates."""
    if splitter["type"] != "Split" or splitter["behavior"] != "Isolated" or splitter["invert"]:
        return None
    found = splitter["pattern"].get("Regex")
    return found if isinstance(found, str) else None


def _front(normalizer: dict[str, Any] | None) -> str | None:
    """What a normalizer puts before a text; None where it does anything else."""
    if normalizer is None:
        return ""
    if normalizer["type"] == "Sequence" and len(normalizer["normalizers"]) == 1:
        normalizer = normalizer["normalizers"][0]
    if normalizer["type"] == "Prepend":
        return str(normalizer["prepend"])
    return None
