"""Hours of mixed requests to one server: does it grow?

A server with a tiny classifier and a tiny writing model, and few places. For ``--minutes`` it is
asked for labels, streamed chats, vectors, metrics, and what it has to refuse; some clients leave in
the middle, now and then more come than there are places, and now and then the classifier's files
are replaced and loaded anew. Every few seconds the memory, threads, descriptors and connections of
its processes are taken down.

Told is how many MiB an hour the memory grows, by a straight line through the means of ``BLOCKS``
stretches of time (one sample says little, and neighbours are alike), with the 95 % interval of its
slope; the first minutes, in which caches fill, are left out. It exits with 1 where even the lower
end of the interval is above ``--most``, where threads, descriptors or connections are left over
once nobody asks any more, or where an answer was a server error or broke off.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving import servers
from benchmarks.serving.client import Connection, post
from benchmarks.serving.disconnects import POINTS, leave
from benchmarks.serving.figures import Slope, save, say, slope, verdict

EVERY = 5.0
"""Seconds between two samples."""
BLOCKS = 20
RELOAD, BURST = 60.0, 7.0
"""Seconds between two reloads, and between two bursts of more clients than there are places."""
CROWD = 24
"""Clients of a burst; the server has 8 places."""
SETTLE = 30.0
"""Seconds in which all that belongs to requests has to be gone when nobody asks any more."""
WORDS = ["card", "money", "friend", "number", "question", "pay", "send", "week", "please", "cost"]


@dataclass(frozen=True)
class Sample:
    """What the server's processes take at a moment.

    Attributes:
        seconds: since the beginning.
        memory: bytes, what processes share counted once.
    """

    seconds: float
    memory: int
    threads: int
    descriptors: int
    connections: int


class Soak:
    """The clients.

    Attributes:
        seen: how many answers there were of each kind and status.
        bad: what should not have been.
    """

    def __init__(self, server: servers.Server, live: Path, versions: list[Path], seed: int) -> None:
        self._server, self._live, self._versions = server, live, versions
        self._random = random.Random(seed)
        self._over: asyncio.Event
        self.seen: Counter[str] = Counter()
        self.bad: list[str] = []

    async def run(self, seconds: float) -> list[Sample]:
        """All of them for so long; what was taken down meanwhile."""
        self._over = asyncio.Event()
        work = [
            self._again(self._label), self._again(self._label), self._again(self._chat),
            self._again(self._chat), self._again(self._vector), self._again(self._wrong),
            self._again(self._leaver), self._now_and_then(BURST, self._burst),
            self._now_and_then(RELOAD, self._reload),
        ]  # fmt: skip
        tasks = [asyncio.create_task(each) for each in work]
        started, samples = time.monotonic(), []
        while (passed := time.monotonic() - started) < seconds:
            samples.append(await asyncio.to_thread(sample, self._server, passed))
            await asyncio.sleep(EVERY)
        self._over.set()
        await asyncio.gather(*tasks)
        return samples

    async def _again(self, ask: Callable[[Connection], Awaitable[None]]) -> None:
        connection = Connection(self._server.port, again=True)
        while not self._over.is_set():
            await ask(connection)
            await asyncio.sleep(self._random.random() * 0.05)
        connection.close()

    async def _now_and_then(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        while not self._over.is_set():
            await do()
            try:
                await asyncio.wait_for(self._over.wait(), seconds)
            except TimeoutError:
                continue

    async def _ask(
        self, connection: Connection, kind: str, path: str, body: Any, *, wanted: set[int]
    ) -> None:
        seen, _ = await connection.ask(post(self._server.port, path, body))
        self.seen[f"{kind} {seen.status}"] += 1
        if not seen.whole or seen.status not in wanted:
            self.bad.append(f"{kind}: status {seen.status} {seen.why}")

    async def _label(self, connection: Connection) -> None:
        several = self._random.random() < 0.3
        given: Any = [self._text() for _ in range(8)] if several else self._text()
        body = {"model": "labels", "input": given, "scores": several}
        await self._ask(connection, "label", "/predict", body, wanted={200, 429})

    async def _chat(self, connection: Connection) -> None:
        body = {
            "model": "writer", "prompt": self._text(), "stream": self._random.random() < 0.7,
            "max_tokens": self._random.randrange(4, 64), "temperature": self._random.choice([0, 1]),
            "n": self._random.choice([1, 1, 2]),
        }  # fmt: skip
        await self._ask(connection, "writing", "/v1/completions", body, wanted={200, 429})

    async def _vector(self, connection: Connection) -> None:
        body = {"model": "labels", "input": [self._text()]}
        await self._ask(connection, "vector", "/v1/embeddings", body, wanted={200, 400, 429})
        request = f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{self._server.port}\r\n\r\n"
        seen, _ = await connection.ask(request.encode())
        self.seen[f"metrics {seen.status}"] += 1

    async def _wrong(self, connection: Connection) -> None:
        name = "".join(self._random.choices("abcdefgh", k=8))
        body = self._random.choice(
            [{"input": self._text(), name: 1}, {"input": 5}, {"input": self._text(), "model": name}]
        )
        await self._ask(connection, "wrong", "/predict", body, wanted={400, 404, 429})

    async def _leaver(self, connection: Connection) -> None:
        point = self._random.choice(POINTS)
        chance = random.Random(self._random.random())
        await leave(self._server.port, point, chance, 200, model="writer")
        self.seen["left"] += 1

    async def _burst(self) -> None:
        async def one() -> None:
            connection = Connection(self._server.port)
            body = {"model": "writer", "prompt": self._text(), "max_tokens": 64}
            await self._ask(connection, "crowd", "/v1/completions", body, wanted={200, 429})
            connection.close()

        await asyncio.gather(*(one() for _ in range(CROWD)))

    async def _reload(self) -> None:
        source = self._versions[self.seen["reloads"] % len(self._versions)]
        await asyncio.to_thread(shutil.copytree, source, self._live, dirs_exist_ok=True)
        os.kill(self._server.process.pid, signal.SIGHUP)
        self.seen["reloads"] += 1

    def _text(self) -> str:
        return " ".join(self._random.choices(WORDS, k=self._random.randrange(1, 60)))


def sample(server: servers.Server, seconds: float) -> Sample:
    """What the server's processes take now."""
    return Sample(
        seconds, server.memory(), server.threads(), server.descriptors(), server.connections()
    )


