"""Tokenizers with a plain list of entries: whole words, or single characters.

With bytes they are made of the BPE model without a single merge: an entry of the list is one
token, and any other character is spelt in its bytes, so that every text comes back as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from tinyforge.text.specials import BYTE_TOKENS, Plan
from tinyforge.text.splitting import WORDS, Splitter, count_characters, count_words

CHARACTERS = r"[\s\S]"


def lowercase_steps(lowercase: bool) -> list[normalizers.Normalizer]:
    """Lower-case without accents, as BERT's uncased models do it."""
    if not lowercase:
        return []
    return [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]


def learn_words(texts: list[str], plan: Plan) -> Tokenizer:
    """The most frequent words and runs of punctuation; others are spelt in bytes."""
    splitter = pre_tokenizers.Split(Regex(WORDS), "isolated")
    normalizer = _normalizer(plan)
    counts = count_words(texts, Splitter(WORDS), splitter, normalizer)
    return _listed(counts, plan, normalizer, splitter)


def learn_characters(texts: list[str], plan: Plan) -> Tokenizer:
    """The most frequent characters; others are spelt in bytes."""
    normalizer = _normalizer(plan)
    counts = count_characters(texts, normalizer)
    splitter = None if plan.byte_fallback else pre_tokenizers.Split(Regex(CHARACTERS), "isolated")
    return _listed(counts, plan, normalizer, splitter)


def _normalizer(plan: Plan) -> Any:
    steps = lowercase_steps(plan.lowercase)
    return normalizers.Sequence(steps) if steps else None


def _listed(counts: Counter[str], plan: Plan, normalizer: Any, splitter: Any) -> Tokenizer:
    fixed = [*plan.specials.tokens, *(BYTE_TOKENS if plan.byte_fallback else ())]
    for token in fixed:
        counts.pop(token, None)
    ordered: Iterable[str] = sorted(counts, key=lambda piece: (-counts[piece], piece))
    vocab = {token: i for i, token in enumerate([*fixed, *ordered][: plan.size])}
    unknown = plan.specials.names["unk_token"]
    model: Any = (
        models.BPE(vocab=vocab, merges=[], byte_fallback=True, ignore_merges=True)
        if plan.byte_fallback
        else models.WordLevel(vocab, unk_token=unknown)
    )
    tokenizer = Tokenizer(model)
    if normalizer:
        tokenizer.normalizer = normalizer
    if splitter:
        tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = (
        decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
        if plan.byte_fallback
        else decoders.Fuse()
    )
    return tokenizer
