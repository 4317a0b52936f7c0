"""The page on smaller models: its program runs, its settings and flags exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinyforge.cli.main import main
from tinyforge.config.compress import CompressSettings
from tinyforge.config.names import settings_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "make_a_model_smaller.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_program_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (program,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    exec(compile(program, "page", "exec"), {})
    shown = capsys.readouterr().out
    assert "pruned" in shown
    assert Path("my-small-model/tinyforge/pareto.html").is_file()


def test_named_settings_exist() -> None:
    named = set(re.findall(r"\b(?:prune|recover|pareto|train)\.[a-z_]+\b", TEXT))
    named -= {"pareto.html", "pareto.json"}
    assert len(named) > 8
    assert named <= {*settings_table(CompressSettings)}


def test_named_flags_exist(capsys: pytest.CaptureFixture[str]) -> None:
    main(["compress", "--help"])
    shown = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) <= shown
