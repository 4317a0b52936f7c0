"""The page on tokenizers is true: its commands and programs run as written, its names exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tinyforge.cli.main import main
from tinyforge.text.tokenizer_training import KINDS, gives_back

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "train_a_tokenizer.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture
def _books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's own folder of text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "books").mkdir()
    for number in range(3):
        lines = [
            f"It was day {number * 500 + i}, bright and cold, and the clocks were striking {i}."
            for i in range(500)
        ]
        Path("books", f"{number}.txt").write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.usefixtures("_books")
def test_everything_runs_as_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One after the other, as a reader would."""
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    ran = 0
    for language, text in BLOCKS:
        if language == "python":
            done = subprocess.run(
                [sys.executable, "-c", text], env=environment, capture_output=True, text=True,
                timeout=300,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            ran += 1
            continue
        for line in text.splitlines():
            words = shlex.split(line)
            assert words[0] == "tinyforge"
            assert main(words[1:]) == 0, capsys.readouterr().err
            ran += 1
    assert ran == 5


def test_the_table_of_kinds_is_true() -> None:
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\| (yes|no)", TEXT, flags=re.MULTILINE))
    assert set(rows) == set(KINDS)
    for kind, answer in rows.items():
        assert (gives_back(kind) is None) == (answer == "yes"), kind


def test_named_flags_exist(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ""
    for verb in ("train", "measure"):
        main(["tokenizer", verb, "--help"])
        shown += capsys.readouterr().out
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    assert flags
    assert flags <= set(re.findall(r"--[a-z][a-z-]+", shown))
