"""The two sessions of a page: a shell and a Python, each kept from block to block.

What a block prints goes to files of its own, so that a server that goes on running in the
background cannot mix its lines into the next output.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NOTEBOOK = Path(__file__).with_name("page_notebook.py")
LONGEST = 900.0
"""Seconds after which a block is given up."""
SERVER_SECONDS = 120.0
_ADDRESS = re.compile(r"http://([\w.]+|\[[\w:]+\]):(\d+)")


@dataclass(frozen=True)
class Outcome:
    """What a block came to.

    Attributes:
        code: the exit status; 0 is success.
        echo: what a notebook would show as the value of the last line.
    """

    code: int
    out: str
    err: str
    echo: str = ""

    def shown(self) -> list[str]:
        """What the page may show: standard output, or all that a terminal shows."""
        both = [self.out, self.err + self.out, self.out + self.err]
        return [*both, self.out + self.echo] if self.echo else both


class SessionEnded(Exception):  # noqa: N818 - the page's doing
    """The session is gone: ``exit``, a crash, or a block that took too long."""


class _Session:
    """A process that is handed one block after the other, and answers with a line for each."""

    def __init__(
        self, words: list[str], folder: Path, work: Path, environment: Mapping[str, str]
    ) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._work = work
        self._number = 0
        self._process = subprocess.Popen(
            words, cwd=folder, env=dict(environment), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def _files(self) -> tuple[Path, Path, Path]:
        self._number += 1
        stem = self._work / str(self._number)
        return stem.with_suffix(".code"), stem.with_suffix(".out"), stem.with_suffix(".err")

    def _ask(self, line: str, err: Path, seconds: float = LONGEST) -> str:
        stdin, stdout = self._process.stdin, self._process.stdout
        answer, ends = b"", time.monotonic() + seconds
        try:
            stdin.write(line.encode() + b"\n")
            stdin.flush()
            with selectors.DefaultSelector() as ready:
                ready.register(stdout, selectors.EVENT_READ)
                while not answer.endswith(b"\n"):
                    if not ready.select(max(0.0, ends - time.monotonic())):
                        raise SessionEnded(f"still running after {seconds:.0f} s")
                    piece = os.read(stdout.fileno(), 65_536)
                    if not piece:
                        code = self._process.wait()
                        raise SessionEnded(f"it ended with exit code {code}\n{_text(err)}")
                    answer += piece
        except BrokenPipeError:
            raise SessionEnded("it had ended before") from None
        return answer.decode().strip()

    def close(self) -> None:
        """End the session and all that it started."""
        for number, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                if number == signal.SIGTERM and _group_lives(self._process.pid):
                    time.sleep(1)
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()


class Shell(_Session):
    """One ``bash``, whose folder, variables and background jobs last as long as the page."""

    def __init__(self, folder: Path, work: Path, environment: Mapping[str, str]) -> None:
        super().__init__(["bash", "--noprofile", "--norc"], folder, work, environment)
        self._last = 0
        self._served: int | None = None

    def run(self, text: str, *, whole: bool = False) -> Outcome:
        """A command, or with ``whole`` a script that stops at its first failing line."""
        code, out, err = self._files()
        code.write_text(text + "\n", encoding="utf-8")
        source = f". {_quoted(code)} >{_quoted(out)} 2>{_quoted(err)} </dev/null"
        if whole:
            line = f"set -e; {source}; set +e; echo 0"
        else:
            line = f"(exit {self._last}); {source}; echo $?"
        self._last = int(self._ask(line, err))
        return Outcome(self._last, _text(out), _text(err))

    def start(self, text: str, *, terminal: bool) -> Outcome:
        """A command in the background; a server is waited for until it answers.

        Args:
            terminal: it would stay in the foreground of a terminal of its own. There is one such
                terminal: what ran in it before is stopped first.
        """
        if terminal and self._served is not None:
            self._stop(self._served)
        code, out, err = self._files()
        plain = text.rstrip().removesuffix("&").rstrip()
        files = "" if ">" in plain else f" >{_quoted(out)} 2>{_quoted(err)}"
        code.write_text(f"{plain}{files} </dev/null &\n", encoding="utf-8")
        process = int(self._ask(f". {_quoted(code)}; echo $!", err))
        if terminal:
            self._served = process
        self._last = 0
        ends = time.monotonic() + SERVER_SECONDS
        serves = terminal or "serve" in text
        while serves and time.monotonic() < ends:
            told = _ADDRESS.search(_text(err) + _text(out))
            if told and _answers(int(told[2])):
                break
            if not _lives(process):
                return Outcome(1, _text(out), _text(err))
            time.sleep(0.05)
        return Outcome(0, _text(out), _text(err))

    def _stop(self, process: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
        self._ask(f"wait {process}; echo $?", self._work, 60.0)


class Notebook(_Session):
    """One Python process, whose names last as long as the page."""

    def __init__(self, folder: Path, work: Path, environment: Mapping[str, str]) -> None:
        super().__init__(["python", str(NOTEBOOK)], folder, work, environment)

    def run(self, text: str, name: str) -> Outcome:
        """A block; ``name`` stands in tracebacks for the file's."""
        _, out, err = self._files()
        asked = {"code": text, "name": name, "out": str(out), "err": str(err)}
        answer = json.loads(self._ask(json.dumps(asked), err))
        return Outcome(answer["code"], _text(out), _text(err), answer["echo"])


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.is_file() else ""


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
