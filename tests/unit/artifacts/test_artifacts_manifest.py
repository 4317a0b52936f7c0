"""Every change to a folder is seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinyforge.artifacts.manifest import MANIFEST, verify, write_manifest
from tinyforge.errors import FolderError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tinyforge" / "checkpoints" / "step-00000001").mkdir(parents=True)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "tinyforge" / "run.json").write_text("{}")
    (tmp_path / "tinyforge" / "lock").write_text("")
    (tmp_path / "tinyforge" / "checkpoints" / "step-00000001" / "x").write_text("x")
    write_manifest(tmp_path)
    return tmp_path


def test_an_untouched_folder_is_sound(folder: Path) -> None:
    assert verify(folder) == []
    listed = json.loads((folder / MANIFEST).read_text())["files"]
    assert set(listed) == {"model.safetensors", "tinyforge/run.json"}


def test_a_flipped_bit_is_seen(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weighta")
    [line] = verify(folder)
    assert line.startswith("model.safetensors: changed, its SHA-256")


def test_a_cut_file_is_seen(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weig")
    assert verify(folder) == ["model.safetensors: changed, 4 bytes instead of 7"]


def test_missing_and_extra_files_are_seen(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "tinyforge" / "more.txt").write_text("")
    assert verify(folder) == [
        "model.safetensors: missing",
        "tinyforge/more.txt: extra, not in the manifest",
    ]


@pytest.mark.parametrize(
    "content", ['{"files": {"../x": {"bytes": 1, "sha256": ""}}}', '{"files": 3}', "[]", "{"]
)
def test_a_bad_manifest_is_refused(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    with pytest.raises(FolderError, match=r"manifest\.json"):
        verify(folder)
