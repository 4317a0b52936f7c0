"""60 slow sockets, against TinyForge and against plain uvicorn.

Ten of each kind, all opened together: headers that come a byte a second; a body that does; a body
that does after its request was refused; a socket that says nothing; a reader who takes nothing of
what it has asked for; one who takes a byte a second. While they last, ``/health`` is asked twice a
second. Told are the sockets that the server still holds after 10 s and after 30 s, and how long
health took. It exits with 1 if TinyForge holds one after 10 s, or health fails or takes over 2 s.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.serving import servers
from benchmarks.serving.figures import percentile, save, say, verdict

EACH = 10
KINDS = ("headers", "body", "refused body", "silent", "takes nothing", "takes a byte")
LARGE = 4_000_000
"""Bytes that the readers ask for and do not take; the system itself keeps up to three million."""


def opened(kind: str, port: int, documents: int) -> socket.socket:
    """A slow socket that has sent its beginning; readers ask for so many documents."""
    found = socket.socket()
    if kind.startswith("takes"):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    found.settimeout(20)
    found.connect(("127.0.0.1", port))
    host = "evil.example" if kind == "refused body" else "127.0.0.1"
    path = "/nothing" if kind == "refused body" else "/predict"
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    if kind == "headers":
        found.sendall(head.encode()[:30])
    elif "body" in kind:
        found.sendall(f"{head}Content-Length: 900\r\n\r\n{{".encode())
    elif kind.startswith("takes"):
        found.settimeout(0.5)
        one = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        with contextlib.suppress(OSError):
            found.sendall(one * documents)
    return found


def held(server: servers.Server, ports: set[int]) -> int:
    """How many of these clients' connections the server still has."""
    count = 0
    for each in server.tree():
        for connection in each.net_connections("tcp"):
            count += bool(connection.raddr) and connection.raddr.port in ports
    return count


def abuse(words: list[str], port: int, place: Path, seconds: float) -> dict[str, Any]:
    """All sockets against one server."""
    with servers.running(words, port=port, place=place, threads=1) as server:
        waits: list[float] = []
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.5):
                started = time.perf_counter()
                try:
                    urllib.request.urlopen(f"{server.url}/health", timeout=10).close()
                    waits.append(time.perf_counter() - started)
                except OSError:
                    waits.append(float("inf"))

        watching = threading.Thread(target=watch)
        watching.start()
        with urllib.request.urlopen(f"{server.url}/openapi.json", timeout=30) as answer:
            documents = LARGE // len(answer.read()) + 1
        sockets = [(kind, opened(kind, port, documents)) for kind in KINDS for _ in range(EACH)]
        ports = {each.getsockname()[1]: kind for kind, each in sockets}
        started = time.perf_counter()
        counts, empty = {}, None
        for moment in range(int(seconds) + 1):
            time.sleep(max(0.0, started + moment - time.perf_counter()))
            still = held(server, set(ports))
            if moment in (0, 10, 30):
                counts[f"after {moment} s"] = still
            if not still and empty is None:
                empty = time.perf_counter() - started
            for kind, each in sockets:
                with contextlib.suppress(OSError):
                    if kind in ("headers", "body", "refused body"):
                        each.send(b"a")
                    elif kind == "takes a byte":
                        each.settimeout(0.01)
                        each.recv(1)
        kinds = {
            kind: held(server, {port for port, own in ports.items() if own == kind})
            for kind in KINDS
        }
        over.set()
        watching.join()
        for _, each in sockets:
            each.close()
    return {
        "held": counts, "held_at_the_end": kinds, "all_closed_after": empty,
        "health_asked": len(waits), "health_failed": sum(w == float("inf") for w in waits),
        "health_p99": percentile([w for w in waits if w != float("inf")], 99),
    }  # fmt: skip


def main() -> int:
    """Run it."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--seconds", type=float, default=30.0)
    flags.add_argument("--prepared", type=Path, help="keep the models here for other runs")
    flags.add_argument("--json", action="store_true", help="print the whole result as JSON")
    flags.add_argument("--save", action="store_true", help="keep the result in results/")
    chosen = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="tinyforge-slow-") as name:
        place = servers.prepared(chosen.prepared or Path(name), "tiny")
        port = servers.free_port()
        plain = [sys.executable, "-m", "uvicorn", "benchmarks.serving.plain_echo:app",
                 "--port", str(port), "--log-level", "error", "--http", "h11"]  # fmt: skip
        sides = {"plain uvicorn": abuse(plain, port, Path(name), chosen.seconds)}
        port = servers.free_port()
        ours = servers.tinyforge(place / "tiny/v1/fp32", port)
        sides["tinyforge"] = abuse(ours, port, Path(name), chosen.seconds)
    for side, found in sides.items():
        say(f"{side}: {found}")
    own = sides["tinyforge"]
    bad = []
    if own["held"]["after 10 s"]:
        bad.append(f"{own['held']['after 10 s']} sockets are held after 10 s")
    if own["health_failed"] or (own["health_p99"] or 0) > 2:
        bad.append(f"health failed {own['health_failed']} times, p99 {own['health_p99']:.2f} s")
    save("slow_sockets", {"benchmark": "serving.slow_sockets", **sides, "failed": bad}, chosen)
    counts = {side: found["held"] for side, found in sides.items()}
    return verdict("slow_sockets", counts, bad)


if __name__ == "__main__":
    sys.exit(main())
