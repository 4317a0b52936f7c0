"""Answers join and leave a running batch: right, at once, within their memory, and cleanly."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tiny_answerers import llama, make

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.errors import ModelError, SettingError
from tinyforge.inference.onnx import engine as engine_module
from tinyforge.inference.onnx.model import OnnxModel
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example

TEXTS = ["the cat", "how are you doing today? i'm fine", "x", "naïve 🐕", "the mat, and the dog"]


@pytest.fixture(scope="module")
def roomy(byte_tokenizer: Any) -> TorchModel:
    """A Llama that continues text, with 512 positions."""
    return make("language-model", llama(byte_tokenizer, positions=512, width=64), byte_tokenizer)


@pytest.fixture(params=["roomy", "continuer", "reverser"])
def export(request: pytest.FixtureRequest, opened: Callable[..., Any]) -> Iterator[OnnxModel]:
    """One of each way to keep keys and values, with an engine of its own."""
    model: OnnxModel = opened(request.getfixturevalue(request.param), memory_bytes=2**24)
    yield model
    model.close()


@pytest.fixture
def writer(roomy: TorchModel, opened: Callable[..., Any]) -> Iterator[Any]:
    model = opened(roomy, memory_bytes=2**24)
    yield model._onnx_writer
    model.close()


def prompt(writer: Any, text: str) -> Encoded:
    encoded: list[Encoded] = writer.task.encode([Example(input=text)])
    return encoded[0]


def settings(**options: Any) -> GenerateSettings:
    return GenerateSettings(**{"max_new_tokens": 20, **options})


def idle() -> None:
    """Wait until no engine has anything to do."""
    end = time.monotonic() + 20
    while any(thread.name == "tinyforge-engine" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.001)


def test_answers_that_come_and_go_are_as_alone(export: OnnxModel) -> None:
    writer: Any = export._onnx_writer
    draw = random.Random(3)
    asked = [
        (draw.choice(TEXTS) + " " * draw.randint(0, 3), draw.randint(1, 20)) for _ in range(40)
    ]
    alone = {
        each: writer.engine.submit(
            prompt(writer, each[0]), settings(max_new_tokens=each[1])
        ).result().ids
        for each in set(asked)
    }  # fmt: skip
    tickets = []
    for text, room in asked:
        how = settings(max_new_tokens=room, batch_size=draw.choice([4, 7, 32]))
        tickets.append(writer.engine.submit(prompt(writer, text), how))
        if draw.random() < 0.3:
            tickets[draw.randrange(len(tickets))].result(20)
    for each, ticket in zip(asked, tickets, strict=True):
        assert ticket.result(20).ids == alone[each]
    stats = writer.engine.stats()
    assert (stats.running, stats.waiting) == (0, 0)


def test_several_threads_ask_at_once(export: OnnxModel) -> None:
    expected = {text: export.predict(text, max_new_tokens=10).output for text in TEXTS}
    wrong: list[str] = []

    def ask(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(8):
            text = draw.choice(TEXTS)
            if draw.random() < 0.5:
                said = export.predict(text, max_new_tokens=10).output
            else:
                said = "".join(export.stream(text, max_new_tokens=10))
            if said != expected[text]:
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    idle()


def test_tokens_come_one_by_one(writer: Any) -> None:
    heard: list[int] = []
    ticket = writer.engine.submit(
        prompt(writer, "the cat"), settings(max_new_tokens=40), on_token=heard.append
    )
    tokens = iter(ticket)
    first = next(tokens)
    assert not ticket.done or len(heard) == 40
    rest = list(tokens)
    assert [first, *rest] == ticket.result().ids == heard
    assert list(ticket) == []
    assert len(ticket.result().logs) == len(heard)


def test_what_is_cancelled_leaves_at_once(writer: Any) -> None:
    engine = writer.engine
    long = [
        engine.submit(prompt(writer, text), settings(max_new_tokens=400, batch_size=2))
        for text in ("the cat", "the dog")
    ]
    waits = engine.submit(prompt(writer, "x"), settings(max_new_tokens=5, batch_size=2))
    next(iter(long[0]))
    assert not waits.done
    long[0].cancel()
    assert long[0].result(20).finish_reason == "cancelled"
    assert len(long[0].result().ids) < 400
    assert waits.result(20).finish_reason in ("length", "stop")
    long[1].cancel()
    never = engine.submit(prompt(writer, "y"), settings())
    never.cancel()
    assert long[1].result(20).finish_reason == "cancelled"
    never.result(20)
    never.cancel()  # it is over: nothing happens
    idle()
    assert engine.stats().running == 0


def test_memory_stays_within_the_budget_and_requests_wait(
    roomy: TorchModel, opened: Callable[..., Any]
) -> None:
    budget = 512 * 60  # a token takes 512 bytes: two layers, two heads of 16
    model = opened(roomy, memory_bytes=budget)
    writer = model._onnx_writer
    assert writer._per_token == 512
    draw = random.Random(1)
    seen: list[int] = []

    def look(_: int) -> None:
        seen.append(writer.engine.stats().bytes_held)

    tickets = [
        writer.engine.submit(
            prompt(writer, draw.choice(TEXTS)), settings(max_new_tokens=draw.randint(3, 20)),
            on_token=look,
        )
        for _ in range(20)
    ]  # fmt: skip
    for ticket in tickets:
        assert ticket.result(20).finish_reason in ("length", "stop")
    assert 0 < max(seen) <= budget
    with pytest.raises(SettingError, match="memory_bytes"):
        writer.engine.submit(prompt(writer, "the cat"), settings(max_new_tokens=200))
    with pytest.raises(SettingError, match="memory_bytes"):
        writer.engine.submit(prompt(writer, "the cat"), settings(num_beams=8))
    model.close()
    assert writer.engine.stats().bytes_held == 0


def test_a_text_that_begins_like_another_is_read_from_where_they_differ(
    request: pytest.FixtureRequest, opened: Callable[..., Any]
) -> None:
    start = "the cat sat on the mat, and the dog"
    for name in ("roomy", "continuer"):
        model = opened(request.getfixturevalue(name), memory_bytes=2**24)
        fresh = opened(request.getfixturevalue(name), memory_bytes=2**23)
        engine = model._onnx_writer.engine
        first = model.predict(start, max_new_tokens=12)
        assert engine.stats().reused == 0
        for text in (start, start + " sat", start[:-3] + "cat", start + first.output + " so"):
            before = engine.stats().reused
            found = model.predict(text, max_new_tokens=12)
            assert engine.stats().reused - before >= 8
            expected = fresh.predict(text, max_new_tokens=12)
            assert found.output == expected.output
            assert found.confidence == pytest.approx(expected.confidence, rel=1e-4)
            fresh._onnx_writer.engine._lanes.clear()
        together = model.predict([start + t for t in TEXTS] * 2, max_new_tokens=12)
        for text, found in zip([start + t for t in TEXTS] * 2, together, strict=True):
            assert found.output == fresh.predict(text, max_new_tokens=12).output


def test_what_many_ask_at_once_is_read_once(writer: Any) -> None:
    engine = writer.engine
    start = "the cat sat on the mat, and the dog sat on the log. " * 8
    prompts = [prompt(writer, start + text) for text in TEXTS]
    tickets = [engine.submit(each, settings()) for each in prompts]
    together = [ticket.result(20).ids for ticket in tickets]
    whole = len(prompt(writer, start).input_ids)
    assert engine.stats().reused >= (len(TEXTS) - 1) * (whole - 80)
    for each, ids in zip(prompts, together, strict=True):
        engine._lanes.clear()
        assert engine.submit(each, settings()).result(20).ids == ids


def test_the_next_turn_reads_on_from_the_answer(writer: Any) -> None:
    engine = writer.engine
    one = prompt(writer, "the cat sat on the mat")
    written = engine.submit(one, settings(max_new_tokens=30)).result()
    turn = [*one.input_ids.tolist(), *written.ids, *prompt(writer, "and").input_ids.tolist()]
    ids = np.array(turn, dtype=np.int32)
    engine.submit(Encoded(ids, ids), settings(max_new_tokens=3)).result()
    assert engine.stats().reused == len(one.input_ids) + len(written.ids) - 1


@pytest.mark.parametrize("pieces", [(1, 1), (3, 7), (64, 512)])
def test_prompts_read_in_pieces_are_read_alike(
    export: OnnxModel, pieces: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [text * 2 for text in TEXTS]
    expected = [p.output for p in export.predict(texts, max_new_tokens=8)]
    export._onnx_writer.engine._lanes.clear()  # type: ignore[attr-defined]
    monkeypatch.setattr(engine_module, "BUSY", pieces[0])
    monkeypatch.setattr(engine_module, "MOST", 2 * pieces[0])
    monkeypatch.setattr(engine_module, "IDLE", pieces[1])
    assert [p.output for p in export.predict(texts, max_new_tokens=8)] == expected


def test_a_long_text_holds_up_nobody(writer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "BUSY", 4)
    order: list[str] = []

    def note(name: str) -> Callable[[int], None]:
        return lambda _: order.append(name)

    engine = writer.engine
    running = engine.submit(
        prompt(writer, "x"), settings(max_new_tokens=150), on_token=note("running")
    )
    next(iter(running))
    long = prompt(writer, "the cat sat on the mat, and the dog sat on the log. " * 5)
    assert len(long.input_ids) > 80
    tickets = [
        engine.submit(long, settings(max_new_tokens=2), on_token=note("long")),
        engine.submit(
            prompt(writer, "how are you"), settings(max_new_tokens=2), on_token=note("short")
        ),
    ]  # fmt: skip
    for ticket in [*tickets, running]:
        ticket.result(20)
    first = order.index("long")
    assert order.index("short") < first
    assert order[:first].count("running") >= len(long.input_ids) // 4 - 2


def test_who_comes_while_others_are_read_is_read_before_the_next_step(
    writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = writer.engine
    lanes, did, late = engine._lanes, [], []
    read, step = lanes.read, lanes.step

    def reading(tokens: int) -> Any:
        did.append("read")
        if did.count("read") == 2:  # another prompt is being read
            late.append(engine.submit(prompt(writer, "how are you"), settings(max_new_tokens=2)))
        return read(tokens)

    def stepping() -> Any:
        did.append("step")
        return step()

    monkeypatch.setattr(lanes, "read", reading)
    monkeypatch.setattr(lanes, "step", stepping)
    running = engine.submit(prompt(writer, "x"), settings(max_new_tokens=150))
    next(iter(running))
    engine.submit(prompt(writer, "the dog sat on the log"), settings(max_new_tokens=2)).result(20)
    late[0].result(20)
    assert running.result(20).ids
    second = [place for place, what in enumerate(did) if what == "read"][1]
    assert did[second + 1] == "read"


def test_what_a_listener_raises_ends_its_answer_alone(writer: Any) -> None:
    def fail(_: int) -> None:
        raise ValueError("not mine")

    good = writer.engine.submit(prompt(writer, "the cat"), settings())
    bad = writer.engine.submit(prompt(writer, "the dog"), settings(), on_token=fail)
    with pytest.raises(ValueError, match="not mine"):
        bad.result(20)
    with pytest.raises(ValueError, match="not mine"):
        list(bad)
    assert good.result(20).finish_reason in ("length", "stop")


def test_a_failure_reaches_whoever_waits_and_the_engine_goes_on(
    export: OnnxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer: Any = export._onnx_writer
    expected = export.predict(TEXTS, max_new_tokens=6)
    lanes, calls = writer.engine._lanes, []
    step = lanes.step

    def fail() -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise ModelError("out of luck")
        return step()

    monkeypatch.setattr(lanes, "step", fail)
    with pytest.raises(ModelError, match="out of luck"):
        export.predict(TEXTS, max_new_tokens=6)
    idle()
    assert writer.engine.stats().bytes_held == 0
    assert export.predict(TEXTS, max_new_tokens=6) == expected


def test_closing_ends_what_is_being_written(roomy: TorchModel, opened: Callable[..., Any]) -> None:
    writer = opened(roomy, memory_bytes=2**24)._onnx_writer
    tickets = [
        writer.engine.submit(prompt(writer, text), settings(max_new_tokens=400, batch_size=2))
        for text in TEXTS
    ]
    next(iter(tickets[0]))
    writer.close()
    assert {ticket.result(1).finish_reason for ticket in tickets} == {"cancelled"}
    assert not any(thread.name == "tinyforge-engine" for thread in threading.enumerate())
    with pytest.raises(ModelError, match="closed"):
        writer.engine.submit(prompt(writer, "x"), settings())
    writer.close()


def test_nothing_is_left_behind(export: OnnxModel) -> None:
    writer: Any = export._onnx_writer
    tickets = [writer.engine.submit(prompt(writer, text), settings()) for text in TEXTS]
    tickets.append(writer.engine.submit(prompt(writer, TEXTS[0]), settings(num_beams=3)))
    streams = [weakref.ref(ticket._stream.over) for ticket in tickets if ticket.result(20)]
    del tickets
    idle()
    gc.collect()
    assert not any(stream() for stream in streams)


def test_beams_and_streams_beside_each_other(export: OnnxModel) -> None:
    writer: Any = export._onnx_writer
    how = [settings(num_beams=1 + 2 * (i % 2), max_new_tokens=6 + i) for i in range(6)]
    alone = [writer.engine.submit(prompt(writer, TEXTS[0]), each).result().ids for each in how]
    tickets = [writer.engine.submit(prompt(writer, TEXTS[0]), each) for each in how]
    assert [ticket.result(20).ids for ticket in tickets] == alone


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "top_k": 3, "top_p": 0.5, "seed": 1}])
def test_damaged_numbers_are_no_answer(
    export: OnnxModel, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer: Any = export._onnx_writer
    lanes = writer.engine._lanes
    read, step = lanes.read, lanes.step

    def spoiled(tokens: int) -> Any:
        count, found = read(tokens)
        return count, [(row, logits * np.nan) for row, logits in found]

    monkeypatch.setattr(lanes, "read", spoiled)
    monkeypatch.setattr(lanes, "step", lambda: step() * np.nan)
    assert export.predict("the cat", max_new_tokens=4, **options).confidence is None
