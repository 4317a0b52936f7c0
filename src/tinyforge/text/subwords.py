"""Tokenizers of subwords, learnt with the package ``tokenizers``.

The trainers of that package break ties by the order of a randomly seeded hash map, so whatever they
could choose freely (the alphabet, the ids of first pieces) is fixed here beforehand.
"""

from __future__ import annotations

import math
import string
import unicodedata
from collections.abc import Iterable
from typing import Any

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from tinyforge.text.listed import lowercase_steps
from tinyforge.text.specials import BYTE_TOKENS, Plan, spelled_out
from tinyforge.text.splitting import SPACED, Splitter, count_characters, count_words
from tinyforge.text.unigram import learn_unigram

WORDS_LEARNT_FROM = 100_000
"""Most frequent distinct words that a Unigram vocabulary is learnt from."""

CHARACTERS_KEPT = 1000
"""Most frequent characters that a vocabulary without bytes keeps, at most half of it."""


def learn_bpe(texts: list[str], plan: Plan) -> Tokenizer:
    """Byte-level BPE (Radford et al. 2019)."""
    tokenizer = Tokenizer(models.BPE())
    front = [normalizers.Prepend(" ")] if plan.words_alike else []
    steps = lowercase_steps(plan.lowercase) + front
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = (
        decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
        if plan.words_alike
        else decoders.ByteLevel()
    )
    trainer = trainers.BpeTrainer(
        vocab_size=plan.size,
        special_tokens=list(plan.specials.tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def learn_wordpiece(texts: list[str], plan: Plan) -> Tokenizer:
    """WordPiece as in BERT (Devlin et al. 2018)."""
    unknown = plan.specials.names["unk_token"]
    normalizer = normalizers.BertNormalizer(lowercase=plan.lowercase)
    first = _alphabet(texts, normalizer, min(CHARACTERS_KEPT, plan.size // 4))
    # Punctuation always stands alone, so that it never goes on with a word.
    inner = ["##" + c for c in first if not _is_punctuation(c)]
    draft = Tokenizer(models.WordPiece(unk_token=unknown))
    draft.normalizer = normalizer
    draft.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=plan.size,
        # As special tokens the single characters have ids that do not depend on a hash map.
        special_tokens=[*plan.specials.tokens, *first, *inner],
        initial_alphabet=first,
        limit_alphabet=len(first),
        show_progress=False,
    )
    draft.train_from_iterator(texts, trainer)
    tokenizer = Tokenizer(models.WordPiece(draft.get_vocab(), unk_token=unknown))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def learn_unigram_pieces(texts: list[str], plan: Plan) -> Tokenizer:
    """Unigram pieces that mark a word's start by its space; unknown characters become bytes.

    The space stands for itself, not as SentencePiece's ``▁``, so that a text with that character
    comes back as well.
    """
    steps = lowercase_steps(plan.lowercase)
    lowercase = normalizers.Sequence(steps) if steps else None
    guard = spelled_out(plan.specials)
    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(guard), "isolated"),
            pre_tokenizers.Split(Regex(SPACED), "isolated"),
        ]
    )
    quick = Splitter(SPACED, guard)
    words = count_words(texts, quick, splitter, lowercase, front=" ")
    frequent = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:WORDS_LEARNT_FROM]
    byte_tokens = BYTE_TOKENS if plan.byte_fallback else ()
    room = plan.size - len(plan.specials.tokens) - len(byte_tokens)
    known = min(CHARACTERS_KEPT, room // 2)
    alphabet = sorted({" ", *_alphabet(texts, lowercase, known)})
    pieces = learn_unigram(dict(frequent), room, alphabet)
    # A byte costs more than any piece, so that bytes are the last resort.
    rare = min(score for _, score in pieces) - math.log(256) - 10
    vocab = [
        *((t, 0.0) for t in plan.specials.tokens),
        *((b, rare) for b in byte_tokens),
        *pieces,
    ]
    unknown = plan.specials.tokens.index(plan.specials.names["unk_token"])
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=unknown, byte_fallback=bool(byte_tokens)))
    # A space in front marks the first word too.
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Prepend(" ")])
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def _is_punctuation(character: str) -> bool:
    """As BERT sees it: ASCII's symbols count as well."""
    return character in string.punctuation or unicodedata.category(character)[0] == "P"


def _alphabet(texts: Iterable[str], normalizer: Any, most: int) -> list[str]:
    """The most frequent characters that are not spaces; ties go by code point."""
    counts = count_characters(texts, normalizer)
    characters = [c for c in counts if not c.isspace()]
    return sorted(sorted(characters, key=lambda c: (-counts[c], c))[:most])
