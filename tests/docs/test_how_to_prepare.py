"""The page on preparing raw text is true: its names exist and its recipe is valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinyforge.cli.main import main
from tinyforge.config.load import load_tree
from tinyforge.config.names import settings_table
from tinyforge.config.prepare import PrepareSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "prepare_raw_text.md"
TEXT = PAGE.read_text(encoding="utf-8")
RECIPES = re.findall(r"```yaml [^\n]*\n(.*?)```", TEXT, flags=re.DOTALL)


def test_named_settings_and_flags_exist(capsys: pytest.CaptureFixture[str]) -> None:
    table = settings_table(PrepareSettings)
    named = set(re.findall(r"`((?:read|clean|duplicates|split)\.[a-z_]+)", TEXT))
    assert len(named) >= 6
    assert named <= set(table)
    for name in ("keep_dropped", "weights", "seed", "patience", "worker_memory"):
        assert f"`{name}" in TEXT
        assert name in table
    main(["prepare", "--help"])
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    assert flags <= set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))


def test_the_recipe_is_valid(tmp_path: Path) -> None:
    (text,) = RECIPES
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    settings = load_tree(PrepareSettings, path)
    assert settings.weights == {"notes.jsonl": 2}
    assert settings.clean.limits == {"gopher.short": 20}
