"""A server whose places are all taken says so before it reads or parses anything."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from server_fakes import Echo, application, listening, until

from tinyforge.server.guards import ASKING
from tinyforge.server.keys import Key, Keys, _digest
from tinyforge.server.logs import ACCESS


class Blocked(Echo):
    """Answers once it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def predict(self, given: list[Any], **options: Any) -> list[Any]:
        self.go_on.wait(20)
        return super().predict(given, **options)


@contextlib.contextmanager
def full(app: Any, **headers: str) -> Iterator[tuple[str, tuple[str, int]]]:
    """The application behind a socket; its model ``slow`` is busy, and the one place is taken."""
    served = app.state.pool.get("slow")
    body = {"model": "slow", "input": "a b"}
    with listening(app) as address, ThreadPoolExecutor(2) as pool:
        url = f"http://{address[0]}:{address[1]}"

        def ask() -> int:
            return httpx.post(f"{url}/predict", json=body, headers=headers, timeout=30).status_code

        first = pool.submit(ask)
        until(lambda: served.queue.running == 1)
        second = pool.submit(ask)
        until(lambda: served.queue.waiting == 1)
        try:
            yield url, address
        finally:
            served.model.go_on.set()
            assert (first.result(20), second.result(20)) == (200, 200)


def busy(**more: Any) -> Any:
    return application({"slow": Blocked()}, max_waiting=1, batch_rows=1, **more)


def answered(connection: socket.socket) -> tuple[bytes, bytes]:
    """The head and the body of the next answer on a connection that stays open."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return head, body


def test_the_refusal_is_whole_and_nothing_is_parsed() -> None:
    with full(busy()) as (url, _), httpx.Client(base_url=url) as client:
        for route in sorted(ASKING):
            answer = client.post(route, content=b"{no json", headers={"X-Request-ID": "mine"})
            assert answer.status_code == 429
            assert answer.json() == {
                "error": {
                    "message": "too many requests wait for this model",
                    "type": "rate_limit_error", "param": None, "code": "queue_full",
                }
            }  # fmt: skip
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-request-id"] == "mine"
            assert answer.headers["x-content-type-options"] == "nosniff"
        text = client.get("/metrics").text
    assert 'tinyforge_refusals_total{reason="queue_full"} 4.0' in text
    for route in ASKING:
        assert f'tinyforge_requests_total{{route="{route}",status="429"}} 1.0' in text


def test_a_body_that_is_still_coming_is_forgotten_and_the_connection_goes_on() -> None:
    with full(busy()) as (_, address), socket.create_connection(address, timeout=5) as client:
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(head + b"Content-Length: 200000\r\n\r\n" + b"x" * 100)
        told, _ = answered(client)
        assert told.startswith(b"HTTP/1.1 429 ")
        assert b"connection: close" not in told.lower()
        client.sendall(b"x" * 199_900 + b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answered(client)[0].startswith(b"HTTP/1.1 200 ")
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        client.sendall(chunked + chunked)
        for _ in range(2):
            assert answered(client)[0].startswith(b"HTTP/1.1 429 ")


def test_a_body_that_never_ends_is_cut_off_all_the_same() -> None:
    app = busy(body_seconds=0.3)
    with full(app) as (_, address), socket.create_connection(address, timeout=5) as client:
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
        client.sendall(head + b"Content-Length: 200000\r\n\r\nx")
        assert answered(client)[0].startswith(b"HTTP/1.1 429 ")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_what_asks_no_model_is_answered_as_ever() -> None:
    with full(busy()) as (url, _), httpx.Client(base_url=url) as client:
        for route in ("/health", "/ready", "/metrics", "/v1/models", "/openapi.json"):
            assert client.get(route).status_code == 200, route
        assert client.get("/predict").status_code == 405
        assert client.post("/nothing").status_code == 404


def test_who_may_not_ask_is_told_that_and_not_how_busy_it_is() -> None:
    keys = Keys((Key("me", _digest("right-key")),))
    app = application({"slow": Blocked()}, keys, max_waiting=1, batch_rows=1)
    good = {"Authorization": "Bearer right-key"}
    with full(app, **good) as (url, _):
        assert httpx.post(f"{url}/predict", json={}).status_code == 401
        odd = {**good, "Host": "evil.example"}
        assert httpx.post(f"{url}/predict", json={}, headers=odd).status_code == 421
        large = b"x" * 1_100_000
        assert httpx.post(f"{url}/predict", content=large, headers=good).status_code == 413
        assert httpx.post(f"{url}/predict", json={}, headers=good).status_code == 429


def test_a_model_that_has_room_answers_beside_one_that_has_none() -> None:
    app = application({"slow": Blocked(), "quick": Echo()}, max_waiting=1, batch_rows=1)
    with full(app) as (url, _), httpx.Client(base_url=url) as client:
        answer = client.post("/predict", json={"model": "quick", "input": "a b"})
        assert answer.json()["output"] == "b a"
        refused = client.post("/predict", json={"model": "slow", "input": "a b"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert int(refused.headers["retry-after"]) >= 1


class Lines(logging.Handler):
    """Remembers what is known of each request."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.request)  # type: ignore[attr-defined]


def test_every_refusal_has_its_line() -> None:
    lines, level = Lines(), ACCESS.level
    ACCESS.addHandler(lines)
    ACCESS.setLevel(logging.INFO)
    try:
        with full(busy()) as (url, _), httpx.Client(base_url=url) as client:
            for number in range(50):
                client.post("/predict", json={}, headers={"X-Request-ID": f"r{number}"})
    finally:
        ACCESS.setLevel(level)
        ACCESS.removeHandler(lines)
    refused = [line for line in lines.found if line["status"] == 429]
    assert [line["request"] for line in refused] == [f"r{number}" for number in range(50)]
    assert {(line["route"], line["method"]) for line in refused} == {("/predict", "POST")}


def test_the_routes_that_ask_are_those_that_take_a_body() -> None:
    app = application()
    with listening(app) as (host, port):
        paths = httpx.get(f"http://{host}:{port}/openapi.json").json()["paths"]
    assert {path for path, methods in paths.items() if "post" in methods} == ASKING
