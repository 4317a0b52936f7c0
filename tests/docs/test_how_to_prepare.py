"""The page on preparing raw text is true: its commands run, in their order, and its names exist."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tinyforge.cli.main import main
from tinyforge.config.load import load_tree
from tinyforge.config.names import settings_table
from tinyforge.config.prepare import PrepareSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "prepare_raw_text.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)
WORDS = str.split(
    "the of and a to in that it was he for on with his at by I this not but had which from they "
    "river garden window morning letter house father evening winter summer country road village"
)


def write_sources() -> None:
    rng = random.Random(0)

    def passage() -> str:
        return " ".join(" ".join(rng.choices(WORDS, k=12)).capitalize() + "." for _ in range(16))

    Path("letters").mkdir()
    for i in range(25):
        Path(f"letters/{i:02d}.txt").write_text(passage())
    Path("letters/02.txt").write_text(Path("letters/00.txt").read_text())
    rows = [{"text": passage(), "title": f"note {i}"} for i in range(40)]
    Path("notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_commands_run_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sources()
    (recipe,) = [text for language, text in BLOCKS if language == "yaml"]
    Path("recipe.yaml").write_text(recipe)
    commands = [text for language, text in BLOCKS if language == "sh"]
    assert len(commands) == 5
    printed = {}
    for text in commands:
        words = shlex.split(text)
        assert words[0] == "tinyforge"
        assert main(words[1:]) == 0, capsys.readouterr().err
        printed[text] = capsys.readouterr().out
    (shown,) = [text for language, text in BLOCKS if not language]
    (told,) = [out for text, out in printed.items() if "--explain" in text]
    for line in shown.splitlines():
        plain = re.sub(r"[\d,]+ characters", "N characters", line)
        found = re.sub(r"[\d,]+ characters", "N characters", told)
        assert plain.strip() == "…" or plain in found, line
    programs = "\n".join(text for language, text in BLOCKS if language == "python")
    done = subprocess.run(
        [sys.executable, "-c", programs], capture_output=True, text=True, timeout=300,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "'title': 'note " in done.stdout


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
    (text,) = [text for language, text in BLOCKS if language == "yaml"]
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    settings = load_tree(PrepareSettings, path)
    assert settings.weights == {"notes.jsonl": 2}
    assert settings.clean.limits == {"gopher.short": 20}
