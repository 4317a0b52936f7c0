"""A hot reload and going back, under load: 200 requests across each, and none may be lost.

A server with two workers and a small exported classifier; four clients ask all the time. A new
version is written over the old one's files, then SIGHUP; later SIGUSR1. Every answer must be whole,
name one of the two versions, and say what that version says. It exits with 1 where one does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.serving import servers
from benchmarks.serving.client import Connection, Seen, post
from benchmarks.serving.figures import save, verdict

CLIENTS = 4
TEXT = "please tell me why this payment was made twice"


async def across(server: servers.Server, number: int, count: int) -> tuple[list[Any], float]:
    """So many requests, at least half of them after a signal; then on until one version answers.

    Returns:
        Each answer with its body, and the seconds from the signal until every one of the last
        forty answers was given by one other version than before.
    """
    found: list[tuple[Seen, dict[str, Any]]] = []
    request = post(server.port, "/predict", {"input": TEXT, "scores": True})
    over = asyncio.Event()

    async def client() -> None:
        connection = Connection(server.port)
        while not over.is_set():
            seen, body = await connection.ask(request, keep=True)
            found.append((seen, json.loads(body) if seen.whole else {}))
        connection.close()

    tasks = [asyncio.create_task(client()) for _ in range(CLIENTS)]
    while len(found) < count // 2:
        await asyncio.sleep(0.005)
    before = found[0][1].get("version")
    started = time.perf_counter()
    os.kill(server.process.pid, number)
    end = started + 120
    while time.perf_counter() < end:
        late = {body.get("version") for _, body in found[-40:]}
        if len(found) >= count and len(late) == 1 and before not in late:
            break
        await asyncio.sleep(0.005)
    took = time.perf_counter() - started
    over.set()
    await asyncio.gather(*tasks)
    return found, took


def main() -> int:
    """Run it."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--requests", type=int, default=200, help="across each change (200)")
    flags.add_argument("--workers", type=int, default=2)
    flags.add_argument("--prepared", type=Path, help="keep the models here for other runs")
    flags.add_argument("--json", action="store_true", help="print the whole result as JSON")
    flags.add_argument("--save", action="store_true", help="keep the result in results/")
    chosen = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="tinyforge-reload-") as name:
        place = servers.prepared(chosen.prepared or Path(name), "tiny")
        live = Path(name) / "live"
        shutil.copytree(place / "tiny/v1/fp32", live)
        port = servers.free_port()
        words = servers.tinyforge(live, port, workers=chosen.workers)
        with servers.running(words, port=port, place=Path(name)) as server:
            shutil.copytree(place / "tiny/v2/fp32", live, dirs_exist_ok=True)
            there, seconds = asyncio.run(across(server, signal.SIGHUP, chosen.requests))
            back, again = asyncio.run(across(server, signal.SIGUSR1, chosen.requests))
    answers = [*there, *back]
    says: dict[str, Counter[str]] = {}
    for _, body in answers:
        says.setdefault(str(body.get("version")), Counter())[json.dumps(body.get("scores"))] += 1
    first, last = there[0][1].get("version"), there[-1][1].get("version")
    counts = {
        "requests": len(answers),
        "lost": sum(not seen.whole or seen.status != 200 for seen, _ in answers),
        "unnamed": sum(not body.get("version") for _, body in answers),
        "versions": {version: sum(found.values()) for version, found in says.items()},
        "seconds_to_new": round(seconds, 2), "seconds_back": round(again, 2),
        "slowest_answer": round(max(seen.seconds for seen, _ in answers), 3),
    }  # fmt: skip
    bad = [f"{key}: {counts[key]}" for key in ("lost", "unnamed") if counts[key]]
    if len(says) != 2 or first == last:
        bad.append(f"{len(says)} versions answered instead of 2")
    if back[-1][1].get("version") != first:
        bad.append("it did not go back to the version before")
    bad += [f"version {version} says {len(found)} things of one text"
            for version, found in says.items() if len(found) != 1]  # fmt: skip
    result = {"benchmark": "serving.reload", "workers": chosen.workers, **counts, "failed": bad}
    save("reload", result, chosen)
    return verdict("reload", counts, bad)


if __name__ == "__main__":
    sys.exit(main())
