"""The page on smaller models: its settings and flags exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinyforge.cli.main import main
from tinyforge.config.compress import CompressSettings
from tinyforge.config.names import settings_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "make_a_model_smaller.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_named_settings_exist() -> None:
    named = set(re.findall(r"\b(?:prune|recover|pareto|train)\.[a-z_]+\b", TEXT))
    named -= {"pareto.html", "pareto.json"}
    assert len(named) > 8
    assert named <= {*settings_table(CompressSettings)}


def test_named_flags_exist(capsys: pytest.CaptureFixture[str]) -> None:
    main(["compress", "--help"])
    shown = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) <= shown
