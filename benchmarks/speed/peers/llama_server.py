"""llama.cpp's own server, a process beside a small client that streams every answer over HTTP.

The client asks with token ids and looks only at where an event begins and which is the last, so
that it takes next to nothing from the server's processors.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.speed.arrivals import MOST
from benchmarks.speed.harness import read_spec, write_json
from benchmarks.speed.peers.llama_loop import PROMPT

READY = 60.0
"""Seconds that the server may take to start."""

SILENCE = 60.0
"""Seconds that it may take for one token."""

Request = dict[str, Any]


def start(spec: dict[str, Any], port: int, folder: Path) -> subprocess.Popen[bytes]:
    """The server, ready to answer."""
    streams = spec["streams"]
    words = [
        spec["server"], "--model", str(Path(spec["prepared"]) / f"{spec['precision']}.gguf"),
        "--ctx-size", str((PROMPT + MOST) * streams), "--parallel", str(streams), "--cont-batching",
        "--threads", str(spec["threads"]), "--threads-batch", str(spec["threads"]),
        "--threads-http", "1", "--host", "127.0.0.1", "--port", str(port), "--log-disable",
    ]  # fmt: skip
    with (folder / "server.txt").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
    end = time.monotonic() + READY
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                if answer.status == 200:
                    return process
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    process.kill()
    raise SystemExit(f"the server did not start: {(folder / 'server.txt').read_text()[-300:]!r}")


async def ask(port: int, request: Request, started: float) -> dict[str, float]:
    """One request, at its time."""
    await asyncio.sleep(max(0.0, request["arrives"] - (time.perf_counter() - started)))
    body = json.dumps(
        {
            "prompt": request["ids"], "n_predict": request["new"], "temperature": 0.0,
            "top_k": 1, "samplers": ["top_k"], "ignore_eos": True, "stream": True,
            "cache_prompt": False,
        }
    ).encode()  # fmt: skip
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        "POST /completion HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    stamps, last = [], b""
    while line := await asyncio.wait_for(reader.readline(), SILENCE):
        if line.startswith(b"data: "):
            stamps.append(time.perf_counter() - started)
            last = line
            if b'"stop":true' in line:
                break
    writer.close()
    told = json.loads(last[6:]) if last else {}
    return {
        "arrives": request["arrives"], "first": stamps[0], "end": stamps[-1],
        "tokens": told.get("tokens_predicted", 0), "wanted": request["new"],
    }  # fmt: skip


async def serve(port: int, requests: list[Request]) -> list[dict[str, float]]:
    """One burst."""
    started = time.perf_counter()
    return list(await asyncio.gather(*(ask(port, request, started) for request in requests)))


def main() -> None:
    """Serve the bursts one after the other."""
    spec = read_spec()
    folder = Path(spec["folder"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start(spec, port, folder)
    try:
        asyncio.run(serve(port, [{**spec["bursts"][0][0], "new": 16}]))  # warm
        bursts = [asyncio.run(serve(port, requests)) for requests in spec["bursts"]]
    finally:
        process.kill()
        process.wait()
    write_json(folder / "result.json", {"bursts": bursts})


if __name__ == "__main__":
    main()
