"""The page on pretraining is true: its settings, flags and sizes exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinyforge.cli.main import main
from tinyforge.config.load import load_tree
from tinyforge.config.names import settings_table
from tinyforge.config.pretrain import PretrainRunSettings
from tinyforge.models.dial import NAMES

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "how_to" / "pretrain.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("tinyshakespeare*.yaml"))


def test_named_settings_exist() -> None:
    known = settings_table(PretrainRunSettings)
    named = set(re.findall(r"\bpretrain\.[a-z_]+\b", TEXT)) - {"pretrain.md"}
    assert named
    assert named <= {*known}


def test_named_flags_exist(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ""
    for verb in ("train", "pretrain", "predict"):
        main([verb, "--help"])
        shown += capsys.readouterr().out
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    assert flags <= set(re.findall(r"--[a-z][a-z-]+", shown))


def test_every_size_is_listed() -> None:
    assert all(f"| `{name}` |" in TEXT for name in NAMES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    settings = load_tree(PretrainRunSettings, path)
    assert settings.pretrain.tokenizer_kind == "characters"
    assert settings.model.shape["num_hidden_layers"] == 4
    if path.stem == "tinyshakespeare_characters":
        assert (settings.train.max_steps, settings.train.batch_size) == (2_000, 12)
        assert settings.pretrain.context == 64


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2
