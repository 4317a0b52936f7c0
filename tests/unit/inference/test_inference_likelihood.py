"""Likelihoods are the model's own loss, also where a text is longer than the model reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_answerers import PAIRS, gpt2, make

from tinyforge.errors import DataError, ModelError
from tinyforge.inference.likelihood import windows
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example, Message


def test_encoder_decoder(reverser: TorchModel) -> None:
    examples = [Example(input=question, output=answer) for question, answer in PAIRS]
    found = reverser.log_likelihoods(examples)
    for example, one in zip(examples, found, strict=True):
        item = reverser.task.encode([example])
        batch = reverser.task.collate(item)
        with torch.no_grad():
            loss = reverser.model(**batch).loss.item()
        assert one.tokens == len(item[0].labels)
        assert one.nll == pytest.approx(loss * one.tokens, rel=1e-4, abs=1e-4)
        assert one.bytes == len((example.output or "").encode())


def test_language_model_counts_all_tokens_but_the_first(continuer: TorchModel) -> None:
    texts = ["the cat sat on the mat", "naïve 🐕", "x"]
    found = continuer.log_likelihoods([Example(output=text) for text in texts])
    for text, one in zip(texts, found, strict=True):
        ids = torch.tensor([[*continuer.tokenizer(text)["input_ids"], 0]])
        with torch.no_grad():
            loss = continuer.model(ids, labels=ids).loss.item()
        assert one.tokens == ids.shape[1] - 1
        assert one.nll == pytest.approx(loss * one.tokens, rel=1e-4)
        assert one.bytes == len(text.encode())


def test_a_chat_counts_its_last_answer_only(chatter: TorchModel) -> None:
    asked = (Message("user", "the cat"),)
    short = Example(input="the cat", output="sat", messages=(*asked, Message("assistant", "sat")))
    earlier = (Message("user", "hi"), Message("assistant", "hello there"))
    long = Example(
        input="the cat", output="sat", messages=(*earlier, *asked, Message("assistant", "sat"))
    )
    one, other = chatter.log_likelihoods([short, long])
    assert one.tokens == other.tokens
    assert one.bytes == 3


def test_a_long_document_is_measured_whole(byte_tokenizer: Any) -> None:
    text = "the cat sat on the mat, and how are you doing today? " * 8
    model = gpt2(byte_tokenizer, positions=32)
    one = make("language-model", model, byte_tokenizer).log_likelihoods([Example(output=text)])[0]
    ids = [*byte_tokenizer(text)["input_ids"], byte_tokenizer.eos_token_id]
    assert one.tokens == len(ids) - 1
    total = 0.0
    for start in range(0, len(ids) - 1, 31):
        piece = torch.tensor([ids[start : start + 32]])
        with torch.no_grad():
            total += model(piece, labels=piece).loss.item() * (piece.shape[1] - 1)
    assert one.nll == pytest.approx(total, rel=1e-4)


@given(prompt=st.integers(1, 60), answer=st.integers(1, 80), limit=st.integers(2, 40))
def test_windows_cover_every_token_of_an_answer_once(prompt: int, answer: int, limit: int) -> None:
    ids = np.arange(prompt + answer, dtype=np.int32)
    labels = np.where(ids < prompt, np.int32(IGNORED), ids)
    labels[:1] = IGNORED
    pieces = windows(Encoded(ids, labels), limit)
    assert all(len(piece.input_ids) <= limit for piece in pieces)
    assert all(piece.labels[0] == IGNORED for piece in pieces)
    learnt = np.concatenate([piece.labels[piece.labels != IGNORED] for piece in pieces])
    assert learnt.tolist() == list(range(prompt, prompt + answer))
    if answer < limit:
        assert len(pieces) == 1
        assert len(pieces[0].input_ids) == min(limit, prompt + answer)


def test_batches_change_nothing(chatter: TorchModel) -> None:
    examples = [Example(input=f"{i}" * i, output="the cat " * (i % 4) + "x") for i in range(1, 9)]
    together = chatter.log_likelihoods(examples)
    for example, one in zip(examples, together, strict=True):
        assert chatter.log_likelihoods([example])[0].nll == pytest.approx(one.nll, rel=1e-4)


def test_what_cannot_be_measured(reverser: TorchModel, classifier: TorchModel) -> None:
    with pytest.raises(DataError, match="no answer"):
        reverser.log_likelihoods([Example(input="a")])
    with pytest.raises(ModelError, match="classifier"):
        classifier.log_likelihoods([Example(input="a", output="good")])
