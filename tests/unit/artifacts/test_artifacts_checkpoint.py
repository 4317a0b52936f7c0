"""Checkpoints survive kills, full disks and flipped bits."""

from __future__ import annotations

import errno
import logging
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from tinyforge.artifacts import checkpoint as module
from tinyforge.artifacts.checkpoint import (
    all_checkpoints,
    clean_up,
    folder_name,
    latest_good,
    problems,
    prune,
    read_state,
    read_tensors,
    save_checkpoint,
    step_of,
    write_tensors,
)
from tinyforge.errors import FolderError


def save(root: Path, step: int, **more: Any) -> Path:
    folder = root / folder_name(step)
    tensors = {"model": {"w": torch.full((3,), float(step))}, "optimizer": {}}
    save_checkpoint(folder, tensors, {"step": step, "loss": math.nan}, **more)
    return folder


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    folder = save(tmp_path, 12)
    assert torch.equal(read_tensors(folder, "model")["w"], torch.full((3,), 12.0))
    assert read_tensors(folder, "optimizer") == {}
    assert read_state(folder)["step"] == 12
    assert math.isnan(read_state(folder)["loss"])
    assert problems(folder) == []


DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]


@given(
    st.lists(
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3)), max_size=5
    )
)
def test_the_files_are_what_safetensors_reads(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[torch.dtype, list[int]]]
) -> None:
    path = tmp_path_factory.mktemp("tensors") / "x.safetensors"
    tensors = {
        f"t{i}": (torch.arange(math.prod(shape)).reshape(shape) % 2).to(dtype)
        for i, (dtype, shape) in enumerate(kinds)
    }
    entry = write_tensors(path, tensors)
    read = load_file(path)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    assert entry == module.describe(path)


def test_a_view_is_written_as_it_looks(tmp_path: Path) -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    write_tensors(tmp_path / "x.safetensors", {"t": tensor.T})
    assert torch.equal(load_file(tmp_path / "x.safetensors")["t"], tensor.T)


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "manifest.json"])
def test_damage_is_named_and_the_one_before_is_used(
    tmp_path: Path, damage: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1)
    good, bad = save(tmp_path, 2), save(tmp_path, 3)
    content = (bad / name).read_bytes()
    if damage == "flip":
        position = content.index(b'"bytes"') + 1 if name == "manifest.json" else len(content) // 2
        flipped = bytes([content[position] ^ 1])
        (bad / name).write_bytes(content[:position] + flipped + content[position + 1 :])
    elif damage == "cut":
        (bad / name).write_bytes(content[: len(content) // 2])
    else:
        (bad / name).unlink()
    with caplog.at_level(logging.WARNING, "tinyforge"):
        assert latest_good(tmp_path) == good
    assert str(bad / name) in caplog.text


def test_nothing_good_is_none(tmp_path: Path) -> None:
    assert latest_good(tmp_path / "nowhere") is None
    (save(tmp_path, 3) / "state.json").unlink()
    assert latest_good(tmp_path) is None


@pytest.mark.parametrize("call", range(1, 7))
def test_a_full_disk_leaves_the_last_one_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    before = save(tmp_path, 1)
    calls, real = 0, os.fsync

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FolderError, match=r"the disk is full.*last checkpoint is intact"):
        save(tmp_path, 2)
    monkeypatch.undo()
    published = call == 6  # the last sync makes the rename durable
    assert latest_good(tmp_path) == (tmp_path / folder_name(2) if published else before)
    assert not list(tmp_path.glob(".*"))


def test_every_file_is_synced_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_rename = os.fsync, Path.rename

    def sync(descriptor: int) -> None:
        done.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real_sync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        done.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    save(tmp_path, 1)
    before = done[: done.index("rename")]
    names = {"model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"}
    assert names < set(before)
    assert before[-1] == ".step-00000001.tmp"
    assert done[-1] == tmp_path.name


def test_saving_again_replaces(tmp_path: Path) -> None:
    save(tmp_path, 5)
    folder = tmp_path / folder_name(5)
    save_checkpoint(folder, {"model": {"w": torch.zeros(1)}}, {"step": 5, "again": True})
    assert read_state(folder)["again"]
    assert problems(folder) == []
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_killed_replacement_is_cleaned_up(tmp_path: Path) -> None:
    folder = save(tmp_path, 5)
    shutil.copytree(folder, tmp_path / ".step-00000005.tmp")
    folder.rename(tmp_path / ".step-00000005.old.tmp")
    (tmp_path / ".step-00000006.tmp").mkdir()
    clean_up(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert latest_good(tmp_path) == folder


def test_parts_travel_with_a_checkpoint(tmp_path: Path) -> None:
    first = save(tmp_path, 1)
    second = save(tmp_path, 2, parts={"good": first})
    shutil.rmtree(first)
    assert problems(second) == []
    assert read_state(second / "good")["step"] == 1
    assert problems(second / "good") == []
    (second / "good" / "model.safetensors").write_bytes(b"")
    assert "good/model.safetensors" in problems(second)[0]


@pytest.mark.parametrize(
    ("best", "kept"), [(1, [1, 3, 4]), (3, [2, 3, 4]), (4, [2, 3, 4]), (None, [3, 4])]
)
def test_prune_keeps_the_newest_and_the_best(
    tmp_path: Path, best: int | None, kept: list[int]
) -> None:
    for step in (1, 2, 3, 4, 9):
        save(tmp_path, step)
    prune(tmp_path, newest=tmp_path / folder_name(4), keep=2, best=best)
    assert [step_of(path) for path in all_checkpoints(tmp_path)] == kept
    assert len(list(tmp_path.iterdir())) == len(kept)
