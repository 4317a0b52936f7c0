"""What is refused before any route sees it, and in which words."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from server_fakes import application, listening

from tinyforge.config.serve import ServeSettings
from tinyforge.server.body import check_shape
from tinyforge.server.problems import Problem
from tinyforge.server.rates import Rates, make_file


@pytest.fixture(scope="module")
def app() -> Any:
    return application()


@pytest.fixture(scope="module")
def address(app: Any) -> Iterator[tuple[str, int]]:
    with listening(app) as found:
        yield found


@pytest.fixture(scope="module")
def client(address: tuple[str, int]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{address[0]}:{address[1]}") as found:
        yield found


def said(address: tuple[str, int], content: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the body of what comes for some raw bytes."""
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(content)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTQ/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody speaks TLS
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_one_form(
    address: tuple[str, int], content: bytes
) -> None:
    status, body = said(address, content)
    assert status == 400
    assert body["error"]["code"] == "invalid_http"


def test_headers_that_never_end_are_refused(address: tuple[str, int]) -> None:
    status, body = said(address, b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000)
    assert (status, body["error"]["code"]) == (431, "headers_too_large")


def test_large_headers_in_one_piece_are_refused(client: httpx.Client) -> None:
    for headers in ({"X-Long": "a" * 17_000}, {f"X-{i}": "a" for i in range(120)}):
        answer = client.get("/health", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (431, "headers_too_large")
    answer = client.get("/v1/models?" + "a" * 17_000)
    assert answer.status_code == 431


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("[" * 100 + "]" * 100, "too_deep"),
        ('{"a":' * 70 + "1" + "}" * 70, "too_deep"),
        ("[" * 100, "too_deep"),
        (json.dumps({"input": [1] * 30_000}), "too_many_values"),
        (json.dumps({"input": [[]] * 15_000}), "too_many_values"),
    ],
)
def test_shapes_that_cost_a_parser_are_refused_unread(
    client: httpx.Client, body: str, code: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/predict", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


@pytest.mark.parametrize(
    "text", ["[{" * 30_000, "," * 50_000, '\\" [' * 5_000, "\\\\", '\\\\\\"' + "{" * 100]
)
def test_brackets_and_commas_within_a_text_are_only_text(client: httpx.Client, text: str) -> None:
    answer = client.post("/predict", json={"input": text})
    assert answer.status_code == 200


def test_a_body_of_escapes_is_looked_at_quickly() -> None:
    started = time.process_time()
    for body in (b'\\"' * 500_000, b'""' * 500_000, b"[" * 10**6, b"[]" * 500_000):
        with pytest.raises(Problem):
            check_shape(body + b"[," * 30_000, ServeSettings())
    check_shape(b'"' + b'\\"[,' * 300_000, ServeSettings())  # all of it is one text
    assert time.process_time() - started < 5


def test_a_requests_id_goes_through_where_it_can_stand_in_a_log(client: httpx.Client) -> None:
    given = client.get("/health", headers={"X-Request-ID": "abc-1.2_3"})
    assert given.headers["x-request-id"] == "abc-1.2_3"
    for odd in ("a b", "x" * 65, "a\tb"):
        made = client.get("/health", headers={"X-Request-ID": odd}).headers["x-request-id"]
        assert made != odd
        assert len(made) == 16


@pytest.mark.parametrize("host", ["[", "localhost:x:y", "a/b", "[::1", ""])
def test_an_odd_host_is_refused(address: tuple[str, int], host: str) -> None:
    content = f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    status, body = said(address, content.encode())
    assert status in (400, 421)
    assert body["error"]["type"] == "invalid_request_error"


def test_too_many_connections_are_told_so_and_health_still_answers() -> None:
    app = application(max_connections=3)
    with listening(app) as address:
        held = [socket.create_connection(address) for _ in range(4)]
        url = f"http://{address[0]}:{address[1]}"
        refused = httpx.get(f"{url}/v1/models")
        assert (refused.status_code, refused.json()["error"]["code"]) == (
            503, "too_many_connections",
        )  # fmt: skip
        assert refused.headers["retry-after"] == "1"
        assert httpx.get(f"{url}/health").status_code == 200
        for each in held:
            each.close()


def test_without_keys_the_limit_is_for_all_together() -> None:
    app = application(requests_per_minute=2)
    with listening(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        codes = [client.get("/v1/models").status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        assert client.get("/health").status_code == 200


def test_a_limit_holds_over_all_who_share_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("tinyforge.server.rates.time", clock)
    with make_file(3) as file:
        one, other = Rates(3, file), Rates(3, file.fileno())
        waits = []
        for rates in (one, other, one, other):
            now[0] += 1
            waits.append(rates.wait("anna"))
        assert waits[:3] == [0, 0, 0]
        assert waits[3] == pytest.approx(57)  # the first of the three is a minute ago then
        assert one.wait("bob") == 0
        now[0] += 57
        assert other.wait("anna") == 0
        assert one.wait("anna") == pytest.approx(1)


def test_of_too_many_keys_the_longest_silent_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("tinyforge.server.rates.time", clock)
    monkeypatch.setattr("tinyforge.server.rates.KEYS", 2)
    rates = Rates(1)
    for owner in ("a", "b", "c"):
        now[0] += 1
        assert rates.wait(owner) == 0
    assert rates.wait("c") > 0
    assert rates.wait("a") == 0  # forgotten for c
