"""The kernels are compiled once, kept, and done without where they cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from speedup_checks import needs_kernels

from tinyforge.train.speedups import native

compiler = next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None)
needs_shell = pytest.mark.skipif(
    sys.platform == "win32", reason="the fake compiler is a shell script"
)
needs_compiler = pytest.mark.skipif(compiler is None, reason="no C++ compiler here")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, in use."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TINYFORGE_NATIVE", raising=False)
    return tmp_path


def look() -> tuple[bool, str]:
    """What a fresh process would find."""
    found, reason = native._load.__wrapped__()
    return found is not None, reason


def fake_compiler(cache: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a shell script before every other ``g++``."""
    path = cache / "bin" / "g++"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return path


def built(cache: Path) -> list[Path]:
    return sorted((cache / "tinyforge").glob("*"))


@needs_compiler
def test_compiled_once_then_kept(cache: Path) -> None:
    assert look() == (True, "")
    [library] = built(cache)
    written = library.stat().st_mtime_ns
    assert look() == (True, "")
    assert [path.stat().st_mtime_ns for path in built(cache)] == [written]


@needs_kernels
def test_the_name_depends_on_sources_and_flags(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str]) -> str:
        commands.append(command)
        if "-o" in command:
            Path(command[command.index("-o") + 1]).write_bytes(b"library")
        return "some compiler 1.0"

    monkeypatch.setattr(native, "_run", run)
    monkeypatch.setattr(native, "_processor", lambda: "one processor")
    first = native._cached("g++")
    assert first.read_bytes() == b"library"
    assert native._cached("g++") == first
    assert len([command for command in commands if "-o" in command]) == 1
    names = {first}
    monkeypatch.setattr(native, "FLAGS", (*native.FLAGS, "-DOTHER"))
    names.add(native._cached("g++"))
    monkeypatch.setattr(native, "_processor", lambda: "another processor")
    names.add(native._cached("g++"))
    for name in native.SOURCES:
        (cache / name).write_text("// other sources")
    monkeypatch.setattr(native, "__file__", str(cache / "native.py"))
    names.add(native._cached("g++"))
    assert sorted(names) == built(cache)
    assert len(names) == 4


def test_switched_off_in_a_fresh_process() -> None:
    script = "from tinyforge.train.speedups import native as n; print(n.library(), n.why_not())"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env=os.environ | {"TINYFORGE_NATIVE": "0"},
    )  # fmt: skip
    assert done.stdout.strip() == "None TINYFORGE_NATIVE=0 is set"


def test_without_a_compiler(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cache))
    assert look() == (False, "no C++ compiler (g++ or clang++) was found")


@needs_shell
def test_a_broken_compiler(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'case "$1" in --version) echo 1.0;; *) echo "no memory" >&2; exit 1;; esac'
    path = fake_compiler(cache, monkeypatch, script)
    assert look() == (False, f"{path} could not compile the kernels: no memory")
    assert built(cache) == []


@needs_shell
def test_a_compiler_that_makes_rubbish(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """case "$1" in --version) echo 1.0;; *)
    while [ "$1" != -o ]; do shift; done; echo rubbish > "$2";; esac"""
    path = fake_compiler(cache, monkeypatch, script)
    there, reason = look()
    assert not there
    assert reason.startswith(f"{path} could not compile the kernels: ")


@needs_shell
def test_a_cache_that_cannot_be_written(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_compiler(cache, monkeypatch, "echo 1.0")
    (cache / "tinyforge").write_text("a file, not a folder")
    there, reason = look()
    assert not there
    assert str(cache / "tinyforge") in reason


@pytest.mark.parametrize(
    ("tensors", "takes"),
    [
        ([torch.zeros(1)], True),
        ([torch.zeros(1), None], True),
        ([torch.zeros(1, dtype=torch.bfloat16)] * 2, True),
        ([torch.zeros(1), torch.zeros(1, dtype=torch.bfloat16)], False),
        ([torch.zeros(1, dtype=torch.float64)], False),
        ([torch.zeros(1, dtype=torch.float16)], False),
        ([torch.zeros(1, device="meta")], False),
    ],
)
def test_what_the_kernels_take(tensors: list[torch.Tensor | None], takes: bool) -> None:
    assert native.can_take(*tensors) is takes


def test_the_sources_travel_with_the_package() -> None:
    package = Path(native.__file__).parents[2]
    declared = tomllib.loads((package.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = declared["tool"]["setuptools"]["package-data"]["tinyforge"]
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    assert {Path(native.__file__).parent / name for name in native.SOURCES} <= packed
