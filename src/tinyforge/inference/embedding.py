"""Texts as vectors: what every backend does alike around the model.

The mean of the last hidden states over a text's tokens, scaled to length 1 (Reimers and Gurevych
2019, "Sentence-BERT", arXiv:1908.10084).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.errors import DataError, ModelError
from tinyforge.inference.inputs import to_example
from tinyforge.tasks import tokens

Rows = list[NDArray[np.int32]]


def embedding_rows(tokenizer: Any, texts: Sequence[str], limit: int) -> Rows:
    """The token ids of each text, with the tokenizer's own tokens around it.

    Neither a template nor a prefix of the model's task is put before a text. An empty text is the
    token that texts begin or end with.

    Args:
        limit: tokens that the model reads; a text's end goes first.

    Raises:
        DataError: one of them is no text.
    """
    if isinstance(texts, str):
        raise DataError("one text was given, not a list of them", value=texts, fix="Write [text]")
    for place, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise DataError("this is no text", where=f"text {place}", value=text)
    clean = [to_example(text).input for text in texts]
    tail = len(tokens.affixes(tokenizer)[1])
    found = tokens.token_ids(tokenizer, clean, special=True)
    named = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, 0)
    alone = next(token for token in named if token is not None)
    return [tokens.keep_ends(tokens.int32(ids or [alone]), limit, tail) for ids in found]


def means(states: NDArray[Any], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    """The mean of the states over the places where the mask is 1.

    Args:
        states: (rows, places, width), of any floating type.
        mask: (rows, places); no row is empty.
    """
    kept = states.astype(np.float32, copy=False) * mask[:, :, None].astype(np.float32)
    found: NDArray[np.float32] = kept.sum(axis=1) / mask.sum(axis=1, keepdims=True)
    return found.astype(np.float32, copy=False)


def unit_length(vectors: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Vectors of length 1.

    Raises:
        ModelError: they are not finite numbers.
    """
    if not np.isfinite(vectors).all():
        raise ModelError(
            "the model's outputs are not finite numbers, so it is damaged", value=name,
            fix="Copy, download or train it again",
        )  # fmt: skip
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: NDArray[np.float32] = vectors / np.maximum(length, np.float32(1e-12))
    return found
