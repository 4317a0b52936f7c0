"""The page on prompts is true: its file loads, its names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinyforge.cli.main import main
from tinyforge.config.names import settings_table
from tinyforge.text.prompts import PROMPTS, read_prompt

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "use_a_model_by_prompt.md"
TEXT = PAGE.read_text(encoding="utf-8")
FILES = re.findall(r"```yaml [^\n]*\n(.*?)```", TEXT, flags=re.DOTALL)


def test_the_prompt_file_is_valid(tmp_path: Path) -> None:
    (text,) = FILES
    path = tmp_path / "sentiment.yaml"
    path.write_text(text, encoding="utf-8")
    prompt = read_prompt(path)
    assert prompt.chooses
    assert prompt.context("so so", prompt.examples).startswith(
        "Choose the label that fits the review: positive, negative.\n\nReview: a bore"
    )


def test_ready_made_prompts_are_listed() -> None:
    for name in PROMPTS:
        assert f"`{name}`" in TEXT


def test_named_settings_and_flags_exist(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"\bevaluate\.[a-z_]+\b", TEXT))
    assert named
    assert named <= set(settings_table())
    shown = ""
    for verb in ("train", "predict", "evaluate"):
        main([verb, "--help"])
        shown += capsys.readouterr().out
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    assert flags <= set(re.findall(r"--[a-z][a-z-]+", shown))
