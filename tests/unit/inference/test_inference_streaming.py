"""A stream is the same answer in pieces, ends when told to, and leaves no thread behind."""

from __future__ import annotations

import gc
import threading
import time
from itertools import zip_longest
from typing import Any

import pytest
from tiny_answerers import llama, make

from tinyforge.errors import SettingError
from tinyforge.inference.streaming import tokens_from
from tinyforge.inference.torch_model import TorchModel

INPUTS = ["the cat", "", "how are you doing today? naïve 🐕", "</s> <|end|>"]


@pytest.fixture(params=["continuer", "chatter", "reverser"])
def writer(request: pytest.FixtureRequest) -> TorchModel:
    model: TorchModel = request.getfixturevalue(request.param)
    return model


def streaming_threads() -> int:
    return sum(thread.name == "tinyforge-stream" for thread in threading.enumerate())


@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 30},
        {"temperature": 1.5, "seed": 3, "max_new_tokens": 30},
        {"stop": ["a", "e t", " "], "max_new_tokens": 30},
    ],
)
def test_the_pieces_are_the_answer(writer: TorchModel, options: dict[str, Any]) -> None:
    for text in INPUTS:
        pieces = list(writer.stream(text, **options))
        assert "".join(pieces) == writer.predict(text, **options).output
        assert all(pieces)
    assert streaming_threads() == 0


def test_bytes_that_are_no_character(fallback_tokenizer: Any) -> None:
    # Here a wrong byte would change how all bytes before it are decoded at once.
    one = make("language-model", llama(fallback_tokenizer), fallback_tokenizer)
    for seed in range(12):
        how: dict[str, Any] = {"temperature": 2.0, "seed": seed, "max_new_tokens": 30}
        assert "".join(one.stream("the cat", **how)) == one.predict("the cat", **how).output


def test_it_comes_piece_by_piece(chatter: TorchModel) -> None:
    assert len(list(chatter.stream("the cat", max_new_tokens=30))) > 5


def test_closing_early_ends_the_writing(chatter: TorchModel) -> None:
    steps = []
    hook = chatter.model.lm_head.register_forward_hook(lambda *_: steps.append(1))
    try:
        pieces = chatter.stream("the cat", max_new_tokens=60)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        done = len(steps)
        assert streaming_threads() == 0
        time.sleep(0.05)
        assert len(steps) == done < 55
    finally:
        hook.remove()


def test_a_forgotten_stream_leaves_no_thread(chatter: TorchModel) -> None:
    pieces = chatter.stream("the cat", max_new_tokens=60)
    next(pieces)
    del pieces
    gc.collect()
    assert streaming_threads() == 0


def test_a_failure_in_the_thread_reaches_the_reader(chatter: TorchModel) -> None:
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("out of luck")

    hook = chatter.model.lm_head.register_forward_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="out of luck"):
            list(chatter.stream("the cat", max_new_tokens=40))
    finally:
        hook.remove()
    assert streaming_threads() == 0


def test_beams_cannot_be_streamed(writer: TorchModel) -> None:
    with pytest.raises(SettingError, match="streamed"):
        writer.stream("the", num_beams=2)


def test_two_streams_at_once(chatter: TorchModel) -> None:
    one, other = (chatter.stream(t, max_new_tokens=25) for t in ("the cat", "how are"))
    said = ["", ""]
    for first, second in zip_longest(one, other, fillvalue=""):
        said[0] += first
        said[1] += second
    assert said == [
        chatter.predict(text, max_new_tokens=25).output for text in ("the cat", "how are")
    ]


def test_tokens_wait_for_their_writer() -> None:
    class Value:
        def __init__(self, *ids: int) -> None:
            self.ids = list(ids)

        def reshape(self, _: int) -> Value:
            return self

        def tolist(self) -> list[int]:
            return self.ids

    def write(queue: Any, closed: threading.Event) -> None:
        for value in (Value(9, 9, 9), Value(1), Value(2)):  # the prompt comes first
            queue.put(value)
        queue.end()

    assert list(tokens_from(write)) == [1, 2]
