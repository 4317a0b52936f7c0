"""The command line: verbs, flags, one line for every failure, exit codes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tinyforge.cli.main import VERBS, main
from tinyforge.cli.options import SHORT
from tinyforge.config.names import settings_table
from tinyforge.config.pretrain import PretrainRunSettings
from tinyforge.errors import ConditionError, DataError, Interrupted
from tinyforge.recipes.train import Run

Stub = Callable[..., ModuleType]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Put something in the place of a recipe."""

    def place(name: str, **members: Any) -> ModuleType:
        module = ModuleType(f"tinyforge.recipes.{name}")
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return module

    return place


def raising(problem: BaseException) -> Callable[..., Any]:
    def recipe(*_: Any, **__: Any) -> Any:
        raise problem

    return recipe


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "error: No such verb: 'trian'. Did you mean 'train'? Try: tinyforge --help"),
        (["xyzzy"], "No such verb: 'xyzzy'. Verbs: train, pretrain"),
        (["train"], "error: Missing argument 'DATA'. Try: tinyforge train --help"),
        (["train", "a"], "error: Missing option '--output'"),
        (["train", "a", "--output", "o", "--epoch", "3"], "Did you mean '--epochs'?"),
        (["train", "a", "--output", "o", "--epochs"], "Option '--epochs' requires an argument"),
        (["train", "a", "b", "--output", "o"], "unexpected extra argument"),
        (["train", "a", "--output", "o", "--epochs", "many"], "train.epochs: must be a number"),
        (["train", "a", "--output", "o", "--seed", "-1"], "train.seed: must be a whole number"),
        (["train", "a", "--output", "o", "--task", "clasify"], "task: must be one of auto"),
        (["train", "a", "--output", "o", "--config", "no.yaml"], "no.yaml: no such settings file"),
        (["train", "a", "--output", "o", "--set", "lora.r=8"], "lora.r: has no effect"),
        (["evaluate", "m", "d", "--set", "lora.r=8"], "lora.r: has no effect here"),
    ],
)
def test_mistakes_end_in_one_line(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert expected in error_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_no_words_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {verb} " in shown for verb in VERBS)


def test_flags_name_settings_that_exist() -> None:
    known = set(settings_table()) | set(settings_table(PretrainRunSettings))
    assert set(SHORT.values()) <= known


def test_train_passes_what_was_given(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    seen: dict[str, Any] = {}
    run = SimpleNamespace(summary=lambda: "fine", result=lambda: {"output_dir": "ü"}, verdict="x")

    def recipe(data: Any, **more: Any) -> Any:
        seen.update(more, data=data)
        return run

    stub("train", train=recipe)
    words = ["train", "rows.jsonl", "--output", "out", "--model", "m", "--lora", "--epochs", "2.5"]
    words += ["--max-steps", "7", "--set", "train.batch_size=4", "--test", "t.csv", "--resume"]
    assert main(words) == 0
    settings = seen["settings"]
    assert (seen["data"], seen["output_dir"]) == ("rows.jsonl", Path("out"))
    assert (seen["resume"], seen["force"]) == (True, False)
    assert (settings.model.name, settings.lora.enabled) == ("m", True)
    assert (settings.train.epochs, settings.train.max_steps) == (2.5, 7)
    assert (settings.train.batch_size, settings.data.test) == (4, "t.csv")
    assert capsys.readouterr().out == "fine\n"
    assert main(["train", "rows.jsonl", "--output", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"output_dir": "ü"}


@pytest.mark.parametrize(
    ("problem", "code", "expected"),
    [
        (DataError("bad\nrow", where="a.jsonl:3", value="x"), 2, "error: a.jsonl:3: bad row"),
        (ConditionError("not better"), 3, "error: not better"),
        (Interrupted("saved at step 5", signal_number=15, fix="--resume"), 143, "stopped: saved"),
        (KeyboardInterrupt(), 130, "stopped"),
        (MemoryError(), 2, "not enough memory. Use a smaller model"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "not enough memory"),
        (OSError(errno.ENOSPC, "No space left", "f.bin"), 2, "f.bin: the disk is full"),
        (ModuleNotFoundError("no torch", name="torch.nn"), 2, "pip install 'tinyforge[training]'"),
        (ValueError("what\nis this"), 1, "ValueError: what is this - this is a bug in TinyForge"),
        (ModuleNotFoundError("no x", name="x"), 1, "this is a bug in TinyForge"),
    ],
)
def test_failures_have_their_exit_code(
    problem: BaseException, code: int, expected: str, stub: Stub,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stub("train", train=raising(problem))
    assert main(["train", "rows.jsonl", "--output", "out"]) == code
    line = capsys.readouterr().err.lstrip("\n")
    assert line.count("\n") == 1
    assert expected in line
    kept = list(tmp_path.glob("tinyforge-*.txt"))
    assert len(kept) == (1 if code == 1 else 0)
    if kept:
        assert str(kept[0]) in line
        assert "Traceback" in kept[0].read_text()


def test_debug_shows_the_traceback(
    stub: Stub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYFORGE_DEBUG", "1")
    stub("train", train=raising(DataError("bad")))
    assert main(["train", "rows.jsonl", "--output", "out"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_require_better_prints_the_result_and_fails(
    stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    report = {"verdict": {"word": "not better"}, "result": {"verdict": "not better"}}
    run = Run(Path("o"), report)
    stub("train", train=lambda *_, **__: run)
    assert main(["train", "a", "--output", "o", "--require-better", "--json"]) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"verdict": "not better"}
    expected = "error: o/tinyforge/report.html: the verdict is 'not better', and you asked for"
    assert captured.err.startswith(expected)


def test_a_reader_that_goes_away_is_no_mistake() -> None:
    program = f"{sys.executable} -m tinyforge.cli.main --help | true; exit ${{PIPESTATUS[0]}}"
    for _ in range(3):
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
        assert done.stderr == ""
        assert done.returncode in (0, 1, 141)


def test_characters_the_terminal_lacks_are_no_mistake(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "tinyforge.cli.main", "runs", str(tmp_path / "prüfung")],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pr\\xfcfung" in done.stderr
    assert "Traceback" not in done.stderr
