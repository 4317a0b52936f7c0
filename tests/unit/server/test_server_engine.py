"""Answers of a model with an engine: no thread waits for them, and whoever leaves frees a place."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from server_api_fakes import Writer
from server_fakes import application, listening, state_of, until

LONG = " ".join(map(str, range(500)))


def ask(address: str, **more: Any) -> dict[str, Any]:
    body = {"model": "w", "prompt": "a b c", **more}
    found: dict[str, Any] = httpx.post(f"{address}/v1/completions", json=body, timeout=30).json()
    return found


@contextlib.contextmanager
def serving(writer: Any, **settings: Any) -> Any:
    app = application({"w": writer}, **settings)
    with listening(app) as (host, port):
        yield app, f"http://{host}:{port}"


def answering_threads() -> int:
    return sum(t.name.startswith("tinyforge-answer") for t in threading.enumerate())


def test_many_answers_are_written_side_by_side_by_one_thread() -> None:
    writer = Writer("text2text", seconds=0.05)
    before = answering_threads()
    with serving(writer) as (app, address), ThreadPoolExecutor(12) as pool:
        found = pool.map(lambda i: ask(address, prompt=f"x y {i}"), range(12))
        until(lambda: state_of(app).queue.running >= 8)
        assert answering_threads() - before == 1
        assert [f["choices"][0]["text"] for f in found] == [f"{i} y x " for i in range(12)]
        until(lambda: state_of(app).queue.running == 0)


def test_predict_tells_the_engines_confidence_and_counts() -> None:
    with serving(Writer("text2text")) as (_, address):
        found = httpx.post(f"{address}/predict", json={"input": ["a b", "c"]}).json()
    assert [each["output"] for each in found] == ["b a ", "c "]
    assert [each["confidence"] for each in found] == [0.5, 0.5]
    assert [each["version"] for each in found] == ["abcdef012345"] * 2


def test_only_so_many_are_begun_and_the_rest_waits() -> None:
    writer = Writer("text2text", seconds=0.05)
    with serving(writer, parallel_texts=2, max_waiting=3) as (app, address):
        with ThreadPoolExecutor(12) as pool:
            codes = list(
                pool.map(
                    lambda _: (
                        httpx.post(
                            f"{address}/predict", json={"input": "a b c d"}, timeout=30
                        ).status_code
                    ),
                    range(12),
                )
            )
        assert set(codes) == {200, 429}
        until(lambda: state_of(app).queue.running == 0)
        assert writer.writing == 0


def leave_when(address: str, begun: Any, **body: Any) -> None:
    """Ask, and hang up as soon as something holds."""
    url = httpx.URL(address)
    content = json.dumps({"model": "w", **body}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json"
    with socket.create_connection((url.host, url.port)) as client:
        client.sendall(f"{head}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
        until(lambda: begun(client))


@pytest.mark.parametrize(
    ("engine", "stream"),
    [(True, True), (True, False), (False, True)],  # a batch without an engine is written to its end
)
def test_a_client_that_leaves_ends_its_answer(engine: bool, stream: bool) -> None:
    writer = Writer("text2text", engine=engine, seconds=0.05)
    with serving(writer) as (app, address):
        leave_when(address, lambda _: writer.writing == 1, prompt=LONG, stream=stream, n=2)
        until(lambda: writer.writing == 0)  # to the end it would take 25 seconds
        until(lambda: state_of(app).queue.running == 0)
        assert ask(address)["choices"][0]["text"] == "c b a "


@pytest.mark.parametrize("engine", [True, False])
def test_a_client_that_leaves_in_the_middle_of_a_stream_ends_it(engine: bool) -> None:
    writer = Writer("text2text", engine=engine, seconds=0.05)
    with serving(writer) as (app, address):
        leave_when(address, lambda c: b'"499 "' in c.recv(65_536), prompt=LONG, stream=True)
        until(lambda: writer.writing == 0)
        until(lambda: state_of(app).queue.running == 0)


def test_a_client_that_leaves_before_the_first_word_ends_its_answer() -> None:
    writer = Writer("text2text", seconds=30)
    with serving(writer) as (app, address):
        leave_when(address, lambda _: writer.writing == 1, prompt="a", stream=True)
        until(lambda: state_of(app).queue.running == 0)


def test_disconnects_at_random_points_leak_nothing() -> None:
    writer = Writer("text2text", seconds=0.002)
    draw = random.Random(0)
    with serving(writer) as (app, address), ThreadPoolExecutor(8) as pool:

        def leave(number: int) -> None:
            body = {"model": "w", "prompt": LONG, "stream": number % 2 == 0, "n": 1 + number % 3}
            left = httpx.Timeout(draw.random() * 0.1 + 0.001)
            with contextlib.suppress(httpx.HTTPError):
                httpx.post(f"{address}/v1/completions", json=body, timeout=left)

        list(pool.map(leave, range(30)))
        until(lambda: state_of(app).queue.running == 0)
        until(lambda: state_of(app).queue.waiting == 0)
        until(lambda: writer.writing == 0)
        queue = state_of(app).queue
        assert not queue._begun
        assert not queue._since
        assert ask(address)["usage"]["completion_tokens"] == 3


def test_an_answer_takes_only_so_long_and_is_cancelled() -> None:
    writer = Writer("text2text", seconds=0.05)
    with serving(writer, request_seconds=0.3) as (app, address):
        assert ask(address, prompt=LONG)["error"]["code"] == "timeout"
        until(lambda: writer.cancelled == 1, 3)
        body = {"model": "w", "prompt": LONG, "stream": True}
        lines = httpx.post(f"{address}/v1/completions", json=body).text.strip().split("\n\n")
        assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "timeout"
        until(lambda: state_of(app).queue.running == 0, 3)


def test_an_engine_that_fails_fails_its_answers_alone() -> None:
    with serving(Writer("text2text")) as (app, address):
        assert ask(address, prompt=["a", "x break y", "b"])["error"]["code"] == "model_failed"
        assert ask(address, prompt="refuse")["error"]["code"] == "refused_by_model"
        assert ask(address)["choices"][0]["text"] == "c b a "
        until(lambda: state_of(app).queue.running == 0)


def test_a_model_that_searches_with_beams_is_not_asked_for_pieces() -> None:
    writer = Writer("text2text")
    writer.settings = type("Settings", (), {"num_beams": 4, "temperature": 0})()
    writer.begin = None
    with serving(writer) as (_, address):
        assert ask(address)["choices"][0]["text"] == "c b a "


def test_vectors_of_requests_that_wait_together_are_made_together() -> None:
    writer = Writer(engine=False)
    with serving(writer) as (_, address), ThreadPoolExecutor(8) as pool:

        def vector(number: int) -> Any:
            body = {"model": "w", "input": "a" * (number + 1)}
            return httpx.post(f"{address}/v1/embeddings", json=body).json()["data"]

        found = list(pool.map(vector, range(8)))
    assert all(len(each) == 1 for each in found)
    assert sum(writer.embedded) == 8


def test_a_stream_says_which_version_answers_and_is_not_buffered_by_proxies() -> None:
    with serving(Writer("text2text")) as (_, address):
        body = {"model": "w", "prompt": "a", "stream": True}
        answer = httpx.post(f"{address}/v1/completions", json=body)
    first = json.loads(answer.text.split("\n\n")[0].removeprefix("data: "))
    assert first["system_fingerprint"] == "abcdef012345"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["content-type"].startswith("text/event-stream")