def settled(server: servers.Server, before: Sample) -> Sample:
    """What they take once nothing is left over, or after ``SETTLE`` seconds."""
    end = time.monotonic() + SETTLE
    while True:
        now = sample(server, 0.0)
        if time.monotonic() > end or not left_over(before, now):
            return now
        time.sleep(0.5)


def left_over(before: Sample, after: Sample) -> dict[str, int]:
    """What there is more of than before, memory apart."""
    names = ("threads", "descriptors", "connections")
    more = {name: getattr(after, name) - getattr(before, name) for name in names}
    return {name: count for name, count in more.items() if count > 0}


def growth(samples: list[Sample], left_out: float) -> Slope:
    """MiB an hour."""
    kept = [each for each in samples if each.seconds >= left_out]
    hours = [each.seconds / 3_600 for each in kept]
    return slope(hours, [each.memory / 2**20 for each in kept], blocks=BLOCKS)


def main() -> int:
    """Run it."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--minutes", type=float, default=60.0)
    flags.add_argument(
        "--left-out", type=float, help="minutes at the beginning; default: a quarter"
    )
    flags.add_argument("--most", type=float, default=2.0, help="MiB an hour it may grow (2)")
    flags.add_argument("--threads", type=int, default=1, help="of the server (1)")
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--prepared", type=Path, help="keep the models here for other runs")
    flags.add_argument("--json", action="store_true", help="print the whole result as JSON")
    flags.add_argument("--save", action="store_true", help="keep the result in results/")
    chosen = flags.parse_args()
    left_out = 60 * (chosen.minutes / 4 if chosen.left_out is None else chosen.left_out)
    if 60 * chosen.minutes - left_out < 4 * BLOCKS * EVERY:
        flags.error("too short to tell a slope: at least 9 minutes, of which 7 are kept")
    with tempfile.TemporaryDirectory(prefix="tinyforge-soak-") as name:
        place = servers.prepared(chosen.prepared or Path(name), "writer", "tiny")
        versions = [place / "tiny/v2/fp32", place / "tiny/v1/fp32"]
        live = Path(name) / "live"
        shutil.copytree(versions[1], live)
        port = servers.free_port()
        words = servers.tinyforge(live, port, "max_waiting=4", "parallel_texts=4")
        words[words.index(str(live))] = f"labels={live}"
        words.insert(words.index("--port"), f"writer={place / 'writer/fp32'}")
        with servers.running(words, port=port, place=Path(name), threads=chosen.threads) as server:
            soak = Soak(server, live, versions, chosen.seed)
            asyncio.run(soak.run(20))  # threads and pools that are there from then on
            before = settled(server, Sample(0, 0, 0, 0, 0))
            say(f"it begins with {before}")
            samples = asyncio.run(soak.run(60 * chosen.minutes))
            after = settled(server, before)
            log = server.log.read_text("utf-8", errors="replace")
    grown = growth(samples, left_out)
    leaked = left_over(before, after)
    counts: dict[str, Any] = {
        "minutes": chosen.minutes, "MiB an hour": str(grown), "seen": dict(soak.seen),
        "memory at the beginning, end": [each.memory // 2**20 for each in (before, after)],
        "left over": leaked, "tracebacks": log.count("Traceback"),
    }  # fmt: skip
    bad = [*soak.bad[:20], *(f"{name}: {more} more than before" for name, more in leaked.items())]
    if grown.low > chosen.most:
        bad.append(f"it grows by {grown} MiB an hour")
    if counts["tracebacks"]:
        bad.append(f"{counts['tracebacks']} tracebacks in its log")
    result = {
        "benchmark": "serving.soak", "minutes": chosen.minutes, "left_out_seconds": left_out,
        "growth_mib_per_hour": asdict(grown), "seen": dict(soak.seen), "left_over": leaked,
        "samples": [asdict(each) for each in samples], "failed": bad,
    }  # fmt: skip
    save("soak", result, chosen)
    return verdict("soak", counts, bad)


if __name__ == "__main__":
    sys.exit(main())
