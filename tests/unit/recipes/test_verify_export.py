"""Verify of an export: bytes, then answers; what it says where it cannot ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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

METRIC = {
    "exported": 0.80, "source": 0.81, "difference": -0.01, "low": -0.03, "high": 0.01,
    "allowed": 0.02,
}  # fmt: skip
RECORDED = {"ready": True, "precision": "int8", "weights": "0123456789ab", "parameters": 12}
PASSED = {
    "ready": True, "kind": "onnx", "precision": "int8", "golden": 1,
    "source": {"model": "0123456789ab", "parameters": 12},
    "checks": [
        {"name": "files", "passed": True}, {"name": "metric", "passed": True, "figures": METRIC}
    ],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Looks like an export; its graph is none."""
    (tmp_path / "tinyforge").mkdir()
    (tmp_path / RECORD).write_text(json.dumps(RECORDED))
    (tmp_path / GATE).write_text(json.dumps(PASSED))
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
    """A file of the export is missing, as any other may be: exit code 3."""
    (folder / MANIFEST).unlink()
    with pytest.raises(ConditionError, match="never finished, or not all of it was copied"):
        verify(folder).require_sound()


def test_a_run_without_a_manifest_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="has no manifest"):
        verify(tmp_path)
    with pytest.raises(FolderError, match="no such folder"):
        verify(tmp_path / "nowhere")


def edited(path: Path, change: Any) -> None:
    """A JSON file with other content."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


EDITS: dict[str, tuple[Any, Any, str]] = {
    "a better score": (
        GATE, lambda g: g["checks"][1]["figures"].update(exported=0.93), "contradict each other"
    ),
    "a loss that is no more": (
        GATE, lambda g: g["checks"][1]["figures"].update(allowed=0.001), "contradict each other"
    ),
    "an interval elsewhere": (
        GATE, lambda g: g["checks"][1]["figures"].update(low=0.0), "contradict each other"
    ),
    "figures that are none": (
        GATE, lambda g: g["checks"][1]["figures"].update(source="good"), "contradict each other"
    ),
    "a check that was refused": (
        GATE, lambda g: g["checks"][0].update(passed=False), "did not pass"
    ),
    "no checks": (GATE, lambda g: g.update(checks=[]), "no checks"),
    "another precision": (GATE, lambda g: g.update(precision="fp32"), "says precision int8"),
    "another source": (
        RECORD, lambda r: r.update(weights="ffffffffffff"), "says weights ffffffffffff"
    ),
    "fewer parameters": (RECORD, lambda r: r.update(parameters=3), "says parameters 3"),
    "not ready": (RECORD, lambda r: r.update(ready=False), "says ready False"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(EDITS))
def test_whoever_edits_a_file_and_the_manifest_has_not_edited_all(
    name: str, folder: Path, answers: list[object]
) -> None:
    path, change, said = EDITS[name]
    edited(folder / path, change)
    write_manifest(folder)
    assert said in verify(folder).problems[0]


def test_golden_answers_that_were_taken_out(folder: Path, answers: list[object]) -> None:
    """No question has no wrong answer."""
    path = folder / "tinyforge" / "golden.jsonl"
    for content in (b"", 2 * path.read_bytes()):
        path.write_bytes(content)
        write_manifest(folder)
        [problem] = verify(folder).problems
        assert "and the gate kept 1" in problem


def test_a_perplexity_without_bound_is_no_contradiction(
    folder: Path, answers: list[object]
) -> None:
    edited(folder / GATE, lambda g: g["checks"][1]["figures"].update(source=None, difference=None))
    write_manifest(folder)
    assert verify(folder).problems == []


@pytest.mark.parametrize("name", ["tinyforge/lock", "tinyforge/work/graph.onnx"])
def test_what_only_a_run_keeps_is_not_of_an_export(name: str, folder: Path) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"smuggled")
    assert verify(folder).problems == [f"{name}: extra, not in the manifest"]


def test_links_are_not_of_an_export(folder: Path, tmp_path_factory: Any) -> None:
    """Even one to the very bytes: what it points to may change, or not come along."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "model.onnx").rename(elsewhere / "model.onnx")
    (folder / "model.onnx").symlink_to(elsewhere / "model.onnx")
    (folder / "more").symlink_to(elsewhere)
    assert verify(folder).problems == [
        "model.onnx: a symbolic link, which an export may not have",
        "more: a symbolic link, which an export may not have",
    ]


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
    (folder / GATE).write_text(json.dumps({**PASSED, "kind": "gguf"}))
    write_manifest(folder)
    assert "llama.cpp" in verify(folder).summary()
