"""A tokenizer without some of its tokens, that splits texts of the others exactly as before.

Why that holds, for each kind:

- WordPiece takes the longest token that fits: where that was kept, no longer one has come in.
- BPE joins the pair of the lowest rank. With a token, all pairs that make it are kept, and all
  that make these, down to characters: every join on the way to a kept token is still there, and
  none that is left comes before it.
- Unigram takes the likeliest way of all: where it was kept, fewer ways compete with it. The
  penalty of unknown characters hangs on the least likely token, which is kept for that reason.

Single characters and bytes are always kept, so that other texts are split into more and smaller
pieces, and not into unknown tokens, as far as the vocabulary has their characters by themselves.
"""

from __future__ import annotations

import copy
import json
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from tinyforge.errors import ModelError

Spec = dict[str, Any]
BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def read_spec(tokenizer: Any) -> Spec:
    """The tokenizer's ``tokenizer.json``.

    Raises:
        ModelError: it is not of the fast kind, or its model is unknown.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            "the tokenizer has no tokenizer.json, so its vocabulary cannot be cut",
            value=type(tokenizer).__name__, fix="Leave --vocabulary out",
        )  # fmt: skip
    spec: Spec = json.loads(backend.to_str())
    if spec["model"].get("type") not in ("WordPiece", "BPE", "Unigram", "WordLevel"):
        raise ModelError(
            "tokenizers of this kind cannot be cut", value=spec["model"].get("type"),
            fix="Leave --vocabulary out",
        )  # fmt: skip
    return spec


def model_ids(spec: Spec) -> dict[str, int]:
    """Token to id, without added tokens."""
    vocabulary = spec["model"]["vocab"]
    if isinstance(vocabulary, list):
        return {token: number for number, (token, _) in enumerate(vocabulary)}
    return dict(vocabulary)


def tokens_to_keep(spec: Spec, used: Collection[int]) -> set[int]:
    """The ids that have to stay so that texts of the used ones are split as before.

    Besides these: added tokens, single characters, bytes, the unknown token, and what the kind
    of tokenizer needs.
    """
    ids = model_ids(spec)
    added = {int(token["id"]) for token in spec["added_tokens"]}
    wanted = set(used) | added
    tokens = {token for token, number in ids.items() if number in wanted}
    tokens |= {token for token in ids if _single(spec["model"], token)} | _needed(spec["model"])
    if spec["model"]["type"] == "BPE":
        tokens = _with_parts(spec["model"], tokens, ids)
    return added | {ids[token] for token in tokens if token in ids}


def _single(model: Spec, token: str) -> bool:
    """Whether a token is one character, or one byte."""
    bare = token.removeprefix(model.get("continuing_subword_prefix") or "")
    bare = bare.removesuffix(model.get("end_of_word_suffix") or "")
    return len(bare) == 1 or len(token) == 1 or BYTE.fullmatch(token) is not None


def _needed(model: Spec) -> set[str]:
    """The unknown token, and the least likely piece of a Unigram."""
    if model["type"] != "Unigram":
        return {model["unk_token"]} if model.get("unk_token") else set()
    needed = {min(model["vocab"], key=lambda piece: piece[1])[0]} if model["vocab"] else set()
    if model.get("unk_id") is not None:
        needed.add(model["vocab"][model["unk_id"]][0])
    return needed


def _with_parts(model: Spec, tokens: set[str], ids: Mapping[str, int]) -> set[str]:
    """These tokens and all that they, or their parts, can be joined from."""
    parts: dict[str, list[str]] = defaultdict(list)
    for left, right in _merges(model):
        parts[_joined(model, left, right)] += [left, right]
    found, open_ones = set(tokens), list(tokens)
    while open_ones:
        for part in parts.get(open_ones.pop(), ()):
            if part not in found and part in ids:
                found.add(part)
                open_ones.append(part)
    return found


def _merges(model: Spec) -> list[tuple[str, str]]:
    pairs = (p.split(" ", 1) if isinstance(p, str) else p for p in model.get("merges") or [])
    return [(left, right) for left, right in pairs]


def _joined(model: Spec, left: str, right: str) -> str:
    return left + right.removeprefix(model.get("continuing_subword_prefix") or "")


def without(spec: Spec, new_ids: Mapping[int, int]) -> Spec:
    """The tokenizer with some of its tokens, under new ids.

    Args:
        new_ids: old id of each kept token to its new one, in the same order.
    """
    cut = copy.deepcopy(spec)
    model = cut["model"]
    old = model_ids(spec)
    kept = {token: new_ids[number] for token, number in old.items() if number in new_ids}
    if isinstance(model["vocab"], list):
        model["vocab"] = [piece for n, piece in enumerate(model["vocab"]) if n in new_ids]
        if model.get("unk_id") is not None:
            model["unk_id"] = new_ids[model["unk_id"]]
    else:
        model["vocab"] = dict(sorted(kept.items(), key=lambda entry: entry[1]))
    if "merges" in model:
        model["merges"] = [
            [left, right]
            for left, right in _merges(model)
            if left in kept and right in kept and _joined(model, left, right) in kept
        ]
    for token in cut["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    if cut.get("padding"):
        cut["padding"]["pad_id"] = new_ids.get(cut["padding"]["pad_id"], 0)
    _renumber(cut.get("post_processor"), new_ids)
    return cut


def _renumber(part: Any, new_ids: Mapping[int, int]) -> None:
    """Give the special tokens of a post-processor their new ids, in place."""
    if not isinstance(part, dict):
        return
    for inner in part.get("processors") or ():
        _renumber(inner, new_ids)
    for name in ("sep", "cls"):
        if isinstance(part.get(name), list):
            part[name][1] = new_ids[part[name][1]]
    if part.get("type") == "TemplateProcessing":
        for token in part["special_tokens"].values():
            token["ids"] = [new_ids[number] for number in token["ids"]]
