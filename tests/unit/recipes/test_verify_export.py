"""Verify of an export: bytes, then answers; what it says where it cannot ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinyforge.artifacts.export_folder import GATE, RECORD
from tinyforge.artifacts.manifest import MANIFEST, write_manifest
from tinyforge.cli.main import main
from tinyforge.errors import ConditionError, FolderError
from tinyforge.export.gate import fresh
from tinyforge.export.gate.golden import golden_of, write_golden
from tinyforge.recipes.verify import verify
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Looks like an export; its graph is none."""
    (tmp_path / "tinyforge").mkdir()
    (tmp_path / RECORD).write_text("{}")
    (tmp_path / GATE).write_text(json.dumps({"ready": True, "kind": "onnx"}))
    (tmp_path / "model.onnx").write_bytes(b"graph")
    answer = Prediction("yes", 0.9, labels=("yes",))
    write_golden(
        tmp_path,
        [golden_of(Example(input="a"), answer, max_new_tokens=None, precision="fp32")],
    )
    write_manifest(tmp_path)
    return tmp_path


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the fresh process gives; replace its content."""
    given: list[object] = [
        {"output": "yes", "labels": ["yes"], "finish_reason": "label", "confidence": 0.9005}
    ]
    monkeypatch.setattr(
        fresh, "_run", lambda *_: given[0] if isinstance(given[0], str) else list(given)
    )
    return given


def test_a_sound_export(folder: Path, answers: list[object]) -> None:
    found = verify(folder)
    found.require_sound()
    assert (found.kind, found.golden, found.files) == ("export", 1, 4)
    assert "all 4 files are as they were exported, and all 1 golden" in found.summary()


def test_another_answer_is_a_problem(
    folder: Path, answers: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    answers[0] = {"output": "no", "labels": ["no"], "finish_reason": "label", "confidence": 0.9}
    with pytest.raises(ConditionError, match="not the export that passed the gate"):
        verify(folder).require_sound()
    assert main(["verify", str(folder), "--json"]) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out)["sound"] is False
    assert "answered 'no' instead of 'yes'" in captured.err


def test_a_process_that_fails_is_a_problem(folder: Path, answers: list[object]) -> None:
    answers[0] = "it needs torch, which is not there"
    assert verify(folder).problems == ["it needs torch, which is not there"]


def test_damaged_bytes_are_never_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr(fresh, "_run", refuse)
    (folder / "model.onnx").write_bytes(b"grapH")
    [problem] = verify(folder).problems
    assert problem.startswith("model.onnx: changed")


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"algorithm": "sha256"', b'"algorithm": "sha257"'), (b'"format": 1', b'"format": 3'),
     (b'"files"', b'"filez"'), (b"{\n", b"\x7b\x7f")],
)  # fmt: skip
def test_a_flipped_bit_in_the_manifest_itself(folder: Path, old: bytes, new: bytes) -> None:
    path = folder / MANIFEST
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    [problem] = verify(folder).problems
    assert problem.startswith(str(MANIFEST))


@pytest.mark.parametrize("gate", ['{"ready": false}', "[]", '{"ready": "yes"}'])
def test_an_export_that_never_passed(folder: Path, gate: str) -> None:
    (folder / GATE).write_text(gate)
    write_manifest(folder)
    assert verify(folder).problems == [f"{GATE}: it never passed the gate"]


def test_an_export_without_a_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(FolderError, match="never finished, or not all of it was copied"):
        verify(folder)


def test_without_golden_answers(folder: Path) -> None:
    (folder / "tinyforge" / "golden.jsonl").unlink()
    write_manifest(folder)
    assert verify(folder).problems == ["tinyforge/golden.jsonl: missing"]
    (folder / RECORD).unlink()
    write_manifest(folder)
    found = verify(folder)
    assert not found.problems
    assert "no golden answers" in found.summary()


def test_a_gguf_is_not_asked(folder: Path) -> None:
    (folder / RECORD).unlink()
    (folder / GATE).write_text(json.dumps({"ready": True, "kind": "gguf"}))
    write_manifest(folder)
    assert "llama.cpp" in verify(folder).summary()
