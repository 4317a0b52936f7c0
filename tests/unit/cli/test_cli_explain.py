"""Looking things up in the terminal, and the shell's completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinyforge.cli import evaluate, predict
from tinyforge.cli.main import VERBS, main
from tinyforge.config.names import settings_table
from tinyforge.config.roots import ROOTS, STAGES_OF, families, root_of, verbs_with
from tinyforge.config.units import unit_of


def test_a_setting_is_explained_by_its_full_and_its_short_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", "train.max_minutes"]) == 0
    told = capsys.readouterr().out
    assert "takes   a number above 0; null chooses (minutes)" in told
    assert "for     train, inspect, evaluate" in told
    assert main(["explain", "learning_rate"]) == 0
    assert "train.learning_rate: Peak learning rate." in capsys.readouterr().out
    assert main(["explain", "port"]) == 0
    assert "default 8000" in capsys.readouterr().out


def test_an_unknown_word_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "train.learning_rat"]) == 2
    line = capsys.readouterr().err
    assert "Did you mean 'train.learning_rate'?" in line
    assert line.count("\n") == 1
    assert main(["explain", "S-0000"]) == 2
    assert len(capsys.readouterr().err) < 250


def test_every_verb_with_settings_has_its_root() -> None:
    assert set(ROOTS) <= set(VERBS)
    assert sum(map(len, families().values())) == len(ROOTS)
    assert all(settings_table(root_of(verb)) for verb in ROOTS)


def test_numbers_have_units() -> None:
    settings = [setting for root in families() for setting in settings_table(root).values()]
    units = {setting.name: unit_of(setting) for setting in settings}
    assert units["train.max_minutes"] == "minutes"
    assert units["data.max_length"] == "tokens"
    assert units["lora.r"] == units["task"] == ""
    measured = ("seconds", "minutes", "bytes", "steps", "rows", "tokens", "characters")
    for setting in settings:
        number = setting.kind in ("number", "whole number")
        if number and setting.name.endswith(tuple(f"_{word}" for word in measured)):
            assert units[setting.name], setting.name


def test_verbs_that_take_some_stages_are_named_for_these_alone() -> None:
    assert STAGES_OF["predict"] == predict.STAGES
    assert STAGES_OF["evaluate"] == STAGES_OF["compare"] == evaluate.STAGES
    named = [verb for verbs in verbs_with("train.max_minutes").values() for verb in verbs]
    assert "train" in named
    assert "predict" not in named


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_gets_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_TINYFORGE_COMPLETE={shell}_complete" in script
    assert "tinyforge" in script


def test_bash_completes_verbs_flags_settings_and_files(tmp_path: Path) -> None:
    """As bash does it: the printed script is sourced and asked for each word."""
    (tmp_path / "rows.jsonl").touch()
    asked = ["tr", "train --ep", "train rows.jsonl --set train.learning_r", "explain lora.al"]
    lines = ['eval "$(tinyforge completion bash)"', "compopt() { echo compopt $*; }"]
    for words in [*asked, "train ro"]:
        count = len(words.split())
        lines += [
            f"COMP_WORDS=(tinyforge {words}); COMP_CWORD={count}; COMPREPLY=()",
            "_tinyforge_completion tinyforge", 'echo "= ${COMPREPLY[*]}"',
        ]  # fmt: skip
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)], cwd=tmp_path, env={**os.environ, "PATH": path},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told[0] == "= train"
    assert told[1] == "= --epochs"
    assert told[2:4] == ["compopt -o nospace", "= train.learning_rate="]
    assert told[4] == "= lora.alpha"
    assert told[5] == "compopt -o default", "files are left to the shell"
