"""The page on tokenizers is true: its table and its flags."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinyforge.cli.main import main
from tinyforge.text.tokenizer_training import KINDS, gives_back

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "train_a_tokenizer.md"
TEXT = PAGE.read_text(encoding="utf-8")


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
