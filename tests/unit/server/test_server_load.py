"""Under load and abuse: batches, full queues, clients that leave, are slow or send nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from server_fakes import Echo, application, listening, state_of, until


def test_what_waits_together_is_answered_together() -> None:
    app = application({"echo": Echo(seconds=0.2)})
    with listening(app) as (host, port), ThreadPoolExecutor(12) as pool:

        def ask(number: int) -> str:
            body = {"input": f"a {number}"}
            return str(httpx.post(f"http://{host}:{port}/predict", json=body).json()["output"])

        found = list(pool.map(ask, range(12)))
    assert found == [f"{number} a" for number in range(12)]
    calls = state_of(app).model.calls
    assert sum(calls) == 12
    assert len(calls) <= 4
    assert max(calls) >= 5


def test_one_refused_text_spoils_no_other_of_its_batch() -> None:
    app = application({"echo": Echo(seconds=0.2)})
    with listening(app) as (host, port), ThreadPoolExecutor(6) as pool:

        def ask(text: str) -> int:
            url = f"http://{host}:{port}/predict"
            return httpx.post(url, json={"input": text}).status_code

        codes = list(pool.map(ask, ["a", "b", "refuse", "c", "d", "e"]))
    assert sorted(codes) == [200] * 5 + [400]
    assert codes[2] == 400


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    app = application({"echo": Echo(seconds=0.5)}, max_waiting=2, batch_rows=1)
    with listening(app) as (host, port), ThreadPoolExecutor(10) as pool:

        def ask(_: int) -> tuple[int, float, str]:
            started = time.monotonic()
            answer = httpx.post(f"http://{host}:{port}/predict", json={"input": "a"}, timeout=30)
            waited = time.monotonic() - started
            return answer.status_code, waited, answer.headers.get("retry-after", "")

        found = list(pool.map(ask, range(10)))
    refused = [each for each in found if each[0] == 429]
    assert len(refused) >= 5
    assert all(after and int(after) >= 1 for _, _, after in refused)
    assert sum(code == 200 for code, _, _ in found) == 10 - len(refused)


def test_a_client_that_leaves_frees_its_place() -> None:
    go_on = threading.Event()

    class Slow(Echo):
        def predict(self, given: list[Any], **options: Any) -> list[Any]:
            go_on.wait(20)
            return super().predict(given, **options)

    app = application({"echo": Slow()}, batch_rows=1)
    with listening(app) as (host, port):
        url = f"http://{host}:{port}/predict"
        for _ in range(6):
            with contextlib.suppress(httpx.TimeoutException):
                httpx.post(url, json={"input": "a"}, timeout=0.1)
        until(lambda: state_of(app).queue.waiting == 0)
        go_on.set()
        assert httpx.post(url, json={"input": "a b"}).json()["output"] == "b a"
    assert len(state_of(app).model.calls) <= 2  # of the six, one at most was begun in time


def test_a_stream_that_nobody_reads_ends() -> None:
    app = application({"echo": Echo(seconds=0.05)})
    words = " ".join(map(str, range(400)))
    with listening(app) as (host, port), httpx.Client() as client:
        body = {"model": "echo", "prompt": words, "stream": True}
        url = f"http://{host}:{port}/v1/completions"
        with client.stream("POST", url, json=body) as answer:
            next(answer.iter_lines())
            assert state_of(app).model.writing == 1
        until(lambda: state_of(app).model.writing == 0, 3.0)
        assert state_of(app).queue.running == 0


def test_slow_senders_are_cut_off_and_health_goes_on_answering() -> None:
    app = application(head_seconds=0.5, body_seconds=0.5)
    with listening(app) as (host, port):
        heads = [socket.create_connection((host, port)) for _ in range(30)]
        bodies = [socket.create_connection((host, port)) for _ in range(30)]
        for each in heads:
            each.sendall(b"GET /health HTTP/1.1\r\nHo")
        for each in bodies:
            each.sendall(
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
        assert httpx.get(f"http://{host}:{port}/health").status_code == 200
        for each in (*heads, *bodies):
            each.settimeout(5)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := each.recv(4096):
                    received += piece
            if each in bodies:
                assert b"408" in received
            each.close()


def test_stopping_lets_running_answers_end_and_takes_no_new_ones() -> None:
    app = application({"echo": Echo(seconds=1.0)})
    found: dict[str, Any] = {}
    with listening(app) as (host, port):
        url = f"http://{host}:{port}"

        def ask() -> None:
            found["answer"] = httpx.post(f"{url}/predict", json={"input": "a b"}).json()

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: state_of(app).queue.running == 1)
        app.state.draining = app.state.closed = True
        assert httpx.get(f"{url}/ready").status_code == 503
        assert httpx.get(f"{url}/health").status_code == 200
        refused = httpx.post(f"{url}/predict", json={"input": "a"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
    thread.join()
    assert found["answer"]["output"] == "b a"


def test_a_request_takes_only_so_long() -> None:
    app = application({"echo": Echo(seconds=1.0)}, request_seconds=0.2)
    with listening(app) as (host, port):
        answer = httpx.post(f"http://{host}:{port}/predict", json={"input": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
