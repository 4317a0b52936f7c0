"""``tinyforge serve`` in a process of its own, as a user starts it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from onnx_folders import tables, write_classifier

from tinyforge.artifacts.manifest import write_manifest

COMMAND = [sys.executable, "-m", "tinyforge.cli.main", "serve"]


@dataclass
class Serving:
    """A server.

    Attributes:
        process: the one that was started; with ``--workers`` it answers nothing itself.
        address: where it answers.
        lines: what it has written to standard error.
    """

    process: subprocess.Popen[str]
    address: str
    lines: list[str] = field(default_factory=list)

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        return psutil.Process(self.process.pid).children()


@contextlib.contextmanager
def serving(*words: str, **environment: str) -> Iterator[Serving]:
    """A server on a free port, once it takes requests; ended at once when this is left."""
    given = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    with subprocess.Popen(
        [*COMMAND, *words, "--port", "0"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True, env=given,
    ) as process:  # fmt: skip
        found = Serving(process, "")
        try:
            for line in process.stderr or ():
                found.lines.append(line)
                if line.startswith("serving at "):
                    found.address = line.split()[-1]
                    break
            else:
                raise AssertionError("".join(found.lines))
            reading = threading.Thread(target=found.lines.extend, args=[process.stderr])
            reading.start()
            yield found
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                for each in psutil.Process(process.pid).children():
                    each.kill()
            process.kill()


def write_version(folder: Path, number: int) -> Path:
    """An exported classifier; one with an odd number says ``good`` where others say otherwise."""

    def change(made: Any) -> None:
        weights = tables()[1] * (1 if number % 2 else -1) * (1 + number / 100)
        made.graph.initializer[1].raw_data = weights.tobytes()

    write_classifier(folder, change=change)
    write_manifest(folder)
    return folder
