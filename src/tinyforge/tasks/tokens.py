"""What the tasks need to know about a tokenizer: its special tokens, its end, its padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.errors import ModelError

Ids = list[int]


def token_ids(
    tokenizer: Any, texts: Sequence[str], *, special: bool, target: bool = False
) -> list[Ids]:
    """Token ids of texts, neither cut nor padded.

    Args:
        special: whether the tokenizer puts its own tokens around the text ([CLS], </s>, <s>).
        target: whether the texts are answers, which a few translation tokenizers encode otherwise.
    """
    if not texts:
        return []
    encoded = tokenizer(
        **{"text_target" if target else "text": list(texts)},
        add_special_tokens=special,
        padding=False,
        truncation=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    ids: list[Ids] = encoded["input_ids"]
    return ids


def affixes(tokenizer: Any, *, target: bool = False) -> tuple[Ids, Ids]:
    """The special tokens that the tokenizer puts before and after every text."""
    bare, full = (
        token_ids(tokenizer, ["a"], special=special, target=target)[0] for special in (False, True)
    )
    for start in range(len(full) - len(bare) + 1):
        if bare and full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    return [], []


def end_ids(tokenizer: Any, config: Any) -> tuple[int, ...]:
    """The tokens that end an answer; the first is the one to append where none is there.

    The tokenizer's end token and those of the model's config (chat models often have several).

    Raises:
        ModelError: there is none, so the model could not learn where to stop.
    """
    listed = getattr(config, "eos_token_id", None)
    ends = [tokenizer.eos_token_id, *(listed if isinstance(listed, list | tuple) else [listed])]
    found = tuple(dict.fromkeys(int(i) for i in ends if i is not None))
    if not found:
        raise ModelError(
            "the model's tokenizer has no end token, so an answer could not end",
            where=str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__),
            fix='Set "eos_token" in the model\'s tokenizer_config.json, or choose another model',
        )
    return found


def pad_id(tokenizer: Any, config: Any) -> int:
    """What fills up short rows: the id the model itself takes for padding, if it names one."""
    for value in (getattr(config, "pad_token_id", None), tokenizer.pad_token_id):
        if isinstance(value, int) and value >= 0:
            return value
    return 0


def pad(
    rows: Sequence[NDArray[np.int32]], value: int, *, left: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows filled up to the longest one.

    Returns:
        ids: int64, shape (rows, longest), and mask: 1 where there is a token, 0 where padding is.
    """
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    longest = int(lengths.max(initial=0))
    places = np.arange(longest)
    mask = places >= longest - lengths[:, None] if left else places < lengths[:, None]
    ids = np.full((len(rows), longest), value, dtype=np.int64)
    if len(rows):
        ids[mask] = np.concatenate(rows)
    return ids, mask.astype(np.int64)


def keep_ends(ids: NDArray[np.int32], limit: int, tail: int) -> NDArray[np.int32]:
    """The first ids and the last ``tail`` ones, ``limit`` in all; what is between is cut."""
    if len(ids) <= limit:
        return ids
    tail = min(tail, limit)
    return np.concatenate([ids[: limit - tail], ids[len(ids) - tail :]])


def int32(ids: Sequence[int] | NDArray[Any]) -> NDArray[np.int32]:
    """As the array that ``Encoded`` holds."""
    return np.asarray(ids, dtype=np.int32)
