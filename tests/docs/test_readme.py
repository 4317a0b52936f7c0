"""What the README shows is true: its commands and settings exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tinyforge.cli.main import VERBS, main
from tinyforge.config.load import load_settings
from tinyforge.config.names import settings_table

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def test_it_is_installed_from_the_checkout() -> None:
    """On PyPI the name belongs to another project, so nobody may be sent there first."""
    tutorial = ROOT / "docs/tutorials/01_introduction.md"
    for text in (README, tutorial.read_text(encoding="utf-8")):
        lines = re.findall(r"^pip install (\S+)", text, flags=re.MULTILINE)
        assert lines
        assert all(line.strip("'").startswith(".") for line in lines)
        assert "PyPI" in text


def test_settings_files_are_valid(tmp_path: Path) -> None:
    files = [text for language, text in BLOCKS if language == "yaml"]
    assert files
    for text in files:
        path = tmp_path / "settings.yaml"
        path.write_text(text, encoding="utf-8")
        settings = load_settings(path)
        assert settings.train.max_minutes == yaml.safe_load(text)["train"]["max_minutes"]


def test_named_settings_exist() -> None:
    known = set(settings_table())
    named = set(re.findall(r"\b((?:data|model|lora|train|evaluate|generate)\.[a-z_]+)\b", README))
    others = {"model.safetensors", "model.predict"}
    assert named - others
    assert named - others <= known


def test_named_flags_exist(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ""
    for words in (*([verb] for verb in VERBS), ["tokenizer", "train"], ["tokenizer", "measure"]):
        main([*words, "--help"])
        shown += capsys.readouterr().out
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - {"--no-compile"}
    assert flags
    assert flags <= set(re.findall(r"--[a-z][a-z-]+", shown))
