"""Tokenizers learnt from text with the package ``tokenizers``: the same text, the same tokenizer.

The trainers of that package break ties by the order of a randomly seeded hash map, so whatever they
could choose freely (the alphabet, the ids of first pieces) is fixed here beforehand.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from tinyforge.errors import DataError, SettingError
from tinyforge.registry import suggest
from tinyforge.text.unigram import learn_unigram

Family = Literal["encoder", "encoder-decoder", "decoder"]

SAMPLE_BYTES = 50_000_000
"""Text that is enough to learn a tokenizer from."""

PIECE_CHARACTERS = 20_000
"""A longer text is sampled in pieces of about this many characters."""

MARK = "▁"
"""Stands for the space before a word, as SentencePiece writes it."""

WORDS_LEARNT_FROM = 100_000
"""Most frequent distinct words that a Unigram vocabulary is learnt from."""

CHARACTERS_KEPT = 1000
"""Most frequent characters that a vocabulary without bytes keeps, at most half of it."""


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


def sample_texts(
    texts: Callable[[], Iterable[str]], limit: int = SAMPLE_BYTES
) -> tuple[list[str], int]:
    """An even sample of the texts, in order, and the bytes of all of them.

    ``texts`` is called twice: once to measure, once to take every so-many-th piece, so that a
    corpus larger than memory is sampled from its beginning to its end.
    """
    total = sum(len(piece.encode("utf-8", "replace")) for piece in _pieces(texts()))
    share = min(1.0, limit / total) if total else 1.0
    taken, seen, kept = [], 0, 0
    for piece in _pieces(texts()):
        size = len(piece.encode("utf-8", "replace"))
        seen += size
        if kept + size <= seen * share:
            taken.append(piece)
            kept += size
    return taken, total


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        start = 0
        while len(text) - start > PIECE_CHARACTERS:
            end = text.find(" ", start + PIECE_CHARACTERS)
            end = start + PIECE_CHARACTERS if end < 0 else end
            yield text[start:end]
            start = end
        if start < len(text):
            yield text[start:]


def default_vocab_size(total_bytes: int, largest: int) -> int:
    """A vocabulary that so much text can fill: one entry for 64 bytes, from 512 to ``largest``."""
    return max(512, min(largest, total_bytes // 64 // 64 * 64))


def train_tokenizer(
    texts: Iterable[str],
    kind: str,
    vocab_size: int,
    *,
    family: Family = "decoder",
    lowercase: bool = False,
    max_length: int = 1_000_000,
) -> Any:
    """A tokenizer learnt from texts.

    Args:
        texts: the texts; held in memory (see ``sample_texts``).
        kind: ``bpe`` (byte-level; any text comes back as it was), ``unigram`` (subwords, with
            bytes for unknown characters), ``wordpiece`` (BERT's), ``word`` (whole words between
            spaces), ``char`` (single characters).
        vocab_size: entries at most, special tokens and bytes included.
        family: whose special tokens: BERT's ``[CLS] … [SEP]``, T5's ``</s>`` at the end and
            ``<pad>`` with id 0, or GPT's ``<|endoftext|>``.
        lowercase: make text lower-case and drop accents first.
        max_length: the tokenizer's ``model_max_length``.

    Returns:
        A ``transformers.PreTrainedTokenizerFast``.

    Raises:
        SettingError: unknown kind, or the vocabulary is too small for it.
        DataError: there is no text.
    """
    if kind not in KINDS:
        raise SettingError("unknown kind of tokenizer", value=kind, fix=suggest(kind, KINDS))
    specials = SPECIALS[family]
    kept = [text.encode("utf-8", "replace").decode() for text in texts if text.strip()]
    if not kept:
        raise DataError("there is no text to learn a tokenizer from")
    smallest = len(specials.tokens) + {"bpe": 256, "unigram": 264}.get(kind, 8)
    if vocab_size < smallest:
        raise SettingError(
            f"the vocabulary is too small for a {kind} tokenizer",
            where="model.vocab_size",
            value=vocab_size,
            fix=f"Give at least {smallest}",
        )
    tokenizer = KINDS[kind](kept, vocab_size, specials, lowercase, family == "encoder-decoder")
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in specials.tokens]
    )
    if specials.single:
        tokenizer.post_processor = _template(tokenizer, specials)
    return _wrap(tokenizer, specials, max_length)


def _wrap(tokenizer: Tokenizer, specials: Specials, max_length: int) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        **specials.names,
    )


def _template(tokenizer: Tokenizer, specials: Specials) -> processors.TemplateProcessing:
    used = {t.split(":")[0] for t in specials.pair.split() if not t.startswith("$")}
    return processors.TemplateProcessing(
        single=specials.single,
        pair=specials.pair,
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in sorted(used)],
    )


def _normalizer(lowercase: bool) -> list[normalizers.Normalizer]:
    if not lowercase:
        return []
    return [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]


def _alphabet(texts: Iterable[str], normalizer: Any, most: int) -> list[str]:
    """The most frequent characters that are not spaces; ties go by code point."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(normalizer.normalize_str(text) if normalizer else text)
    characters = [c for c in counts if not c.isspace()]
    return sorted(sorted(characters, key=lambda c: (-counts[c], c))[:most])


