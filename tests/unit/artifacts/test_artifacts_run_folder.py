"""Who may write into a folder, and what is never lost by it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tinyforge.artifacts import run_folder as module
from tinyforge.artifacts.files import read_json, write_json
from tinyforge.artifacts.manifest import verify
from tinyforge.artifacts.run_folder import RunFolder, open_run
from tinyforge.errors import DataError, FolderError, SettingError, TinyForgeError


def train(folder: RunFolder, *, finish: bool, text: str = "weights") -> None:
    write_json(folder.run, {"seed": 0})
    (folder.checkpoints / "step-00000001").mkdir(parents=True)
    if finish:
        (folder.path / "model.safetensors").write_text(text)
        write_json(folder.report, {"verdict": text})
        folder.finish()


def fail(path: Path, error: Exception, *, rejected: str = "", **flags: bool) -> None:
    """A run that writes its record and ends in an error before the first checkpoint."""
    with open_run(path, **flags) as folder:
        write_json(folder.run, {"seed": 1})
        (folder.meta / "work").mkdir()
        if rejected:
            folder.rejected.write_text(rejected)
        raise error


def make(path: Path, *, finish: bool) -> Path:
    with open_run(path) as folder:
        train(folder, finish=finish)
    return path


def files(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "lock"
    }


def test_a_finished_run_is_whole_and_small(tmp_path: Path) -> None:
    path = make(tmp_path / "run", finish=True)
    assert verify(path) == []
    assert not (path / "tinyforge" / "checkpoints").exists()
    assert RunFolder(path).finished
    assert read_json(RunFolder(path).run)["state"] == "finished"


@pytest.mark.parametrize("finish", [True, False])
def test_an_existing_run_is_not_overwritten(tmp_path: Path, finish: bool) -> None:
    path = make(tmp_path / "run", finish=finish)
    before = files(path)
    word = "a finished run" if finish else "an unfinished run"
    with pytest.raises(FolderError, match=f"already holds {word}.*--force"), open_run(path):
        pass
    assert files(path) == before


def test_resume_hands_out_a_finished_run(tmp_path: Path) -> None:
    path = make(tmp_path / "run", finish=True)
    before = files(path)
    with open_run(path, resume=True) as folder:
        assert folder.finished
    assert files(path) == before


def test_resume_of_an_unfinished_run(tmp_path: Path) -> None:
    path = make(tmp_path / "run", finish=False)
    with open_run(path, resume=True) as folder:
        assert folder.state == "unfinished"
        assert (folder.checkpoints / "step-00000001").is_dir()


def test_resume_of_nothing_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tinyforge"), open_run(tmp_path / "x", resume=True):
        pass
    assert "nothing to resume" in caplog.text


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"force": True}])
def test_a_folder_of_others_is_never_touched(tmp_path: Path, flags: dict[str, bool]) -> None:
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(FolderError, match="not a TinyForge run"), open_run(tmp_path, **flags):
        pass
    assert files(tmp_path) == {"thesis.docx": b"years of work"}


def test_force_refuses_where_others_files_lie_beside_a_run(tmp_path: Path) -> None:
    path = make(tmp_path / "run", finish=True)
    (path / "thesis.docx").write_text("years of work")
    before = files(path)
    with (
        pytest.raises(FolderError, match=r"did not write.*thesis\.docx"),
        open_run(path, force=True),
    ):
        pass
    assert files(path) == before


def test_force_replaces_a_run(tmp_path: Path) -> None:
    path = make(tmp_path / "run", finish=True)
    with open_run(path, force=True) as folder:
        assert folder.state == "new"
        assert not (path / "model.safetensors").exists()
        train(folder, finish=True, text="other")
    assert (path / "model.safetensors").read_text() == "other"
    assert not folder.replaced.exists()
    assert verify(path) == []


def test_force_gives_the_old_run_back_when_the_new_one_fails_early(tmp_path: Path) -> None:
    path = make(tmp_path / "run", finish=True)
    before = files(path)
    with pytest.raises(DataError):
        fail(path, DataError("no rows"), rejected="{}", force=True)
    assert files(path) == before
    assert verify(path) == []


def test_force_that_was_killed_early_gives_the_old_run_back(tmp_path: Path) -> None:
    path = make(tmp_path / "run", finish=True)
    before = files(path)
    folder = RunFolder(path)
    module._set_aside(folder)  # the process is killed here
    write_json(folder.run, {"seed": 1})
    with pytest.raises(FolderError, match="a finished run"), open_run(path):
        pass
    assert files(path) == before


def test_force_that_was_killed_early_can_be_resumed(tmp_path: Path) -> None:
    path = make(tmp_path / "run", finish=True)
    folder = RunFolder(path)
    module._set_aside(folder)  # the process is killed here
    write_json(folder.run, {"seed": 1})
    with open_run(path, resume=True) as folder:
        assert not folder.finished
        train(folder, finish=True, text="other")
    assert (path / "model.safetensors").read_text() == "other"


def test_moving_aside_that_was_killed_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "run", finish=True)
    before = files(path)
    for stop_after in range(4):
        moves, real = 0, module._move

        def move(old: Path, new: Path, stop: int = stop_after, real=real) -> None:  # type: ignore[no-untyped-def]
            nonlocal moves
            if moves == stop:
                raise KeyboardInterrupt
            moves += 1
            real(old, new)

        with monkeypatch.context() as patch:
            patch.setattr(module, "_move", move)
            with pytest.raises(KeyboardInterrupt):
                module._set_aside(RunFolder(path))
        with pytest.raises(FolderError, match="a finished run"), open_run(path):
            pass
        assert files(path) == before


def test_a_mistake_before_the_first_checkpoint_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run"
    with pytest.raises(TinyForgeError):
        fail(path, TinyForgeError("a setting is wrong"))
    assert not (tmp_path / "deep").exists()


def test_rejected_rows_outlast_a_mistake_and_are_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(DataError):
        fail(path, DataError("too few rows"), rejected='{"reason": "bad"}')
    assert files(path) == {"tinyforge/rejected.jsonl": b'{"reason": "bad"}'}
    make(path, finish=True)


def test_an_error_after_a_checkpoint_keeps_all(tmp_path: Path) -> None:
    path = make(tmp_path / "run", finish=False)
    with pytest.raises(RuntimeError), open_run(path, resume=True):
        raise RuntimeError
    assert RunFolder(path).state == "unfinished"
    assert (path / "tinyforge" / "checkpoints" / "step-00000001").is_dir()


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    with open_run(tmp_path / "run") as folder:
        train(folder, finish=False)
        with (
            pytest.raises(FolderError, match="another run is at work"),
            open_run(tmp_path / "run", resume=True),
        ):
            pass
    with open_run(tmp_path / "run", resume=True):
        pass


def test_a_finish_that_was_killed_is_completed(tmp_path: Path) -> None:
    path = make(tmp_path / "run", finish=True)
    folder = RunFolder(path)
    folder.manifest.unlink()
    (folder.checkpoints / "step-00000001").mkdir(parents=True)
    with open_run(path, resume=True) as folder:
        assert folder.finished
    assert verify(path) == []
    assert not folder.checkpoints.exists()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(FolderError, match="is a file"), open_run(tmp_path / "run"):
        pass


def test_resume_and_force_contradict(tmp_path: Path) -> None:
    with pytest.raises(SettingError), open_run(tmp_path, resume=True, force=True):
        pass
