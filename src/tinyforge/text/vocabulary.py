"""Which vocabulary size to take: a curve over sizes, and plain advice from it.

Two rules, both about the text alone. Every entry needs examples to be learnt from: the largest size
at which 95 % of the entries occur 100 times or more in the corpus (Gowda and May 2020, "Finding the
optimal vocabulary size for neural machine translation", arXiv:2004.02334). And an entry should
pay: once twice the entries save less than 4 % of the tokens, more of them only make the model
larger. That limit is this project's choice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tinyforge.errors import DataError
from tinyforge.text.encoding import Encoder
from tinyforge.text.measuring import batches
from tinyforge.text.sampling import Piece, utf8_size
from tinyforge.text.specials import BYTE_TOKENS, SPECIALS, Family
from tinyforge.text.tokenizer_training import smallest_vocab_size, train_tokenizer, wrap

SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
SEEN_TIMES, SEEN_SHARE = 100, 0.95
LEAST_SAVED = 0.04
HELD_OUT_EVERY = 10


@dataclass(frozen=True)
class Point:
    """A vocabulary size on the curve.

    Attributes:
        vocab_size: entries asked for.
        entries: entries that the tokenizer got; fewer where the text has no more.
        bytes_per_token: on text that it was not learnt from.
        unknown_share: share of unknown tokens on that text.
        often: share of the learnt entries that occur ``SEEN_TIMES`` times or more in the whole
            corpus, by the sample.
        saved: share of the tokens that this size saves against the one before.
    """

    vocab_size: int
    entries: int
    bytes_per_token: float
    unknown_share: float
    often: float
    saved: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Advice:
    """The size to take, and why in sentences."""

    vocab_size: int
    why: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def curve(
    pieces: Sequence[Piece],
    total_bytes: int,
    kind: str,
    *,
    family: Family = "decoder",
    lowercase: bool = False,
    byte_fallback: bool = True,
    sizes: Sequence[int] = SIZES,
    on_size: Callable[[int], None] | None = None,
) -> list[Point]:
    """Tokenizers of several sizes, learnt from nine tenths of the pieces and tried on the rest.

    It ends where the text has no more entries to give.

    Args:
        pieces: an even sample of the corpus.
        total_bytes: of the whole corpus, in UTF-8.
        on_size: told of each size before it is made.

    Raises:
        DataError: there are too few pieces to hold some out.
    """
    held = [piece for i, piece in enumerate(pieces) if i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1]
    learnt = [piece for i, piece in enumerate(pieces) if i % HELD_OUT_EVERY != HELD_OUT_EVERY - 1]
    if not held:
        held, learnt = _halves(pieces)
    texts = [piece.text for piece in learnt]
    share = sum(map(utf8_size, texts)) / max(1, total_bytes)
    smallest = smallest_vocab_size(kind, family, byte_fallback=byte_fallback)
    wanted = [size for size in sorted(sizes) if size > smallest]
    make = _maker(texts, kind, max(wanted), family, lowercase, byte_fallback)
    points: list[Point] = []
    for size in wanted:
        if on_size is not None:
            on_size(size)
        tokenizer = make(size)
        before = points[-1].bytes_per_token if points else None
        points.append(_point(tokenizer, size, learnt, held, share, before))
        if points[-1].entries < size:
            break
    return points


def _halves(pieces: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
    """The last tenth of the characters, and what stands before it."""
    text = "\n".join(piece.text for piece in pieces)
    cut = len(text) * (HELD_OUT_EVERY - 1) // HELD_OUT_EVERY
    if not text[:cut].strip() or not text[cut:].strip():
        raise DataError("there is too little text for a curve", value=f"{len(text)} characters")
    return [Piece(text[cut:])], [Piece(text[:cut])]


def _maker(
    texts: list[str], kind: str, largest: int, family: Family, lowercase: bool, fallback: bool
) -> Callable[[int], Any]:
    """What makes a tokenizer of a size: of BPE each smaller one is the beginning of the largest."""

    def train(size: int) -> Any:
        return train_tokenizer(
            texts, kind, size, family=family, lowercase=lowercase, byte_fallback=fallback
        )

    if kind != "bpe":
        return train
    whole = train(largest)
    return lambda size: first_entries(whole, size, family)


def first_entries(tokenizer: Any, size: int, family: Family) -> Any:
    """The BPE tokenizer that the same text gives with fewer entries.

    Merges are learnt one after the other, so that a smaller vocabulary is the beginning of a
    larger one.
    """
    from tokenizers import Tokenizer

    plan = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = plan["model"]["vocab"]
    kept = {token: i for token, i in vocabulary.items() if i < size}
    merges = []
    entries = len(SPECIALS[family].tokens) + 256
    for left, right in plan["model"]["merges"]:
        if entries >= size:
            break
        merges.append([left, right])
        entries = max(entries, vocabulary[left + right] + 1)
    plan["model"]["vocab"], plan["model"]["merges"] = kept, merges
    smaller = Tokenizer.from_str(json.dumps(plan))
    return wrap(smaller, SPECIALS[family], [], tokenizer.model_max_length)


def _point(
    tokenizer: Any,
    size: int,
    learnt: Sequence[Piece],
    held: Sequence[Piece],
    share: float,
    before: float | None,
) -> Point:
    encoder = Encoder(tokenizer)
    counts = _occurrences(encoder, learnt)
    own = counts[_learnt_entries(tokenizer)]
    on_held = _occurrences(encoder, held)
    tokens = int(on_held.sum())
    ratio = sum(utf8_size(piece.text) for piece in held) / max(1, tokens)
    unknown = tokenizer.unk_token_id
    strange = int(on_held[unknown]) if unknown is not None else 0
    often = float(np.mean(own >= SEEN_TIMES * share)) if len(own) else 1.0
    saved = None if before is None else 1 - before / ratio
    return Point(size, len(tokenizer), ratio, strange / max(1, tokens), often, saved)


def _learnt_entries(tokenizer: Any) -> list[int]:
    """Ids of entries that were chosen for being frequent.

    Special tokens, bytes and, where there is anything longer, single characters are there anyway.
    """
    fixed = {*tokenizer.all_special_tokens, *BYTE_TOKENS}
    entries = [(t, i) for t, i in tokenizer.get_vocab().items() if t not in fixed]
    longer = [i for t, i in entries if len(t.removeprefix("##").strip(" Ġ")) > 1]
    return sorted(longer or [i for _, i in entries])


def _occurrences(encoder: Encoder, pieces: Sequence[Piece]) -> Any:
    """How often each entry occurs: int64, shape (entries,)."""
    counts = np.zeros(encoder.size, dtype=np.int64)
    for batch in batches(pieces):
        for ids in encoder.encode([piece.text for piece in batch]):
            counts += np.bincount(ids, minlength=encoder.size)
    return counts


def advise(points: Sequence[Point], total_bytes: int) -> Advice:
    """The largest size whose entries are seen often enough and pay, and why."""
    chosen = points[0]
    stopped = ""
    for point in points[1:]:
        if point.often < SEEN_SHARE:
            stopped = (
                f"at {point.vocab_size:,} only {point.often:.0%} of the entries occur {SEEN_TIMES} "
                f"times or more in {_amount(total_bytes)} of text, and what is seen seldom is "
                "learnt badly"
            )
            break
        if point.saved is not None and point.saved < LEAST_SAVED:
            stopped = f"{point.vocab_size:,} would shorten the text by {point.saved:.1%} only"
            break
        chosen = point
    if not stopped:
        stopped = "it is the largest size tried that the text fills"
    why = [f"{chosen.vocab_size:,} entries: {stopped}"]
    if chosen.often < SEEN_SHARE:
        why.append(
            f"even so, {1 - chosen.often:.0%} of its entries occur fewer than {SEEN_TIMES} times: "
            "more text would help, or single characters (--kind characters)"
        )
    why.append(f"a token then stands for {chosen.bytes_per_token:.2f} bytes of unseen text")
    return Advice(min(chosen.vocab_size, max(chosen.entries, 1)), tuple(why))


def _amount(size: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"
