"""A tokenizer as a GGUF file has it: tokens, merges or scores, special tokens, chat template.

llama.cpp has a byte-level BPE of its own (its "gpt2") with a list of ways to split a text first,
and SentencePiece's (its "llama"), which merges the pair with the highest score.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinyforge.errors import ModelError
from tinyforge.export.graphs.files import SAMPLES, fast_tokenizer
from tinyforge.tasks.tokens import affixes, token_ids

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
SPLITS = {LLAMA3: "llama-bpe", QWEN2: "qwen2"}
"""Regular expressions that split a text before its pairs are merged, under llama.cpp's names."""

SPACE = "▁"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Kinds of tokens, as llama.cpp counts them."""


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer in llama.cpp's terms.

    Attributes:
        model: ``gpt2`` or ``llama``.
        pre: how a text is split first (``gpt2``).
        tokens, kinds: by id.
        merges: pairs in order, each as ``left right`` (``gpt2``).
        scores: by id (``llama``).
        space_prefix: whether a text is given a space in front (``llama``).
    """

    model: str
    pre: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    space_prefix: bool = False


def read_vocabulary(tokenizer: Any, size: int) -> Vocabulary:
    """A tokenizer in llama.cpp's terms.

    Args:
        size: rows of the model's embeddings; ids that no token has are filled up.

    Raises:
        ModelError: llama.cpp has no tokenizer of this kind.
    """
    content = json.loads(fast_tokenizer(tokenizer))
    model = content["model"]
    if model["type"] != "BPE" or model.get("continuing_subword_prefix") or model.get("dropout"):
        raise _unknown(f"a {model['type']} tokenizer")
    tokens, kinds = _tokens(content, size)
    pairs = [tuple(m.split(" ", 1)) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    if not model.get("byte_fallback"):
        pre = _split(content, bool(model.get("ignore_merges")))
        merges = tuple(f"{left} {right}" for left, right in pairs)
        return Vocabulary("gpt2", pre, tokens, kinds, merges=merges)
    found = Vocabulary(
        "llama", "default", tokens, kinds,
        scores=_scores(tokens, kinds, pairs), space_prefix=_space_prefix(content),
    )  # fmt: skip
    for text, wanted in zip(PLAIN, token_ids(tokenizer, PLAIN, special=False), strict=True):
        if merged(found, text) != wanted:
            raise _unknown("a tokenizer whose merges SentencePiece would do otherwise")
    return found


PLAIN = tuple(text for text in SAMPLES if text and "<" not in text)
"""Samples without special tokens in them."""


def add_vocabulary(writer: Any, vocabulary: Vocabulary, tokenizer: Any, model: Any) -> None:
    """Writes a vocabulary, the special tokens' ids and the chat template.

    Raises:
        ModelError: the tokenizer puts other tokens around a text than llama.cpp can.
    """
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(list(vocabulary.kinds))
    if vocabulary.model == "gpt2":
        writer.add_token_merges(list(vocabulary.merges))
    else:
        writer.add_token_scores(list(vocabulary.scores))
        writer.add_add_space_prefix(vocabulary.space_prefix)
        writer.add_remove_extra_whitespaces(False)
    ends = _ends(tokenizer, model)
    before, after = affixes(tokenizer)
    start = tokenizer.bos_token_id
    if before not in ([], [start]) or after not in ([], ends[:1]):
        raise _unknown("a tokenizer that puts other tokens than start and end around a text")
    for add, token in (
        (writer.add_bos_token_id, start), (writer.add_eos_token_id, ends[0]),
        (writer.add_eot_token_id, ends[1] if len(ends) > 1 else None),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):  # fmt: skip
        if token is not None:
            add(int(token))
    writer.add_add_bos_token(bool(before))
    writer.add_add_eos_token(bool(after))
    template = tokenizer.chat_template
    template = template.get("default") if isinstance(template, Mapping) else template
    if template:
        writer.add_chat_template(template)


def merged(vocabulary: Vocabulary, text: str) -> list[int]:
    """Ids of a text as SentencePiece's BPE merges it: always the pair with the highest score.

    Kudo and Richardson 2018 (arXiv:1808.06226); ties go to the pair further left.
    """
    ids = {token: i for i, token in enumerate(vocabulary.tokens)}
    front = SPACE if vocabulary.space_prefix else ""
    parts: list[str] = list(front + text.replace(" ", SPACE))
    after = [*range(1, len(parts)), -1]
    before = list(range(-1, len(parts) - 1))
    queue: list[tuple[float, int, int, str]] = []

    def offer(left: int) -> None:
        right = after[left]
        whole = parts[left] + parts[right] if right >= 0 else ""
        if whole in ids:
            heapq.heappush(queue, (-vocabulary.scores[ids[whole]], left, right, whole))

    for place in range(len(parts) - 1):
        offer(place)
    while queue:
        _, left, right, whole = heapq.heappop(queue)
        if after[left] != right or parts[left] + parts[right] != whole or not parts[right]:
            continue
        parts[left], parts[right] = whole, ""
        after[left] = after[right]
        if after[left] >= 0:
            before[after[left]] = left
        after[right] = -1
        offer(left)
        if before[left] >= 0:
            offer(before[left])
    found: list[int] = []
    for part in filter(None, parts):
        found += [ids[part]] if part in ids else [ids[f"<0x{b:02X}>"] for b in part.encode()]
    return found


def _tokens(content: Mapping[str, Any], size: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Tokens and kinds by id."""
    names = {i: token for token, i in content["model"]["vocab"].items()}
    added = {each["id"]: each for each in content["added_tokens"]}
    unknown = content["model"].get("unk_token")
    fallback = bool(content["model"].get("byte_fallback"))
    tokens, kinds = [], []
    for i in range(max([size, *(i + 1 for i in names), *(i + 1 for i in added)])):
        token = added[i]["content"] if i in added else names.get(i)
        if token is None:
            tokens.append(f"[PAD{i}]")
            kinds.append(UNUSED)
            continue
        tokens.append(token)
        if fallback and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            kinds.append(BYTE)
        elif token == unknown:
            kinds.append(UNKNOWN)
        elif i in added:
            kinds.append(CONTROL if added[i]["special"] else USER_DEFINED)
        else:
            kinds.append(NORMAL)
    return tuple(tokens), tuple(kinds)


def _split(content: Mapping[str, Any], ignore_merges: bool) -> str:
    """llama.cpp's name for what a byte-level tokenizer does to a text before merging.

    Raises:
        ModelError: it has none.
    """
    normalizer = content.get("normalizer")
    before = content.get("pre_tokenizer") or {}
    inner: list[dict[str, Any]] = before.get("pretokenizers") or []
    steps = inner if before.get("type") == "Sequence" else [before]
    kinds = [step.get("type") for step in steps]
    last = steps[-1] if steps else {}
    if kinds[-1:] != ["ByteLevel"] or last.get("add_prefix_space"):
        raise _unknown("a tokenizer without byte-level splitting")
    pattern = (steps[0].get("pattern") or {}).get("Regex") if kinds[0] == "Split" else None
    name = None
    if kinds == ["ByteLevel"] and last.get("use_regex", True):
        name = "gpt-2"
    elif kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        name = "smollm" if last.get("use_regex", True) else None
    elif kinds == ["Split", "ByteLevel"] and not last.get("use_regex", True):
        name = SPLITS.get(str(pattern))
    composed = normalizer is None or (normalizer.get("type") == "NFC" and name == "qwen2")
    if name is None or not composed or ignore_merges != (name == "llama-bpe"):
        raise _unknown("a byte-level tokenizer with splitting rules of its own")
    return name


def _space_prefix(content: Mapping[str, Any]) -> bool:
    """Whether a text is given a space in front, where spaces are written as ▁.

    Raises:
        ModelError: spaces are treated otherwise.
    """
    normalizer = content.get("normalizer") or {}
    steps = normalizer.get("normalizers", [normalizer] if normalizer else [])
    before = content.get("pre_tokenizer") or {}
    kinds = [step["type"] for step in steps]
    if before.get("type") == "Metaspace" and not steps:
        scheme = before.get("prepend_scheme", "always")
        if before.get("replacement", SPACE) == SPACE and not before.get("split", False):
            return scheme in ("first", "always")
    elif not before and kinds in (["Prepend", "Replace"], ["Replace"]):
        replaces = steps[-1].get("pattern") == {"String": " "} and steps[-1]["content"] == SPACE
        prepends = kinds == ["Replace"] or steps[0].get("prepend") == SPACE
        if replaces and prepends:
            return len(kinds) == 2
    raise _unknown("a tokenizer that treats spaces in its own way")


def _scores(
    tokens: Sequence[str], kinds: Sequence[int], merges: Sequence[tuple[str, ...]]
) -> tuple[float, ...]:
    """The earlier a token is merged, the higher its score.

    Raises:
        ModelError: there are tokens that no merge makes.
    """
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(merges):
        ranks.setdefault("".join(pair), rank)
    plain = [t for t, kind in zip(tokens, kinds, strict=True) if kind == NORMAL and len(t) > 1]
    if any(token not in ranks for token in plain):
        raise _unknown("a tokenizer with tokens that none of its merges makes")
    return tuple(-float(ranks.get(token, len(merges))) for token in tokens)


def _ends(tokenizer: Any, model: Any) -> list[int]:
    """The tokens that end an answer, the tokenizer's own first."""
    named = [tokenizer.eos_token_id]
    for config in (model.config, getattr(model, "generation_config", None)):
        listed = getattr(config, "eos_token_id", None)
        named += listed if isinstance(listed, list | tuple) else [listed]
    found = list(dict.fromkeys(int(i) for i in named if i is not None))
    if not found:
        raise ModelError("the model has no end token, so that llama.cpp would never stop")
    return found


def _unknown(what: str) -> ModelError:
    return ModelError(
        f"llama.cpp cannot read the model's tokenizer: {what}",
        fix="Export it with --format onnx or safetensors",
    )
