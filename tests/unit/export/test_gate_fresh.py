"""The fresh process: what it cannot import, and how it says what went wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tinyforge.errors import FolderError
from tinyforge.export.gate import fresh
from tinyforge.export.gate.fresh import NOT_THERE, ask_afresh, check_fresh
from tinyforge.export.gate.golden import golden_of, write_golden
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction

GOLDEN = [
    golden_of(
        Example(input="a"), Prediction("yes", 0.9, labels=("yes",)), max_new_tokens=None,
        precision="fp32",
    )
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_golden(tmp_path, GOLDEN)
    return tmp_path


def stand_in(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Another program in the place of the process."""
    run = subprocess.run

    def instead(command: list[str], **more: object) -> object:
        return run([sys.executable, "-c", program, *command[4:]], **more)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", instead)


def test_a_folder_without_a_model_is_said_to_be_none(folder: Path) -> None:
    [line] = ask_afresh(folder)
    assert "no export in this folder" in line or "cannot be read" in line
    assert not check_fresh(folder, GOLDEN).passed


def test_nothing_that_training_brings_can_be_imported() -> None:
    program = f"""
import sys
from tinyforge.export.gate import fresh
fresh._answers = lambda folder, torch: [name for name in {NOT_THERE!r} if _there(name)]
def _there(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True
fresh.main(["folder"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert json.loads(done.stdout) == {"answers": []}, done.stderr


OTHERWISE = {
    "scikit-learn": "sklearn", "python-docx": "docx", "lxml-html-clean": "lxml",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry",
}  # fmt: skip
"""Packages that are imported by another name than they are installed by."""


def test_all_that_the_optional_parts_bring_is_away() -> None:
    """So that a part which an export needs unseen would be noticed here, and not by its user."""
    project = tomllib.loads(Path(__file__).parents[3].joinpath("pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    users = set(extras) - {"all", "bench", "dev", "docs"}
    assert {"training", "onnx", "serve"} <= users
    for extra in users:
        for needed in extras[extra]:
            name = re.split(r"[<>=\[ ]", needed)[0].lower().replace("_", "-")
            assert OTHERWISE.get(name, name.replace("-", "_")) in NOT_THERE, needed


def test_the_process_itself_loads_none_of_it() -> None:
    program = (
        "import tinyforge.export.gate.fresh, tinyforge.recipes.verify, sys\n"
        f"print([name for name in {NOT_THERE!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_golden_answers_nothing_can_be_asked(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"golden\.jsonl"):
        ask_afresh(tmp_path)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "ended by signal 11"),
        ("raise SystemExit('no room')", "the process failed: no room"),
        ("pass", "exit code 0"),
        ("print('noise'); print('{\"error\": \"torn\"}')", "torn"),
        ("print('{')", "the process failed"),
        ("print('{\"answers\": []}')", "0 answers instead of 1"),
    ],
)
def test_whatever_happens_to_it_is_a_reason(
    program: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, program)
    assert said in ask_afresh(folder)[0]


def test_one_that_never_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "SECONDS", 0.2)
    stand_in(monkeypatch, "import time; time.sleep(60)")
    assert ask_afresh(folder) == ["no answer after 0 seconds"]


def test_the_right_answers_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"output": "yes", "labels": ["yes"], "finish_reason": "label", "confidence": 0.9}
    stand_in(monkeypatch, f"import json; print(json.dumps({{'answers': [{answer!r}]}}))")
    check = check_fresh(folder, GOLDEN)
    assert check.passed
    assert "without torch and transformers" in check.sentence


def test_a_program_in_the_current_folder_has_no_part(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(tmp_path)
    assert "shadowed" not in ask_afresh(folder)[0]
