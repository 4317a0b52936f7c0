"""Tokenizers learnt from text: the same text, the same tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tokenizers import AddedToken, Tokenizer, processors

from tinyforge.errors import DataError, SettingError
from tinyforge.registry import suggest
from tinyforge.text.listed import learn_characters, learn_words
from tinyforge.text.sampling import mended, sample_of
from tinyforge.text.specials import SPECIALS, Family, Plan, Specials
from tinyforge.text.subwords import learn_bpe, learn_unigram_pieces, learn_wordpiece

SAMPLE_BYTES = 50_000_000
"""Text that is enough to learn a tokenizer from."""

Learner = Callable[[list[str], Plan], Tokenizer]

KINDS: dict[str, Learner] = {
    "bpe": learn_bpe,
    "unigram": learn_unigram_pieces,
    "wordpiece": learn_wordpiece,
    "characters": learn_characters,
    "words": learn_words,
}
"""Kinds of tokenizer, and what learns them."""


def sample_texts(
    texts: Callable[[], Iterable[str]], limit: int = SAMPLE_BYTES
) -> tuple[list[str], int]:
    """An even sample of the texts, in order, and the bytes of all of them."""
    sample = sample_of(texts(), limit)
    return [piece.text for piece in sample.pieces()], sample.total


def default_vocab_size(total_bytes: int, largest: int) -> int:
    """A vocabulary that so much text can fill: one entry for 64 bytes, from 512 to ``largest``."""
    return max(512, min(largest, total_bytes // 64 // 64 * 64))


def gives_back(kind: str, *, lowercase: bool = False, byte_fallback: bool = True) -> str | None:
    """Why a text does not come back from its tokens as it was; None where every text does."""
    if lowercase:
        return "capital letters and accents are dropped"
    if kind == "wordpiece":
        return "spacing, control characters and unknown characters are dropped"
    if kind != "bpe" and not byte_fallback:
        return "what is not in the vocabulary becomes the unknown token"
    return None


def smallest_vocab_size(kind: str, family: str, *, byte_fallback: bool = True) -> int:
    """Entries that a tokenizer of this kind has at least: special tokens and bytes."""
    spare = {"bpe": 256, "wordpiece": 8}.get(kind, 264 if byte_fallback else 8)
    return len(SPECIALS[family].tokens) + spare


def train_tokenizer(
    texts: Iterable[str],
    kind: str,
    vocab_size: int,
    *,
    family: Family = "decoder",
    lowercase: bool = False,
    byte_fallback: bool = True,
    sentinels: int = 0,
    max_length: int = 1_000_000,
) -> Any:
    """A tokenizer learnt from texts.

    Args:
        texts: the texts; held in memory (see ``sample_texts``).
        kind: ``bpe`` (byte-level), ``unigram`` (subwords), ``wordpiece`` (BERT's), ``words``
            (whole words and runs of punctuation), ``characters``.
        vocab_size: entries at most, special tokens, bytes and sentinels included.
        family: whose special tokens: BERT's ``[CLS] … [SEP]``, T5's ``</s>`` at the end and
            ``<pad>`` with id 0, or GPT's ``<|endoftext|>``.
        lowercase: make text lower-case and drop accents first.
        byte_fallback: spell what is not in the vocabulary in bytes; without, it is the unknown
            token. BPE always has all bytes, WordPiece never.
        sentinels: so many tokens ``<extra_id_N>`` at the end of the vocabulary, the first one
            last, as T5 has them for spans that are left out (Raffel et al. 2020).
        max_length: the tokenizer's ``model_max_length``.

    Returns:
        A ``transformers.PreTrainedTokenizerFast``. Any text in Unicode comes back from its tokens
        byte for byte, unless ``gives_back`` says why not; a lone surrogate, which no UTF-8 can
        hold, counts as U+FFFD.

    Raises:
        SettingError: unknown kind, or the vocabulary is too small for it.
        DataError: there is no text.
    """
    if kind not in KINDS:
        raise SettingError("unknown kind of tokenizer", value=kind, fix=suggest(kind, KINDS))
    specials = SPECIALS[family]
    kept = [mended(text) for text in texts if text.strip()]
    if not kept:
        raise DataError("there is no text to learn a tokenizer from")
    smallest = smallest_vocab_size(kind, family, byte_fallback=byte_fallback) + sentinels
    _refuse_small(vocab_size, smallest, kind)
    plan = Plan(
        size=vocab_size - sentinels,
        specials=specials,
        lowercase=lowercase,
        words_alike=family == "encoder-decoder",
        byte_fallback=byte_fallback,
    )
    tokenizer = KINDS[kind](kept, plan)
    extra = [f"<extra_id_{n}>" for n in reversed(range(sentinels))]
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in [*specials.tokens, *extra]]
    )
    if specials.single:
        tokenizer.post_processor = _template(tokenizer, specials)
    return wrap(tokenizer, specials, extra, max_length)


def _refuse_small(size: int, smallest: int, kind: str) -> None:
    if size < smallest:
        raise SettingError(
            f"the vocabulary is too small for a {kind} tokenizer",
            where="model.vocab_size",
            value=size,
            fix=f"Give at least {smallest}",
        )


def wrap(tokenizer: Tokenizer, specials: Specials, extra: list[str], max_length: int) -> Any:
    """The tokenizer as transformers wants it."""
    from transformers import PreTrainedTokenizerFast

    more = {"extra_special_tokens": extra} if extra else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        **specials.names,
        **more,
    )


def _template(tokenizer: Tokenizer, specials: Specials) -> processors.TemplateProcessing:
    used = {t.split(":")[0] for t in specials.pair.split() if not t.startswith("$")}
    return processors.TemplateProcessing(
        single=specials.single,
        pair=specials.pair,
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in sorted(used)],
    )
