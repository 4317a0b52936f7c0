"""The command line, called in the test's own process or as a program of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import pytest

from tinyforge.cli.main import main

PROGRAM = [sys.executable, "-m", "tinyforge.cli.main"]
"""What ``tinyforge`` is for a shell."""

Capture = pytest.CaptureFixture[str]


def last_object(text: str) -> dict[str, Any]:
    """The JSON object in the last line of an output."""
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects of an output, one a line."""
    return [json.loads(line) for line in text.splitlines()]


def run_json(capsys: Capture, *words: str, code: int = 0) -> dict[str, Any]:
    """What a command comes to, as it says with ``--json``."""
    assert main([*words, "--json"]) == code, capsys.readouterr().err
    return last_object(capsys.readouterr().out)


def refused(capsys: Capture, *words: str, code: int = 2) -> str:
    """The one line that a command ends with where it can do nothing."""
    ended = main(list(words))
    said = capsys.readouterr()
    assert ended == code, said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    lines = said.err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1]


def one_thread() -> dict[str, str]:
    """The environment of a program that takes one core."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def heed_ctrl_c() -> None:
    """For a new process: what a shell starts in the background, such as these tests, ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
