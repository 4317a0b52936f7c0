"""Servers in processes of their own: started, waited for, watched, ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.speed import harness

READY_SECONDS = 240.0


def prepared(place: Path, *kinds: str) -> Path:
    """A folder with the smallest models of these kinds, made unless they are there."""
    words = [sys.executable, "-m", "benchmarks.serving.prepare", str(place), "quick", *kinds]
    place.mkdir(parents=True, exist_ok=True)
    harness.run(words, threads=1, log=place / "prepare.txt")
    return place


@dataclass
class Server:
    """A server that runs.

    Attributes:
        sizes: its resident memory, all its processes together, with the time; twice a second.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    sizes: list[tuple[float, int]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def tree(self) -> list[psutil.Process]:
        """It and all that it has started."""
        try:
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """What it has started."""
        return self.tree()[1:]

    def memory(self) -> int:
        """Resident bytes now; what processes share counts once (proportional set size)."""
        total = 0
        for each in self.tree():
            with contextlib.suppress(psutil.Error):
                total += each.memory_full_info().pss
        return total

    def descriptors(self) -> int:
        """Open files and sockets now."""
        total = 0
        for each in self.tree():
            with contextlib.suppress(psutil.Error):
                total += each.num_fds()
        return total

    def connections(self) -> int:
        """Established TCP connections now, as the server's processes hold them."""
        total = 0
        for each in self.tree():
            with contextlib.suppress(psutil.Error):
                held = each.net_connections("tcp")
                total += sum(c.status not in ("LISTEN", "NONE") for c in held)
        return total

    def threads(self) -> int:
        """Threads now."""
        total = 0
        for each in self.tree():
            with contextlib.suppress(psutil.Error):
                total += each.num_threads()
        return total

    def metric(self, name: str) -> float:
        """One of our metrics, all its labels together; 0 where it is not there."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        found = [line.rsplit(" ", 1) for line in lines if line.startswith(name)]
        return sum(float(v) for n, v in found if n == name or n.startswith(name + "{"))

    def watch(self) -> None:
        """Take down its memory until it is over."""
        while not self.over.wait(0.5):
            self.sizes.append((time.perf_counter(), self.memory()))


@contextlib.contextmanager
def running(
    words: Sequence[str],
    *,
    port: int,
    place: Path,
    ready: str = "/health",
    threads: int = 2,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A server, once it is ready; ended in the end.

    Raises:
        RuntimeError: it does not become ready.
    """
    log = place / f"server-{port}.txt"
    given = {
        **os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore",
        **(environment or {}),
    }  # fmt: skip
    with log.open("wb") as file:
        process = subprocess.Popen(list(words), stdout=file, stderr=file, env=given)
    server = Server(process, port, log)
    watching = threading.Thread(target=server.watch, daemon=True)
    try:
        _wait(server, ready)
        watching.start()
        yield server
    finally:
        server.over.set()
        left = server.tree()
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.kill()
        process.wait()
        if watching.is_alive():
            watching.join(5)


def _wait(server: Server, route: str) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if server.process.poll() is not None:
            break
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(server.url + route, timeout=5) as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the server does not start: {tail(server.log)}")


def tail(log: Path) -> str:
    """The end of what it wrote."""
    return log.read_text("utf-8", errors="replace")[-400:]


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def tinyforge(model: Path, port: int, *settings: str, workers: int = 1) -> list[str]:
    """The command that serves a model with TinyForge."""
    words = [sys.executable, "-m", "tinyforge.cli.main", "serve", str(model)]
    words += ["--port", str(port), "--workers", str(workers)]
    for each in ("log_requests=false", *settings):
        words += ["--set", each]
    return words


def llama_server() -> str | None:
    """llama.cpp's own server; None where there is none."""
    beside = Path(sys.executable).with_name("llama-server")
    return shutil.which("llama-server") or (str(beside) if beside.is_file() else None)
