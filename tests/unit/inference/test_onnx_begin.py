"""An answer told in the engine's thread: the same answer, ended at once, nobody left waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tiny_answerers import llama, make

from tinyforge.errors import DataError, ModelError, SettingError
from tinyforge.inference.onnx.model import OnnxModel
from tinyforge.inference.prompted import PromptedModel
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.predictions import Piece
from tinyforge.text.prompts import parse_prompt

TEXTS = ["the cat", "", "how are you doing today? naïve 🐕", "x"]


class Heard:
    """What was told, and when it was over."""

    def __init__(self) -> None:
        self.told: list[Piece | BaseException] = []
        self.threads: set[str] = set()
        self.over = threading.Event()

    def __call__(self, what: Piece | BaseException) -> None:
        self.told.append(what)
        self.threads.add(threading.current_thread().name)
        if isinstance(what, BaseException) or what.finish_reason is not None:
            self.over.set()

    @property
    def pieces(self) -> list[Piece]:
        assert self.over.wait(30)
        return [piece for piece in self.told if isinstance(piece, Piece)]

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


@pytest.fixture(params=["wide_chatter", "continuer", "reverser"])
def export(request: pytest.FixtureRequest, opened: Callable[..., Any]) -> Iterator[OnnxModel]:
    """One of each way to keep keys and values, with an engine of its own."""
    model: OnnxModel = opened(request.getfixturevalue(request.param), memory_bytes=2**24)
    yield model
    model.close()


@pytest.fixture(scope="module")
def long_winded(byte_tokenizer: Any) -> TorchModel:
    """A Llama that continues text, with 512 positions."""
    return make("language-model", llama(byte_tokenizer, positions=512, width=64), byte_tokenizer)


@pytest.fixture
def slow(long_winded: TorchModel, opened: Callable[..., Any]) -> Iterator[OnnxModel]:
    model: OnnxModel = opened(long_winded, memory_bytes=2**24)
    yield model
    model.close()


def begun(model: Any, text: Any, **options: Any) -> Heard:
    heard = Heard()
    assert model.begin is not None
    model.begin(text, tell=heard, **options)
    return heard


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_what_is_told_is_the_answer(export: OnnxModel) -> None:
    for options in (
        {"max_new_tokens": 14, "logprobs": 2},
        {"max_new_tokens": 14, "temperature": 1.3, "seed": 2},
        {"max_new_tokens": 20, "stop": ["a", "e t"], "logprobs": 0},
    ):
        together = [(text, begun(export, text, **options)) for text in TEXTS * 3]
        for text, heard in together:
            wanted = export.predict(text, **options)
            assert heard.text == wanted.output
            last = heard.pieces[-1]
            assert (last.finish_reason, last.prompt_tokens, last.tokens) == (
                wanted.finish_reason, wanted.prompt_tokens, wanted.tokens,
            )  # fmt: skip
            assert last.confidence == pytest.approx(wanted.confidence, rel=1e-3)
            assert [piece.finish_reason for piece in heard.pieces].count(None) + 1 == len(
                heard.pieces
            )
            scores = [score for piece in heard.pieces for score in piece.token_scores]
            assert [s.bytes for s in scores] == [s.bytes for s in wanted.token_scores]
            assert heard.threads == {"tinyforge-engine"}


def test_it_takes_no_thread_and_no_time(slow: OnnxModel) -> None:
    first = begun(slow, "the cat", max_new_tokens=400)
    before = threading.active_count()
    many = [begun(slow, f"the cat {i}", max_new_tokens=4) for i in range(30)]
    assert threading.active_count() <= before
    assert all(heard.text is not None for heard in many)
    assert first.pieces[-1].finish_reason in ("stop", "length")


def test_cancelling_frees_its_place_at_once(slow: OnnxModel) -> None:
    for _ in range(5):
        heard = Heard()
        begin = slow.begin
        assert begin is not None
        cancel = begin("the cat", tell=heard, max_new_tokens=400)
        wait_until(lambda heard=heard: bool(heard.told))  # type: ignore[misc]
        cancel()
        count = len(heard.told)
        wait_until(lambda: slow.engine.stats().running == 0)
        assert len(heard.told) <= count + 1
        assert not heard.over.is_set()
        cancel()  # once more does nothing
    assert slow.engine.stats().waiting == 0
    assert begun(slow, "the cat", max_new_tokens=3).pieces[-1].tokens <= 3


def test_what_waits_is_cancelled_as_well(slow: OnnxModel) -> None:
    first, second = Heard(), Heard()
    begin = slow.begin
    assert begin is not None
    stop_first = begin("the cat", tell=first, max_new_tokens=400, batch_size=1)
    stop_second = begin("the dog", tell=second, max_new_tokens=400, batch_size=1)
    wait_until(lambda: bool(first.told))
    stop_second()
    wait_until(lambda: slow.engine.stats().waiting == 0)
    assert not second.told
    stop_first()


def test_an_answer_can_begin_where_another_ends(export: OnnxModel) -> None:
    """Told outside the engine's lock: whoever is told may ask at once."""
    second = Heard()

    def tell(what: Any) -> None:
        if isinstance(what, Piece) and what.finish_reason is not None:
            assert export.begin is not None
            export.begin("x", tell=second, max_new_tokens=4)

    assert export.begin is not None
    export.begin("the cat", tell=tell, max_new_tokens=4)
    assert second.text == export.predict("x", max_new_tokens=4).output


