"""Files are whole or not there; what the disk refuses is one clear line."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tinyforge.artifacts.files import disk_errors, read_json, sha256, write_json, write_text
from tinyforge.errors import FolderError


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, "é"], "b": {"c": True}}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_infinity_becomes_null(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": float("nan"), "b": float("inf")})
    assert read_json(tmp_path / "x.json") == {"a": None, "b": None}


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "x.json", "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FolderError, match=r"x\.json: the disk is full.*Free some space"):
        write_text(tmp_path / "x.json", "new")
    assert (tmp_path / "x.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(FolderError, match=r"x\.json: is damaged"):
        read_json(tmp_path / "x.json")


def test_missing_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"x\.json: cannot be read"):
        read_json(tmp_path / "x.json")


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x").startswith("ba7816bf8f01cfea")


@pytest.mark.parametrize(
    ("number", "line"), [(errno.EDQUOT, "the disk is full"), (errno.EACCES, "cannot be written")]
)
def test_disk_errors_in_words(tmp_path: Path, number: int, line: str) -> None:
    def refuse() -> Any:
        raise OSError(number, os.strerror(number))

    with pytest.raises(FolderError, match=line), disk_errors(tmp_path):
        refuse()
