"""Tokens that the user's texts do not use, cut from a model and its tokenizer.

A text whose tokens were all kept is read as before, id for id but for their numbers, and the
model computes the same of it: its embeddings are the same rows. Written answers are the same as
long as the whole model would write none of the tokens that are gone. A text with other tokens is
still read, in smaller pieces; ``Affected`` says how many there are.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tinyforge.compress.prune.cut import Weights, rebuild
from tinyforge.compress.prune.tokenizer_json import read_spec, tokens_to_keep, without
from tinyforge.errors import ModelError
from tinyforge.models.quiet import quiet
from tinyforge.models.tokens import embedding_rows
from tinyforge.records.encoded import Encoded

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Affected:
    """What cutting the vocabulary does to texts that had no say in it.

    Attributes:
        rows, tokens: how many were looked at, inputs and answers together.
        rows_affected: rows with a token that is gone.
        tokens_affected: such tokens.
    """

    rows: int
    rows_affected: int
    tokens: int
    tokens_affected: int

    def to_json(self) -> dict[str, int]:
        """Plain data."""
        return asdict(self)

    def sentence(self) -> str:
        """In words."""
        if not self.rows:
            return "No held-out rows tell how many other texts are affected."
        if not self.rows_affected:
            return f"None of {self.rows:,} held-out rows has a token that is gone."
        rows, tokens = self.rows_affected / self.rows, self.tokens_affected / max(1, self.tokens)
        return (
            f"{self.rows_affected:,} of {self.rows:,} held-out rows ({rows:.1%}) have a token that "
            f"is gone ({tokens:.2%} of their tokens); they are read in smaller pieces. The others "
            "are read exactly as before."
        )


def used_ids(items: Iterable[Encoded]) -> set[int]:
    """The ids in inputs and answers.

    Args:
        items: of a task whose labels are tokens, or with empty labels.
    """
    found: set[int] = set()
    for item in items:
        found.update(item.input_ids.tolist(), item.labels.tolist())
    return {number for number in found if number >= 0}


def ids_to_keep(model: Any, tokenizer: Any, used: Iterable[int]) -> Ids:
    """The ids that stay, ascending: those used, and those that a tokenizer cannot be without.

    Raises:
        ModelError: the tokenizer cannot be cut.
    """
    spec = read_spec(tokenizer)
    named = set(_special_ids(model.config).values()) | set(tokenizer.all_special_ids)
    kept = tokens_to_keep(spec, set(used) | named)
    rows, known = embedding_rows(model), set(tokenizer.get_vocab().values())
    return np.array(sorted(n for n in kept if n < rows and n in known), dtype=np.int64)


def affected(items: Iterable[Encoded], kept: Ids) -> Affected:
    """How many rows, and how many of their tokens, have lost a token."""
    rows = rows_affected = tokens = tokens_affected = 0
    for item in items:
        ids = np.concatenate([item.input_ids, item.labels])
        ids = ids[ids >= 0]
        gone = int(np.count_nonzero(~np.isin(ids, kept)))
        rows, tokens = rows + 1, tokens + len(ids)
        rows_affected, tokens_affected = rows_affected + (gone > 0), tokens_affected + gone
    return Affected(rows, rows_affected, tokens, tokens_affected)


def keep_tokens(model: Any, tokenizer: Any, kept: Ids) -> tuple[Any, Any]:
    """Model and tokenizer with only these tokens, numbered anew in the same order.

    The given ones are left as they are.

    Raises:
        ModelError: model and tokenizer do not fit together afterwards.
    """
    new_ids = {int(old): new for new, old in enumerate(kept)}
    smaller = _cut_tokenizer(tokenizer, new_ids)
    source = {id(weight) for weight in _token_weights(model)}
    names = {name for name, p in model.named_parameters(remove_duplicate=False) if id(p) in source}
    rows = embedding_rows(model)
    chosen = torch.from_numpy(kept)
    weights: Weights = {}
    for name, weight in model.state_dict().items():
        if name in names:
            weight = weight.index_select(0, chosen.to(weight.device))
        elif name.endswith("final_logits_bias") and weight.shape[-1] == rows:  # BART
            weight = weight.index_select(weight.dim() - 1, chosen.to(weight.device))
        weights[name] = weight
    changes: dict[str, Any] = {"vocab_size": len(kept)}
    changes |= _new_special_ids(model.config, new_ids)
    found = rebuild(model, weights, changes)
    if getattr(found, "generation_config", None) is not None:
        for name, value in _new_special_ids(found.generation_config, new_ids).items():
            setattr(found.generation_config, name, value)
    return found, smaller


def _token_weights(model: Any) -> list[Any]:
    """The parameters that have a row for every token."""
    head = model.get_output_embeddings()
    found = [model.get_input_embeddings().weight]
    if head is not None:
        found += [head.weight, *([head.bias] if getattr(head, "bias", None) is not None else [])]
    return found


def _cut_tokenizer(tokenizer: Any, new_ids: Mapping[int, int]) -> Any:
    from tokenizers import Tokenizer

    spec = read_spec(tokenizer)
    wanted = {token: new_ids[old] for token, old in tokenizer.get_vocab().items() if old in new_ids}
    with quiet():
        smaller = copy.deepcopy(tokenizer)
        smaller._tokenizer = Tokenizer.from_str(json.dumps(without(spec, new_ids)))
    if smaller.get_vocab() != wanted:
        raise ModelError(
            "the tokenizer numbers its tokens in a way that cannot be cut",
            value=type(tokenizer).__name__, fix="Leave --vocabulary out",
        )  # fmt: skip
    return smaller


def _special_ids(config: Any) -> dict[str, int]:
    """Ids that a config names, by field; a list's with its place."""
    found: dict[str, int] = {}
    for name, value in config.to_dict().items():
        if name.endswith("_token_id"):
            for place, number in enumerate(value if isinstance(value, list | tuple) else [value]):
                if isinstance(number, int):
                    found[f"{name}.{place}"] = number
    return found


def _new_special_ids(config: Any, new_ids: Mapping[int, int]) -> dict[str, Any]:
    """What a config says of special tokens, under their new ids; None for one that is no token."""
    changes: dict[str, Any] = {}
    for name, value in config.to_dict().items():
        if name.endswith("_token_id") and value is not None:
            if isinstance(value, list | tuple):
                changes[name] = [new_ids[n] for n in value if n in new_ids] or None
            else:
                changes[name] = new_ids.get(value)
    return changes
