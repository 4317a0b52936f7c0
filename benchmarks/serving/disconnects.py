"""Clients that leave at random points: what they leave behind in the server.

500 clients ask for long answers, streamed and whole, and leave: while they send the headers, in
the body, right after it, after some bytes of the answer, in the middle of a stream; closing
properly or with a reset. Then the server's queues, engine, tasks (requests in work), threads,
connections and file descriptors must be what they were. It exits with 1 where they are not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.serving import servers
from benchmarks.serving.client import Connection, post
from benchmarks.serving.figures import save, verdict

POINTS = ("headers", "body", "sent", "answer", "stream")


async def leave(
    port: int, point: str, rng: random.Random, tokens: int, *, model: str = "fp32"
) -> None:
    """One client that leaves at this point."""
    stream = point == "stream" or rng.random() < 0.5
    body = {"model": model, "prompt": f"Number {rng.random()}:", "max_tokens": tokens,
            "stream": stream}  # fmt: skip
    request = post(port, "/v1/completions", body)
    head = request.index(b"\r\n\r\n") + 4
    cut = {
        "headers": rng.randrange(1, head), "body": rng.randrange(head, len(request)),
    }.get(point, len(request))  # fmt: skip
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        writer.write(request[:cut])
        await writer.drain()
        async with asyncio.timeout(60):
            if point == "answer":
                await reader.readexactly(rng.randrange(1, 200))
            elif point == "stream":
                for _ in range(rng.randrange(1, 12)):
                    await reader.readline()
            else:
                await asyncio.sleep(rng.random() * 0.3)
    if rng.random() < 0.5:  # a reset, as of a process that is killed
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def all_leave(port: int, count: int, seed: int, tokens: int) -> Counter[str]:
    """So many clients, twenty at a time."""
    rng, places = random.Random(seed), asyncio.Semaphore(20)
    done: Counter[str] = Counter()

    async def one(point: str, own: int) -> None:
        async with places:
            await leave(port, point, random.Random(own), tokens)
            done[point] += 1

    points = [POINTS[number % len(POINTS)] for number in range(count)]
    await asyncio.gather(*(one(point, rng.randrange(2**32)) for point in points))
    return done


def state(server: servers.Server) -> dict[str, float]:
    """What the server holds."""
    return {
        "waiting": server.metric("tinyforge_waiting"),
        "running": server.metric("tinyforge_running"),
        "writing": server.metric("tinyforge_writing"),
        "connections": server.connections(),
        "descriptors": server.descriptors(),
        "threads": server.threads(),
    }


def settled(server: servers.Server, before: dict[str, float], seconds: float) -> dict[str, float]:
    """The state once it is as before, or after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        now = state(server)
        if all(now[key] <= before[key] for key in before) or time.monotonic() > end:
            return now
        time.sleep(0.5)


def main() -> int:
    """Run it."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--clients", type=int, default=500)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--tokens", type=int, default=400, help="of the answer they ask for")
    flags.add_argument("--prepared", type=Path, help="keep the models here for other runs")
    flags.add_argument("--json", action="store_true", help="print the whole result as JSON")
    flags.add_argument("--save", action="store_true", help="keep the result in results/")
    chosen = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="tinyforge-leaving-") as name:
        place = servers.prepared(chosen.prepared or Path(name), "writer")
        port = servers.free_port()
        words = servers.tinyforge(place / "writer/fp32", port)
        with servers.running(words, port=port, place=Path(name), threads=1) as server:
            asyncio.run(all_leave(port, 40, chosen.seed + 1, chosen.tokens))  # warm
            time.sleep(8)
            before = state(server)
            memory = server.memory()
            started = time.monotonic()
            left = asyncio.run(all_leave(port, chosen.clients, chosen.seed, chosen.tokens))
            seconds = time.monotonic() - started
            after = settled(server, before, 30)
            grown = server.memory() - memory
            body = {"model": "fp32", "prompt": "one more", "max_tokens": 8}
            seen, _ = asyncio.run(Connection(port).ask(post(port, "/v1/completions", body)))
            log = server.log.read_text("utf-8", errors="replace")
    leaked = {key: after[key] - before[key] for key in before if after[key] > before[key]}
    counts: dict[str, Any] = {
        "clients": sum(left.values()), "points": dict(left), "seconds": round(seconds, 1),
        "before": before, "after": after, "leaked": leaked, "memory_grown": grown,
        "tracebacks": log.count("Traceback"),
    }  # fmt: skip
    bad = [f"{key}: {value:g} more than before" for key, value in leaked.items()]
    if seen.status != 200:
        bad.append(f"it answers {seen.status} afterwards")
    if counts["tracebacks"]:
        bad.append(f"{counts['tracebacks']} tracebacks in its log")
    save("disconnects", {"benchmark": "serving.disconnects", **counts, "failed": bad}, chosen)
    return verdict("disconnects", counts, bad)


if __name__ == "__main__":
    sys.exit(main())
