"""Rows as token ids, the same way for the peers, for counting and for the end loss.

Kinds: ``seq2seq`` and ``causal`` rows have ``input`` and ``output``, ``classify`` rows have
``text`` and ``label``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

IGNORED = -100
Row = Mapping[str, str]


def messages(row: Row) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Prompt and answer as chat turns."""
    return (
        [{"role": "user", "content": row["input"]}],
        [{"role": "assistant", "content": row["output"]}],
    )


def encode(
    kind: str, tokenizer: Any, row: Row, *, labels: Sequence[str] = (), longest: int = 512
) -> dict[str, Any]:
    """``input_ids``, ``attention_mask`` and ``labels`` of a row, without padding."""
    if kind == "classify":
        ids = tokenizer(row["text"], truncation=True, max_length=longest)["input_ids"]
        answer: Any = labels.index(row["label"])
    elif kind == "seq2seq":
        ids = tokenizer(row["input"], truncation=True, max_length=longest)["input_ids"]
        answer = tokenizer(row["output"], truncation=True, max_length=longest)["input_ids"]
    else:
        asked, _ = messages(row)
        prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        read = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        written = tokenizer(row["output"] + tokenizer.eos_token, add_special_tokens=False)
        ids = (read + written["input_ids"])[:longest]
        answer = ([IGNORED] * len(read) + written["input_ids"])[:longest]
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": answer}


def lengths(kind: str, encoded: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens that are read (causal: all), and tokens with a loss."""
    if kind == "classify":
        return len(encoded["input_ids"]), 1
    return len(encoded["input_ids"]), sum(label != IGNORED for label in encoded["labels"])
