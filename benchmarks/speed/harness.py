"""Fresh processes, one at a time, and what each of them took.

The process that starts the others stays small: on Linux a child's peak memory is never less than
what its parent held when it was started, so nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""

LAST_LINES = 25


@dataclass(frozen=True)
class Ended:
    """A process that ended well: seconds from its start, and bytes at its peak."""

    seconds: float
    peak_bytes: int


class ChildError(Exception):
    """A process ended with an error; the message holds the end of what it wrote."""


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of this folder."""
    return [sys.executable, "-m", f"benchmarks.speed.{name}", *arguments]


def environment(threads: int) -> dict[str, str]:
    """The same for every side: the number of threads, no hub, no notices on the terminal."""
    count = str(threads)
    return {
        **os.environ,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "true",
        "WANDB_DISABLED": "true",
        "PYTHONWARNINGS": "ignore",
    }


def start(command: Sequence[str], *, threads: int, log: Path) -> subprocess.Popen[bytes]:
    """A process whose output goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        return subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment(threads)
        )


def run(command: Sequence[str], *, threads: int, log: Path) -> Ended:
    """Run a process to its end.

    Raises:
        ChildError: it did not end with 0.
    """
    started = time.perf_counter()
    process = start(command, threads=threads, log=log)
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise ChildError(f"{' '.join(command)} ended with {process.returncode}:\n{tail(log)}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Ended(seconds, usage.ru_maxrss * unit)


def until(
    command: Sequence[str], happened: Callable[[], bool], *, threads: int, log: Path
) -> float:
    """Seconds from a process's start until something has happened; it is stopped then.

    Raises:
        ChildError: it ended before.
    """
    started = time.perf_counter()
    process = start(command, threads=threads, log=log)
    try:
        while not happened():
            if process.poll() is not None and not happened():
                raise ChildError(f"{' '.join(command)} ended too early:\n{tail(log)}")
            time.sleep(0.002)
        return time.perf_counter() - started
    finally:
        process.kill()
        process.wait()


def run_program(name: str, spec: dict[str, Any], folder: Path, *, threads: int) -> Ended:
    """Run a module of this folder that reads what to do from a JSON file."""
    return run(program(name, spec, folder), threads=threads, log=folder / "log.txt")


def program(name: str, spec: dict[str, Any], folder: Path) -> list[str]:
    """The command for ``run_program``; writes the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.json"
    path.write_text(json.dumps({**spec, "folder": str(folder)}, indent=1), encoding="utf-8")
    return module(name, str(path))


def read_spec() -> dict[str, Any]:
    """For a program: what it was asked to do."""
    spec: dict[str, Any] = read_json(Path(sys.argv[1]))
    return spec


def read_json(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """A JSON file for people and programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_lines(path: Path) -> list[Any]:
    """A JSON Lines file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def tail(log: Path) -> str:
    """The last lines that a process wrote."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])


def say(text: str) -> None:
    """A line for the person who waits; the result goes to standard output."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tinyforge-speed-") as name:
        yield Path(name)