def test_closing_the_model_is_told(slow: OnnxModel) -> None:
    running = begun(slow, "the cat", max_new_tokens=400)
    wait_until(lambda: bool(running.told))
    slow.close()
    assert running.over.wait(30)
    assert isinstance(running.told[-1], ModelError)
    with pytest.raises(ModelError, match="was closed"):
        begun(slow, "the cat")


def test_what_goes_wrong_in_the_engine_is_told(
    slow: OnnxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise MemoryError("no more")

    monkeypatch.setattr(slow.engine._lanes, "step", fail)
    heard = begun(slow, "the cat", max_new_tokens=40)
    assert heard.over.wait(30)
    assert isinstance(heard.told[-1], MemoryError)
    monkeypatch.undo()
    assert begun(slow, "the cat", max_new_tokens=4).text is not None


def test_a_listener_that_fails_ends_its_own_answer_only(slow: OnnxModel) -> None:
    def broken(what: Any) -> None:
        raise RuntimeError("a bug of the listener")

    other = begun(slow, "the dog", max_new_tokens=60)
    begin = slow.begin
    assert begin is not None
    begin("the cat", tell=broken, max_new_tokens=400)
    wanted = slow.predict("the dog", max_new_tokens=60).output
    assert other.text == wanted
    wait_until(lambda: slow.engine.stats().running == 0)


def test_a_schema_is_kept_to(slow: OnnxModel) -> None:
    pytest.importorskip("llguidance", reason="needs llguidance")
    schema = {"enum": ["red", "green"]}
    heard = begun(slow, "x", json_schema=schema, max_new_tokens=20, logprobs=1)
    assert heard.text in ('"red"', '"green"')
    assert heard.pieces[-1].finish_reason == "stop"
    with pytest.raises(SettingError, match="cannot be followed"):
        begun(slow, "x", json_schema={"type": "nonsense"})


def test_what_cannot_begin(
    export: OnnxModel, classifier: TorchModel, chatter: TorchModel, opened: Callable[..., Any]
) -> None:
    assert opened(classifier).begin is None
    assert getattr(chatter, "begin", None) is None
    for options in ({"num_beams": 2}, {"max_new_tokens": 0}, {"nonsense": 1}):
        with pytest.raises(SettingError):
            begun(export, "x", **options)
    with pytest.raises(DataError, match="one input"):
        begun(export, ["x", "y"])


def test_with_a_prompt(reverser: TorchModel, opened: Callable[..., Any]) -> None:
    asked = PromptedModel(opened(reverser), parse_prompt({"template": "reverse: {input}"}))
    heard = begun(asked, "a b c", logprobs=0)
    wanted = asked.predict("a b c")
    assert heard.text == wanted.output
    assert heard.pieces[-1].tokens == wanted.tokens
    choosing = PromptedModel(opened(reverser), parse_prompt({"labels": ["a", "b"]}))
    assert choosing.begin is None
    assert PromptedModel(reverser, parse_prompt({"template": "reverse: {input}"})).begin is None


def test_closing_the_model_ends_a_stream_with_an_error(slow: OnnxModel) -> None:
    pieces = slow.stream_pieces("the cat", max_new_tokens=400)
    next(pieces)
    slow.close()
    with pytest.raises(ModelError, match="was closed"):
        list(pieces)
