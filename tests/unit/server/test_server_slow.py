"""Clients that send or read too slowly are cut off, on both sides of an answer."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

import httpx
from server_fakes import Echo, application, listening, until

HEAD = b"GET /health HTTP/1.1\r\nHo"
BODY = (
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\n\r\n{"
)


def received(connection: socket.socket, seconds: float = 5.0) -> bytes:
    """All that comes until the other side closes."""
    connection.settimeout(seconds)
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            found += piece
    return found


def open_now(app: Any) -> int:
    """Connections that the server holds."""
    return len(app.state.connections)


def test_sixty_slow_sockets_are_closed_and_health_goes_on_answering() -> None:
    """20 of headers, 20 of bodies, 20 that say nothing; each would be held for ever by uvicorn."""
    app = application(head_seconds=0.5, body_seconds=0.5, write_seconds=0.5)
    with listening(app) as address:
        sockets = [socket.create_connection(address) for _ in range(60)]
        for each in sockets[:20]:
            each.sendall(HEAD)
        for each in sockets[20:40]:
            each.sendall(BODY)
        until(lambda: open_now(app) == 60)
        url = f"http://{address[0]}:{address[1]}/health"
        waits = []
        end = time.monotonic() + 5
        while open_now(app) > 1 and time.monotonic() < end:
            for each in sockets[:40]:
                with contextlib.suppress(OSError):
                    each.send(b"a")  # a byte now and then does not keep them
            started = time.monotonic()
            assert httpx.get(url).status_code == 200
            waits.append(time.monotonic() - started)
        until(lambda: open_now(app) == 0)
        assert max(waits) < 2
        for each in sockets:
            each.close()


def test_slow_headers_and_bodies_are_told_why() -> None:
    app = application(head_seconds=0.3, body_seconds=0.3)
    with listening(app) as address:
        for content, code in ((HEAD, b"slow_headers"), (BODY, b"slow_body")):
            with socket.create_connection(address) as slow:
                slow.sendall(content)
                answer = received(slow)
                assert b" 408 " in answer.partition(b"\r\n")[0]
                assert code in answer


def test_a_body_that_nobody_reads_does_not_hold_its_connection() -> None:
    """It was refused by its host; plain uvicorn lets it go on sending for ever."""
    app = application(body_seconds=0.4, keep_alive_seconds=1)
    with listening(app) as address, socket.create_connection(address) as slow:
        slow.sendall(BODY.replace(b"localhost", b"evil.example"))
        end = time.monotonic() + 5
        with contextlib.suppress(OSError):
            while time.monotonic() < end and open_now(app):
                slow.send(b"a")
                time.sleep(0.05)
        until(lambda: open_now(app) == 0)
        assert time.monotonic() < end


def test_a_reader_that_takes_nothing_is_cut_off_after_the_answers_end() -> None:
    """The answer is written whole; what the client has not taken waits in the server's memory."""
    app = application(
        {"echo": Echo()}, write_seconds=0.5, max_input_characters=10**7, max_body_bytes=10**8
    )
    with listening(app) as address:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.connect(address)
        text = b"word " * 1_500_000
        body = b'{"input": "' + text + b'"}'
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        slow.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        until(lambda: open_now(app) == 1)
        until(lambda: open_now(app) == 0, 15.0)
        assert len(received(slow)) < len(text)
        slow.close()


def test_a_slow_but_steady_reader_gets_all_of_a_long_answer() -> None:
    app = application(
        {"echo": Echo()}, write_seconds=0.8, max_input_characters=10**7, max_body_bytes=10**8
    )
    with listening(app) as address:
        steady = socket.socket()
        steady.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        steady.connect(address)
        text = b"word " * 700_000
        body = b'{"input": "' + text + b'"}'
        head = (
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\n"
        )
        steady.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        steady.settimeout(10)
        found, started = 0, time.monotonic()
        while piece := steady.recv(131_072):
            found += len(piece)
            if found < 1_500_000:
                time.sleep(0.01)
        assert found > len(text) - 10
        assert time.monotonic() - started > 0.8
        steady.close()


def test_idle_connections_are_let_go() -> None:
    app = application(head_seconds=0.4, keep_alive_seconds=1)
    with listening(app) as address:
        silent = socket.create_connection(address)
        used = socket.create_connection(address)
        used.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: open_now(app) == 2)
        until(lambda: open_now(app) == 0, 5.0)
        silent.close()
        used.close()
