"""The client: a program of its own that asks a server from many connections, and times answers.

It writes requests made beforehand to plain sockets and reads of an answer only what it must, so
that it takes little of the two cores; what it took is told (``client_seconds``).
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

SILENCE = 300.0
"""Seconds that a server may take for anything."""

PAUSE = 0.1
"""Seconds before a client asks again that has not got its answer, where nothing else is said."""


@dataclass
class Seen:
    """One answer.

    Attributes:
        status: of HTTP; 0: the connection broke.
        seconds: to the answer's end.
        first: to the first piece of a stream; of other answers, as ``seconds``.
        tokens: pieces of a stream, or the tokens that the usage tells.
        whole: whether the answer came to its end.
        began: seconds from the start of all.
        why: what broke.
        version: which version the answer names.
        retry_after: seconds after which the server says that it may be asked again.
    """

    status: int = 0
    seconds: float = 0.0
    first: float = 0.0
    tokens: int = 0
    whole: bool = False
    began: float = 0.0
    why: str = ""
    version: str = ""
    retry_after: float = 0.0


class Connection:
    """One keep-alive connection, opened anew when it is closed.

    Args:
        again: ask again, once, where the server has closed a connection that was used before
            without a word of an answer, as clients do.
    """

    def __init__(self, port: int, *, again: bool = False) -> None:
        self._port, self._again = port, again
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes, *, keep: bool = False) -> tuple[Seen, bytes]:
        """Send a request and read its answer; with ``keep`` its body is returned."""
        used = self._writer is not None
        seen, body = await self._ask(request, keep)
        if self._again and used and not seen.whole and not seen.status:
            seen, body = await self._ask(request, keep)
        return seen, body

    async def _ask(self, request: bytes, keep: bool) -> tuple[Seen, bytes]:
        seen, started = Seen(), time.perf_counter()
        body = b""
        try:
            async with asyncio.timeout(SILENCE):
                if self._writer is None:
                    opened = await asyncio.open_connection("127.0.0.1", self._port)
                    self._reader, self._writer = opened
                self._writer.write(request)
                body = await self._read(seen, started, keep)
            seen.whole = True
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            seen.why = type(error).__name__
            self.close()
        seen.seconds = time.perf_counter() - started
        seen.first = seen.first or seen.seconds
        return seen, body

    async def _read(self, seen: Seen, started: float, keep: bool) -> bytes:
        reader = self._reader
        if reader is None:
            raise EOFError
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        seen.status = int(head.split(b" ", 2)[1])
        told = head.partition(b"\r\nretry-after:")[2].split(b"\r\n", 1)[0].strip()
        seen.retry_after = float(told) if told.isdigit() else 0.0
        if b"transfer-encoding: chunked" in head:
            body = await self._read_chunks(reader, seen, started, keep)
        else:
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            body = await reader.readexactly(length)
        if b"connection: close" in head:
            self.close()
        return body

    async def _read_chunks(
        self, reader: asyncio.StreamReader, seen: Seen, started: float, keep: bool
    ) -> bytes:
        parts, tail = [], b""
        while size := int((await reader.readline()) or b"x", 16):
            chunk = (await reader.readexactly(size + 2))[:-2]
            pieces = chunk.count(b'"text"')
            if pieces and not seen.tokens:
                seen.first = time.perf_counter() - started
            seen.tokens += pieces
            tail = (tail + chunk)[-2_000:]
            if keep:
                parts.append(chunk)
        await reader.readline()
        told = tail.rpartition(b'"completion_tokens":')[2]
        digits = told.lstrip().split(b",")[0].split(b"}")[0].strip()
        if b'"completion_tokens":' in tail and digits.isdigit():
            seen.tokens = int(digits)
        return b"".join(parts)

    def close(self) -> None:
        """Drop it."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def post(port: int, path: str, body: Any, *more: str) -> bytes:
    """A request's bytes."""
    content = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json",
        f"Content-Length: {len(content)}", *more,
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def load(spec: dict[str, Any]) -> dict[str, Any]:
    """So many clients that each ask again when they have their answer, for so many seconds.

    It goes on, up to three times as long, until there are as many answers as clients; then what
    is still open is cut, and counts with the time that it has taken so far. What a client does that
    is refused says ``refused``: ``at once`` it asks again at once; ``as told`` when the server's
    ``Retry-After`` says, as OpenAI's client does; where nothing is said, after a tenth of a second.
    """
    requests = [post(spec["port"], spec["path"], body) for body in spec["bodies"]]
    warm = Connection(spec["port"])
    for request in requests[:2]:  # also waits until a server has dealt with what was cut before
        await warm.ask(request)
    warm.close()
    started = time.perf_counter()
    usage = _spent()
    found: list[Seen] = []
    over = asyncio.Event()

    async def client(number: int) -> None:
        connection, turn = Connection(spec["port"], again=True), number
        await asyncio.sleep(number / spec["clients"] * min(0.5, spec["seconds"] / 4))
        while not over.is_set():
            began = time.perf_counter()
            try:
                seen, _ = await connection.ask(requests[turn % len(requests)])
            except asyncio.CancelledError:
                took = time.perf_counter() - began
                found.append(Seen(seconds=took, first=took, began=began - started, why="cut"))
                connection.close()
                return
            seen.began = began - started
            found.append(seen)
            turn += spec["clients"]
            if seen.status != 200:
                await asyncio.sleep(_pause(seen, spec.get("refused", "")))

    clients = [asyncio.create_task(client(number)) for number in range(spec["clients"])]
    while (took := time.perf_counter() - started) < 3 * spec["seconds"]:
        await asyncio.sleep(0.05)
        if took >= spec["seconds"] and sum(seen.whole for seen in found) >= spec["clients"]:
            break
    took = time.perf_counter() - started
    over.set()
    for task in clients:
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    seen = [asdict(each) for each in found]
    return {"took": took, "client_seconds": _spent() - usage, "seen": seen}


def _pause(seen: Seen, refused: str) -> float:
    """Seconds until a client asks again that has not got its answer."""
    if seen.status not in (429, 503):
        return PAUSE
    return {"at once": 0.0, "as told": seen.retry_after or PAUSE}.get(refused, PAUSE)


def _spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Read what to do as JSON from standard input; write what was seen as JSON."""
    json.dump(asyncio.run(load(json.load(sys.stdin))), sys.stdout)


if __name__ == "__main__":
    main()
