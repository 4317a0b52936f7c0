"""A task without a model: one token a character."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyforge.data.encode import EncodedStore, encode
from tinyforge.data.store import ExampleStore
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example

END = 1


class Characters:
    """The part of a tokenizer that an X-ray needs."""

    eos_token_id = END

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        return ["</s>" if i == END else chr(i) for i in ids]


class FakeTask:
    """Characters as token ids, for any family."""

    def __init__(self, name: str = "text2text", family: str = "encoder-decoder") -> None:
        self.name, self.family = name, family
        self.tokenizer = Characters()
        self.labels = ("a", "b")
        if name == "language-model":
            self.pieces = lambda encoded, size: [encoded]

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        return [self._encode(example) for example in examples]

    def _encode(self, example: Example) -> Encoded:
        given = [ord(c) for c in example.input]
        answer = [*(ord(c) for c in example.output or ""), END]
        if self.name == "classify":
            return _encoded(given, [self.labels.index(example.output or "")])
        if self.family == "decoder":
            return _encoded(given + answer, [IGNORED] * len(given) + answer)
        return _encoded([*given, END], answer)

    def cut(self, encoded: Encoded, max_length: int, max_output_length: int) -> Encoded:
        if self.family == "decoder":
            gone = max(0, len(encoded.input_ids) - max_length)
            prompt = int((encoded.labels == IGNORED).sum())
            return Encoded(
                encoded.input_ids[gone:],
                encoded.labels[gone:],
                min(gone, prompt),
                max(0, gone - prompt),
            )
        ids, labels = encoded.input_ids, encoded.labels
        return Encoded(
            ids[:max_length],
            labels[:max_output_length],
            max(0, len(ids) - max_length),
            max(0, len(labels) - max_output_length),
        )

    def units(self, items: Sequence[Encoded]) -> int:
        return sum(int((item.labels != IGNORED).sum()) for item in items)

    def collate(self, items: Sequence[Encoded]) -> dict[str, Any]:
        return {"input_ids": [item.input_ids.tolist() for item in items]}

    def collate_packed(self, bins: Sequence[Sequence[Encoded]]) -> dict[str, Any]:
        return {"input_ids": [[i for e in b for i in e.input_ids.tolist()] for b in bins]}

    def prompt(self, example: Example) -> str:
        return f"<{example.input}>"

    def loss(self, model: Any, batch: Any, *, label_smoothing: float = 0.0) -> Any:
        raise AssertionError("no model is used here")

    def state(self) -> dict[str, Any]:
        return {}


def _encoded(ids: list[int], labels: list[int]) -> Encoded:
    return Encoded(np.array(ids, dtype=np.int32), np.array(labels, dtype=np.int32))


@pytest.fixture
def fake_task() -> Callable[..., FakeTask]:
    return FakeTask


@pytest.fixture
def encoded_store(tmp_path: Path) -> Callable[..., EncodedStore]:
    """A store of inputs of the given lengths, with answers of the given length."""

    def build(lengths: Sequence[int], task: Any, answer: int = 2) -> EncodedStore:
        examples = [Example(input="x" * n, output="y" * answer) for n in lengths]
        store = ExampleStore.of(examples, tmp_path / "examples.bin")
        return encode(store, np.arange(len(store)), task, work=tmp_path, name="all")

    return build
