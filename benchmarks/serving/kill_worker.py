"""kill -9 of a worker under load: what its clients saw, and how long until all is whole again.

Sixteen clients ask a small exported classifier all the time; every few seconds one of the workers
is killed. A client may see a broken connection (what it had asked is lost) or a plain refusal in
the one form; it must never see a wrong or a cut answer that looks whole. Whole again: as many
workers as before take requests. It exits with 1 where anything else was seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.serving import servers
from benchmarks.serving.client import Connection, post
from benchmarks.serving.figures import save, verdict

CLIENTS = 16
TEXT = "how do I send money to a friend"


async def story(server: servers.Server, kills: int, workers: int) -> dict[str, Any]:
    """The clients and the kills."""
    request = post(server.port, "/predict", {"input": TEXT})
    seen: Counter[str] = Counter()
    outputs: set[str] = set()
    longest = 0.0
    over = asyncio.Event()

    async def client() -> None:
        nonlocal longest
        connection = Connection(server.port)
        while not over.is_set():
            found, body = await connection.ask(request, keep=True)
            longest = max(longest, found.seconds)
            if not found.whole:
                seen[f"broken connection ({found.why})"] += 1
            elif found.status == 200:
                seen["answers"] += 1
                outputs.add(json.loads(body)["output"])
            elif "error" in json.loads(body):
                seen[f"refusal {found.status}"] += 1
            else:
                seen["something else"] += 1
        connection.close()

    tasks = [asyncio.create_task(client()) for _ in range(CLIENTS)]
    await asyncio.sleep(1.0)
    whole: list[float] = []
    for number in range(kills):
        victim = server.workers()[number % workers]
        victim.kill()
        started = time.perf_counter()
        while time.perf_counter() - started < 90:
            await asyncio.sleep(0.05)
            try:
                count = await asyncio.to_thread(server.metric, "tinyforge_workers")
                begun = await asyncio.to_thread(server.metric, "tinyforge_worker_restarts_total")
            except OSError:
                continue
            if count == workers and begun == number + 1:
                break
        whole.append(time.perf_counter() - started)
        await asyncio.sleep(1.0)
    over.set()
    await asyncio.gather(*tasks)
    restarts = await asyncio.to_thread(server.metric, "tinyforge_worker_restarts_total")
    return {"seen": dict(seen), "different_answers": len(outputs), "restarts": restarts,
            "seconds_until_whole": whole, "longest_wait": longest}  # fmt: skip


def main() -> int:
    """Run it."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--kills", type=int, default=3)
    flags.add_argument("--workers", type=int, default=2)
    flags.add_argument("--prepared", type=Path, help="keep the models here for other runs")
    flags.add_argument("--json", action="store_true", help="print the whole result as JSON")
    flags.add_argument("--save", action="store_true", help="keep the result in results/")
    chosen = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="tinyforge-kill-") as name:
        place = servers.prepared(chosen.prepared or Path(name), "tiny")
        port = servers.free_port()
        words = servers.tinyforge(place / "tiny/v1/fp32", port, workers=chosen.workers)
        with servers.running(words, port=port, place=Path(name)) as server:
            found = asyncio.run(story(server, chosen.kills, chosen.workers))
    bad = []
    if found["different_answers"] != 1:
        bad.append(f"{found['different_answers']} answers to one question")
    if found["seen"].get("something else"):
        bad.append(f"{found['seen']['something else']} answers of another form")
    if found["restarts"] != chosen.kills:
        bad.append(f"{found['restarts']} restarts after {chosen.kills} kills")
    if max(found["seconds_until_whole"]) >= 90:
        bad.append("it was not whole again after 90 s")
    save("kill_worker", {"benchmark": "serving.kill_worker", **found, "failed": bad}, chosen)
    counts = {
        **found["seen"], "kills": chosen.kills,
        "seconds until whole": [round(each, 1) for each in found["seconds_until_whole"]],
        "longest wait": round(found["longest_wait"], 2),
    }  # fmt: skip
    return verdict("kill_worker", counts, bad)


if __name__ == "__main__":
    sys.exit(main())
