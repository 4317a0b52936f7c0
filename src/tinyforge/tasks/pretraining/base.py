"""What the pretraining objectives share: windows of a token stream, and the documents in them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinyforge.records.encoded import Encoded
from tinyforge.tasks.base import Task

if TYPE_CHECKING:
    from collections.abc import Iterator

Ids = NDArray[np.int32]

NO_SEGMENT = -1
"""The segment of padding; it sees itself and nothing else, so that no row of a mask is empty."""


class Objective(Task, Protocol):
    """A task that is learnt from windows of raw text.

    Attributes:
        added: special tokens that it puts around a document, so much shorter a window has to be.
    """

    added: int

    def examples(
        self, tokens: NDArray[Any], starts: NDArray[Any], random: np.random.Generator
    ) -> list[Encoded]:
        """What one window gives to learn, one example for each document in it.

        Args:
            tokens: the window's tokens, at least one.
            starts: where in it documents begin; none for a window from the middle of one.
            random: what may be drawn from; it depends on seed and window alone.
        """
        ...

    def collate_packed(self, bins: Sequence[Sequence[Encoded]]) -> dict[str, Tensor]:
        """Each bin's examples in one row, in which none sees another."""
        ...

    def losses(self, model: Any, items: Sequence[Encoded]) -> list[tuple[float, int, int]]:
        """For each example: nats of what was to be told, tokens and UTF-8 bytes of it."""
        ...


def cut_at(tokens: NDArray[Any], starts: NDArray[Any]) -> Iterator[Ids]:
    """A window's documents, in order; each as int32."""
    inner = [int(start) for start in starts if 0 < start < len(tokens)]
    bounds = [0, *inner, len(tokens)]
    for begin, end in itertools.pairwise(bounds):
        yield tokens[begin:end].astype(np.int32)


def joined(
    bins: Sequence[Sequence[Ids]], value: int, pad_segment: int | None = NO_SEGMENT
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], bool]:
    """Rows of joined sequences, filled up to the longest.

    Args:
        value: what fills up.
        pad_segment: the segment of what fills up; None: that of the row's last sequence.

    Returns:
        ids, segments (the number of its sequence for each place) and positions within the
        sequence, all int64 of shape (rows, longest); and whether every row is one sequence of the
        same length, so that nothing has to be kept apart.
    """
    lengths = [sum(map(len, members)) for members in bins]
    longest = max(lengths, default=0)
    ids = np.full((len(bins), longest), value, dtype=np.int64)
    segments = np.full_like(ids, NO_SEGMENT if pad_segment is None else pad_segment)
    positions = np.zeros_like(ids)
    for row, members in enumerate(bins):
        start = 0
        for number, member in enumerate(members):
            end = start + len(member)
            ids[row, start:end] = member
            segments[row, start:end] = number
            positions[row, start:end] = np.arange(end - start)
            start = end
        if pad_segment is None:
            segments[row, start:] = max(0, len(members) - 1)
    plain = all(len(members) == 1 for members in bins) and len(set(lengths)) <= 1
    return ids, segments, positions, plain


def same(queries: Tensor, keys: Tensor) -> Tensor:
    """Which place may look at which: those of its own segment. Bool, (rows, 1, queries, keys)."""
    return (queries[:, :, None] == keys[:, None, :])[:, None]


def causal(segments: Tensor) -> Tensor:
    """The same for a decoder: what stands before it in its own segment, and itself."""
    size = segments.shape[1]
    before = torch.ones(size, size, dtype=torch.bool, device=segments.device).tril()
    return same(segments, segments) & before


def token_bytes(tokenizer: Any) -> NDArray[np.int32]:
    """UTF-8 bytes that each token stands for, by id; 0 for special tokens.

    Byte-level vocabularies write one character for a byte. WordPiece's ``##`` and the mark of a
    word's start in Unigram vocabularies (one byte, a space) are taken off first.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    splitter = "" if backend is None else repr(backend.pre_tokenizer)
    special = set(tokenizer.all_special_ids)
    found = np.zeros(max(tokenizer.get_vocab().values()) + 1, dtype=np.int32)
    for text, index in tokenizer.get_vocab().items():
        if index in special:
            continue
        if "ByteLevel" in splitter:
            found[index] = len(text)
        elif text.startswith("<0x") and text.endswith(">") and len(text) == 6:
            found[index] = 1
        else:
            plain = text.removeprefix("##").replace("▁", " ")
            found[index] = len(plain.encode("utf-8", "replace"))
    return found
