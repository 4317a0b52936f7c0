"""An export takes its place all at once, or nothing changes."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tinyforge.artifacts.export_folder import GATE
from tinyforge.artifacts.files import write_bytes, write_text
from tinyforge.artifacts.manifest import verify, write_manifest
from tinyforge.errors import FolderError
from tinyforge.recipes.export_place import Place, check_room, open_place


def make(place: Place, text: str = "new") -> Path:
    """A finished folder in the place to work in."""
    folder = place.work / "made"
    (folder / "tinyforge").mkdir(parents=True)
    (folder / "model.onnx").write_text(text)
    (folder / GATE).write_text("{}")
    write_manifest(folder)
    return folder


def export(target: Path, text: str = "new", *, force: bool = False) -> None:
    with open_place(target, None, force=force) as place:
        place.publish(make(place, text))


def broken_off(target: Path, problem: BaseException, *, force: bool = False) -> None:
    """An export that ends with a problem after its folder was made."""
    with open_place(target, None, force=force) as place:
        make(place)
        raise problem


def work_in(target: Path, work: Callable[[Place], object]) -> None:
    with open_place(target, None, force=False) as place:
        work(place)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_appears_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    export(tmp_path / "a" / "b" / "out")
    assert verify(tmp_path / "a" / "b" / "out") == []
    assert listing(tmp_path / "a" / "b") == ["out"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_text() == "new"
    assert listing(tmp_path) == ["out"]


@pytest.mark.parametrize("problem", [RuntimeError("bug"), KeyboardInterrupt(), SystemExit(1)])
def test_whatever_ends_the_work_leaves_nothing(tmp_path: Path, problem: BaseException) -> None:
    with pytest.raises(type(problem)):
        broken_off(tmp_path / "x" / "out", problem)
    assert listing(tmp_path) == []


def test_force_replaces_an_export_and_only_when_the_new_one_is_there(tmp_path: Path) -> None:
    target = tmp_path / "out"
    export(target, "old")
    with pytest.raises(FolderError, match=r"already holds an export.*--force"):
        export(target, "new")
    with pytest.raises(RuntimeError, match="killed"):
        broken_off(target, RuntimeError("killed"), force=True)
    assert (target / "model.onnx").read_text() == "old"
    export(target, "new", force=True)
    assert (target / "model.onnx").read_text() == "new"
    assert listing(tmp_path) == ["out"]


def test_a_death_between_the_two_renames_is_mended(tmp_path: Path) -> None:
    target, work = tmp_path / "out", tmp_path / ".out.exporting"
    export(target, "old")
    (work / "tinyforge").mkdir(parents=True)
    target.rename(work / "replaced")  # and here the power went out
    (work / "half").mkdir()
    with open_place(target, None, force=False) as place:
        assert (target / "model.onnx").read_text() == "old"
        assert not (place.work / "half").exists()
    assert listing(tmp_path) == ["out"]
    with pytest.raises(FolderError, match="already holds an export"):
        export(target)


def test_a_rename_that_fails_brings_the_old_export_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    export(target, "old")
    rename = Path.rename

    def refuse(self: Path, other: Path) -> Path:
        if self.name == "made":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="Input/output"):
        export(target, "new", force=True)
    assert (target / "model.onnx").read_text() == "old"
    assert listing(tmp_path) == ["out"]


def test_what_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "letters.txt").write_text("dear")
    for force in (False, True):
        with pytest.raises(FolderError, match=r"not an export.*letters\.txt"):
            export(target, force=force)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(FolderError, match="is a file"):
        export(file)
    export(tmp_path / "fine")
    (tmp_path / "fine" / "notes.txt").write_text("mine")
    with pytest.raises(FolderError, match=r"did not write.*notes\.txt"):
        export(tmp_path / "fine", force=True)
    assert listing(tmp_path) == ["file", "fine", "out"]


def test_a_damaged_export_may_be_replaced(tmp_path: Path) -> None:
    export(tmp_path / "out", "old")
    (tmp_path / "out" / "tinyforge" / "manifest.json").write_text("{")
    export(tmp_path / "out", force=True)
    assert verify(tmp_path / "out") == []


def test_the_models_own_folder_is_no_place(tmp_path: Path) -> None:
    model = tmp_path / "run"
    model.mkdir()
    for target in (model, model / "onnx"):
        with (
            pytest.raises(FolderError, match="model's own folder"),
            open_place(target, model, force=False),
        ):
            pass
    assert listing(model) == []


@pytest.mark.parametrize("there", ["nothing", "empty", "export"])
def test_a_link_stands_for_what_it_points_to(there: str, tmp_path: Path) -> None:
    """The export lies where the user wants it, on the other disk maybe, and the link stays."""
    far, link = tmp_path / "far" / "out", tmp_path / "near"
    far.parent.mkdir()
    link.symlink_to(far)
    if there == "empty":
        far.mkdir()
    elif there == "export":
        export(far, "old")
    export(link, "new", force=there == "export")
    assert link.is_symlink()
    assert (far / "model.onnx").read_text() == "new"
    assert not far.is_symlink()
    assert listing(tmp_path) == ["far", "near"]
    assert listing(far.parent) == ["out"]


def test_a_mounted_folder_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda self: self.name == "out")
    with pytest.raises(FolderError, match=r"disk is mounted.*out/export"):
        export(target)
    assert listing(tmp_path) == ["out"]
    export(target / "export")
    assert listing(target) == ["export"]


def test_another_process_keeps_its_place(tmp_path: Path) -> None:
    with open_place(tmp_path / "out", None, force=False) as first:
        made = make(first)
        with (
            pytest.raises(FolderError, match="at work"),
            open_place(tmp_path / "out", None, force=False),
        ):
            pass
        first.publish(made)
    assert listing(tmp_path) == ["out"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_and_nothing_stays(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    for write in (
        refuse,
        lambda place: write_bytes(place.work / "x", b"x"),
        lambda place: write_text(place.work / "x", "x"),
    ):
        with pytest.raises(FolderError, match=r"disk is full; nothing was left") as caught:
            work_in(tmp_path / "out", write)
        assert "--resume" not in str(caught.value)
    assert listing(tmp_path) == []


def test_room_is_looked_for_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**6))
    with pytest.raises(FolderError, match=r"not enough room.*1 MB free, about 1,800 MB"):
        work_in(tmp_path / "out", lambda place: check_room(place, 10**8))
    assert listing(tmp_path) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="cannot be written"):
        export(tmp_path / "file" / "out")
