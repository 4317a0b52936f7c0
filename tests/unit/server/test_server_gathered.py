"""What is written in one turn of the event loop goes out as one piece, and nothing is lost."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from server_fakes import Echo, application, listening

from tinyforge.server.gathered import MOST, Gathered


class Wire:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.done = ""

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.done = self.done or "closed"

    def abort(self) -> None:
        self.done = "aborted"

    def is_closing(self) -> bool:
        return bool(self.done)

    def get_write_buffer_size(self) -> int:
        return 7


def played(play: Any) -> Wire:
    """What comes out where ``play(gathered, wire)`` writes."""
    wire = Wire()

    async def story() -> None:
        await play(Gathered(wire, asyncio.get_running_loop()), wire)

    asyncio.run(story())
    return wire


def test_one_turn_is_one_piece_and_each_turn_is_its_own() -> None:
    async def play(gathered: Gathered, wire: Wire) -> None:
        gathered.write(b"head ")
        gathered.write(b"")
        gathered.write(b"body")
        assert wire.sent == []
        assert gathered.get_write_buffer_size() == 7 + 9
        await asyncio.sleep(0)
        assert wire.sent == [b"head body"]
        gathered.write(b"alone")
        await asyncio.sleep(0)

    assert played(play).sent == [b"head body", b"alone"]


def test_much_goes_out_before_the_turn_is_over() -> None:
    async def play(gathered: Gathered, wire: Wire) -> None:
        gathered.write(b"x" * (MOST - 1))
        assert not wire.sent
        gathered.write(b"yz")
        assert len(wire.sent) == 1
        gathered.write(b"more")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert [len(piece) for piece in played(play).sent] == [MOST + 1, 4]


def test_closing_sends_what_waits_and_aborting_does_not() -> None:
    async def close(gathered: Gathered, wire: Wire) -> None:
        gathered.write(b"last words")
        gathered.close()
        assert wire.sent == [b"last words"]
        await asyncio.sleep(0)

    async def abort(gathered: Gathered, wire: Wire) -> None:
        gathered.write(b"nothing")
        gathered.abort()
        assert gathered.get_write_buffer_size() == 7
        await asyncio.sleep(0)

    assert played(close).sent == [b"last words"]
    assert (played(abort).sent, played(abort).done) == ([], "aborted")


def test_what_comes_after_the_end_is_dropped() -> None:
    async def play(gathered: Gathered, wire: Wire) -> None:
        wire.close()
        gathered.write(b"too late")
        await asyncio.sleep(0)

    assert played(play).sent == []


def test_a_client_that_says_that_it_sends_no_more_still_gets_a_refusal_whole() -> None:
    """Its end comes in the same turn as its answer."""
    with listening(application({"echo": Echo()})) as address:
        for _ in range(20):
            with socket.create_connection(address, timeout=5) as client:
                client.sendall(b"nonsense\r\n\r\n")
                client.shutdown(socket.SHUT_WR)
                found = b""
                while piece := client.recv(65_536):
                    found += piece
                assert found.startswith(b"HTTP/1.1 400 ")
                assert found.endswith(b"}}")