def _bpe(
    texts: list[str], size: int, specials: Specials, lowercase: bool, words_alike: bool
) -> Tokenizer:
    """Byte-level BPE (Radford et al. 2019). With ``words_alike`` every text is given a space in
    front, so that its first word has the same token as the same word elsewhere."""
    tokenizer = Tokenizer(models.BPE())
    front = [normalizers.Prepend(" ")] if words_alike else []
    steps = _normalizer(lowercase) + front
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = (
        decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
        if words_alike
        else decoders.ByteLevel()
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(specials.tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _wordpiece(
    texts: list[str], size: int, specials: Specials, lowercase: bool, words_alike: bool
) -> Tokenizer:
    """WordPiece as in BERT (Devlin et al. 2018)."""
    normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    first = _alphabet(texts, normalizer, min(CHARACTERS_KEPT, size // 4))
    inner = ["##" + c for c in first]
    draft = Tokenizer(models.WordPiece(unk_token=specials.names["unk_token"]))
    draft.normalizer = normalizer
    draft.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        # As special tokens the single characters have ids that do not depend on a hash map.
        special_tokens=[*specials.tokens, *first, *inner],
        initial_alphabet=first,
        limit_alphabet=len(first),
        show_progress=False,
    )
    draft.train_from_iterator(texts, trainer)
    tokenizer = Tokenizer(
        models.WordPiece(draft.get_vocab(), unk_token=specials.names["unk_token"])
    )
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def _unigram(
    texts: list[str], size: int, specials: Specials, lowercase: bool, words_alike: bool
) -> Tokenizer:
    """Unigram pieces that always mark a word's start; unknown characters become bytes."""
    # Metaspace's own prefix is left out before a leading space, and that space would be lost.
    marks = [normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)]
    normalizer = normalizers.Sequence(_normalizer(lowercase) + marks)
    splitter = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="never")
    words: Counter[str] = Counter()
    for text in texts:
        words.update(w for w, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    frequent = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:WORDS_LEARNT_FROM]
    byte_pieces = [f"<0x{b:02X}>" for b in range(256)]
    room = size - len(specials.tokens) - len(byte_pieces)
    alphabet = sorted({MARK, *_alphabet(texts, normalizer, min(CHARACTERS_KEPT, room // 2))})
    pieces = learn_unigram(dict(frequent), room, alphabet)
    # A byte costs more than any piece, so that bytes are the last resort.
    rare = min(score for _, score in pieces) - math.log(256) - 10
    vocab = [
        *((t, 0.0) for t in specials.tokens),
        *((b, rare) for b in byte_pieces),
        *pieces,
    ]
    unknown = specials.tokens.index(specials.names["unk_token"])
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=unknown, byte_fallback=True))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(MARK, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def _word(
    texts: list[str], size: int, specials: Specials, lowercase: bool, words_alike: bool
) -> Tokenizer:
    return _listed(texts, size, specials, lowercase, pre_tokenizers.WhitespaceSplit(), None)


def _char(
    texts: list[str], size: int, specials: Specials, lowercase: bool, words_alike: bool
) -> Tokenizer:
    every = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return _listed(texts, size, specials, lowercase, every, decoders.Fuse())


def _listed(
    texts: list[str],
    size: int,
    specials: Specials,
    lowercase: bool,
    splitter: Any,
    decoder: Any,
) -> Tokenizer:
    """The most frequent pieces of a splitter, as they are; everything else is unknown."""
    steps = _normalizer(lowercase)
    normalizer = normalizers.Sequence(steps) if steps else None
    counts: Counter[str] = Counter()
    for text in texts:
        clean = normalizer.normalize_str(text) if normalizer else text
        counts.update(piece for piece, _ in splitter.pre_tokenize_str(clean))
    for token in specials.tokens:
        counts.pop(token, None)
    ordered = sorted(counts, key=lambda piece: (-counts[piece], piece))
    vocab = [*specials.tokens, *ordered[: size - len(specials.tokens)]]
    tokenizer = Tokenizer(
        models.WordLevel({t: i for i, t in enumerate(vocab)}, unk_token=specials.names["unk_token"])
    )
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    if decoder:
        tokenizer.decoder = decoder
    return tokenizer


Trainer = Callable[[list[str], int, Specials, bool, bool], Tokenizer]

KINDS: dict[str, Trainer] = {
    "bpe": _bpe,
    "unigram": _unigram,
    "wordpiece": _wordpiece,
    "word": _word,
    "char": _char,
}
"""Kinds of tokenizer, and what learns them."""
