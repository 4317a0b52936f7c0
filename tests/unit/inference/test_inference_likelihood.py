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


def reference(model: Any, ids: list[int], width: int, stride: int) -> float:
    """Every token but the first, each after what its window shows of it; one window at a time."""
    total, reached, begin = 0.0, 1, 0
    while True:
        end = min(begin + width, len(ids))
        piece = torch.tensor([ids[begin:end]])
        with torch.no_grad():
            logs = model(piece).logits[0].log_softmax(-1)
        for place in range(reached, end):
            total -= logs[place - begin - 1, ids[place]].item()
        if end == len(ids):
            return total
        begin, reached = min(begin + stride, len(ids) - width), end


@pytest.mark.parametrize("chosen", [{}, {"stride": 8}, {"window": 20, "stride": 19}])
def test_a_long_document_is_measured_whole(byte_tokenizer: Any, chosen: dict[str, int]) -> None:
    text = "the cat sat on the mat, and how are you doing today, naïve one? " * 8
    model = gpt2(byte_tokenizer, positions=32)
    answerer = make("language-model", model, byte_tokenizer)
    one = answerer.log_likelihoods([Example(output=text)], **chosen)[0]
    ids = [*byte_tokenizer(text)["input_ids"], byte_tokenizer.eos_token_id]
    assert one.tokens == len(ids) - 1
    assert (one.bytes, one.characters) == (len(text.encode()), len(text))
    total = reference(model, ids, chosen.get("window", 32), chosen.get("stride", 16))
    assert one.nll == pytest.approx(total, rel=1e-4)


def test_more_context_makes_a_text_likelier() -> None:
    """With windows that hardly overlap, most tokens follow little text."""
    ids = np.arange(100, dtype=np.int32)

    def context(stride: int) -> float:
        seen = []
        for piece in windows(Encoded(ids, ids.copy()), 20, stride):
            seen += np.flatnonzero(piece.labels != IGNORED).tolist()
        return float(np.mean(seen))

    assert context(5) > context(10) > context(19)


@given(
    prompt=st.integers(1, 60),
    answer=st.integers(1, 80),
    width=st.integers(2, 40),
    part=st.floats(0, 1),
)
def test_windows_cover_every_token_of_an_answer_once(
    prompt: int, answer: int, width: int, part: float
) -> None:
    stride = 1 + int(part * (width - 2))
    ids = np.arange(prompt + answer, dtype=np.int32)
    labels = np.where(ids < prompt, np.int32(IGNORED), ids)
    labels[:1] = IGNORED
    pieces = windows(Encoded(ids, labels), width, stride)
    assert all(len(piece.input_ids) <= width for piece in pieces)
    assert all(piece.labels[0] == IGNORED for piece in pieces)
    learnt = np.concatenate([piece.labels[piece.labels != IGNORED] for piece in pieces])
    assert learnt.tolist() == list(range(prompt, prompt + answer))
    for piece in pieces[1:]:
        assert np.flatnonzero(piece.labels != IGNORED).min() >= width - stride
    if answer < width:
        assert len(pieces) == 1
        assert len(pieces[0].input_ids) == min(width, prompt + answer)


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
