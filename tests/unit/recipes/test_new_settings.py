"""``tinyforge new``: a settings file that changes nothing until it is changed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tinyforge.cli.main import main
from tinyforge.config.load import load_settings, load_tree
from tinyforge.config.names import explicit, settings_table
from tinyforge.config.settings import Settings
from tinyforge.recipes.new_settings import USUAL

ROWS = [
    {"text": f"{word} number {i}", "label": word} for i in range(8) for word in ("card", "cash")
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    text = "".join(json.dumps(row) + "\n" for row in [*ROWS, ROWS[0]])
    Path("my rows.jsonl").write_text(text + "no json\n", encoding="utf-8")
    return tmp_path


def test_the_usual_settings_exist() -> None:
    assert set(USUAL) <= set(settings_table())


def test_the_file_says_what_was_seen_and_sets_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["new", "my rows.jsonl"]) == 0
    told = capsys.readouterr().out
    assert "tinyforge train 'my rows.jsonl' --output my-model --config settings.yaml" in told
    text = Path("settings.yaml").read_text("utf-8")
    assert "2 labels: card 9, cash 8" in text
    assert "17 rows can be used, 1 cannot" in text
    assert 'Found: "label".' in text
    settings = load_settings("settings.yaml")
    assert explicit(settings) == ["task"]
    assert settings.task == "classify"


@pytest.mark.parametrize("everything", [False, True])
def test_every_line_can_be_taken_in(everything: bool) -> None:
    assert main(["new", "my rows.jsonl", *(["--all"] if everything else [])]) == 0
    lines = Path("settings.yaml").read_text("utf-8").splitlines()
    value = re.compile(r"^( *)# ([a-z_0-9]+: \S.*)$")
    fields = {name.rpartition(".")[2] for name in settings_table()}
    taken = [
        found[1] + found[2]
        if (found := value.match(line)) and found[2].partition(":")[0] in fields else line
        for line in lines
    ]  # fmt: skip
    assert taken != lines
    Path("taken.yaml").write_text("\n".join(taken), encoding="utf-8")
    # Whether a default has an effect beside the others is another question; here all are read.
    read = load_tree(Settings, "taken.yaml")
    for name, setting in settings_table().items():
        assert name == "task" or _value(read, name) == setting.default, name
    wanted = set(settings_table()) if everything else set(USUAL) | {"task"}
    named = {line.strip().lstrip("# ").partition(":")[0] for line in lines}
    assert {name.rpartition(".")[2] for name in wanted} <= named


def _value(settings: object, name: str) -> object:
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


def test_what_is_asked_for_stands_in_the_file() -> None:
    words = ["--model", "scratch:bert-tiny", "--output", "mine.yaml"]
    assert main(["new", "my rows.jsonl", *words]) == 0
    settings = load_settings("mine.yaml")
    assert settings.model.name == "scratch:bert-tiny"


def test_a_file_that_is_there_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    Path("settings.yaml").write_text("task: auto\n")
    assert main(["new", "my rows.jsonl"]) == 2
    assert "settings.yaml: is there already" in capsys.readouterr().err
    assert Path("settings.yaml").read_text() == "task: auto\n"
    assert main(["new", "my rows.jsonl", "--force"]) == 0


def test_rows_that_cannot_be_read_leave_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "absent.jsonl"]) == 2
    assert "absent.jsonl" in capsys.readouterr().err
    assert not Path("settings.yaml").exists()
