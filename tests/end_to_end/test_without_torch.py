"""An exported folder answers and is scored in a process that can import neither torch nor
transformers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from onnx_folders import LABELS, write_classifier

from tinyforge.artifacts.manifest import write_manifest
from tinyforge.inference.onnx.model import OnnxModel

BLOCKED = """
import sys

class Absent:
    names = {"torch", "transformers", "peft", "safetensors", "onnx", "huggingface_hub"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
"""As if what ``tinyforge[training]`` and ``[onnx]`` bring were not installed."""

TEXTS = ["the cat sat", "how are you today", "a mat"]


def run(program: str, *, answer: int = 0) -> subprocess.CompletedProcess[str]:
    """A program in a fresh process without torch."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKED + program],
        capture_output=True, text=True, encoding="utf-8", timeout=120,
        env={**os.environ, "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert done.returncode == answer, done.stderr
    return done


def command(*words: str, answer: int = 0) -> subprocess.CompletedProcess[str]:
    """A command line in a fresh process without torch."""
    program = f"from tinyforge.cli.main import main; sys.exit(main({list(words)!r}))"
    return run(program, answer=answer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = write_classifier(tmp_path_factory.mktemp("without") / "export")
    write_manifest(made)
    return made


@pytest.fixture(scope="module")
def answers(folder):
    """What the same folder answers here, where torch is installed."""
    model = OnnxModel.load(folder)
    found = model.predict(TEXTS)
    model.close()
    return found


def test_torch_is_really_absent():
    run("import torch", answer=1)


def test_loaded_in_python(folder, answers):
    program = f"""
import json, tinyforge
model = tinyforge.load({str(folder)!r})
found = model.predict({TEXTS!r})
print(json.dumps([[p.output, p.confidence, dict(p.scores), p.model] for p in found]))
model.close()
"""
    found = json.loads(run(program).stdout)
    assert found == [[p.output, p.confidence, dict(p.scores), p.model] for p in answers]


def test_predict_on_the_command_line(folder, answers, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"input": text}) + "\n" for text in TEXTS))
    for words in (["--input", str(rows)], TEXTS):
        done = command("predict", str(folder), *words, "--json")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["output"] for row in found] == [p.output for p in answers]
        assert [row["confidence"] for row in found] == [p.confidence for p in answers]


def test_evaluate_on_the_command_line(folder, tmp_path, answers):
    rows = tmp_path / "rows.jsonl"
    pairs = [
        (text, LABELS[i % 3] if i % 4 else p.output)
        for i in range(30)
        for text, p in zip(TEXTS, answers, strict=True)
    ]
    rows.write_text("".join(json.dumps({"input": a, "output": b}) + "\n" for a, b in pairs))
    page = tmp_path / "report.html"
    done = command("evaluate", str(folder), str(rows), "--json", "--report", str(page))
    result = json.loads(done.stdout.splitlines()[-1])
    known = dict(zip(TEXTS, (p.output for p in answers), strict=True))
    accuracy = sum(known[a] == b for a, b in pairs) / len(pairs)
    assert result["metrics"]["accuracy"] == pytest.approx(accuracy)
    assert page.read_text(encoding="utf-8").startswith("<!")


def test_a_model_that_needs_torch_says_so_in_one_line(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    done = command("predict", str(tmp_path), "hello", answer=2)
    assert "pip install 'tinyforge[training]'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module", params=["t5", "gpt"])
def writer(request, tmp_path_factory):
    """An export that writes, and what its PyTorch model answers: a T5, and a Llama that chats."""
    pytest.importorskip("onnx", reason="needs tinyforge[onnx]")
    from export_runs import model_of

    from tinyforge.export.graphs import write_graphs

    source = model_of(request.param)
    made = tmp_path_factory.mktemp("writer") / "export"
    write_graphs(source, made)
    return made, [p.output for p in source.predict(TEXTS, max_new_tokens=9)]


@pytest.mark.slow
def test_written_answers_are_those_of_pytorch(writer, tmp_path):
    made, wanted = writer
    done = command("predict", str(made), *TEXTS, "--json", "--max-new-tokens", "9")
    assert [json.loads(line)["output"] for line in done.stdout.splitlines()] == wanted
    done = command("predict", str(made), TEXTS[0], "--stream", "--max-new-tokens", "9")
    assert done.stdout.rstrip("\n") == wanted[0]
    program = f"""
import tinyforge
from tinyforge.records.examples import Example
model = tinyforge.load({str(made)!r})
print(model.log_likelihoods([Example(input="the cat", output="sat")])[0].tokens)
asked = tinyforge.load({str(made)!r}, prompt={{"template": "{{input}}", "labels": ["a", "b"]}})
print(asked.predict("the cat").output)
"""
    found = run(program).stdout.split()
    assert int(found[0]) > 0
    assert found[1] in ("a", "b")


def test_everything_that_an_export_needs_is_imported_without_torch():
    """Also what only some exports use."""
    run(
        """
import importlib, pkgutil, tinyforge.inference.onnx as onnx, tinyforge.tasks as tasks
for package in (onnx,):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
for name in tasks.TASKS.names():
    tasks.TASKS.get(name)
for name in ("recipes.predict", "recipes.questions", "recipes.evaluate", "recipes.models",
             "inference.prompted", "text.templates", "text.sandbox", "cli.predict", "cli.evaluate"):
    importlib.import_module("tinyforge." + name)
"""
    )


def test_a_damaged_export_is_refused_in_one_line(tmp_path):
    made = write_classifier(tmp_path / "export")
    graph = made / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-20])
    done = command("predict", str(made), "hello", answer=2)
    assert done.stderr.count("\n") == 1
    assert "model.onnx" in done.stderr


def test_an_export_that_did_not_pass_its_gate_says_so(tmp_path):
    made = write_classifier(tmp_path / "export", ready=False)
    done = command("predict", str(made), "the cat")
    assert "has not passed its gate" in done.stderr
    assert done.stdout.strip() in LABELS


def test_a_prompt_on_a_classifier_and_a_revision_are_refused(folder, tmp_path):
    done = command("predict", str(folder), "x", "--prompt", "question", answer=2)
    assert "reads no prompt" in done.stderr
    done = command("predict", str(folder), "x", "--set", "model.revision=main", answer=2)
    assert "no effect on an exported folder" in done.stderr


def test_starting_is_quick_because_little_is_loaded(folder):
    """What is not needed to answer is not imported. No time is asserted: see the counts instead."""
    program = f"""
import tinyforge
tinyforge.load({str(folder)!r}).predict("the cat")
heavy = {{"sklearn", "scipy", "pandas", "pyarrow", "sympy", "jinja2", "tqdm", "click"}}
print("LOADED", *sorted(heavy & set(sys.modules)))
"""
    line = run(program).stdout.splitlines()[-1]
    assert line.split()[1:] == []


def test_the_export_is_not_changed_by_answering(folder):
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = content()
    command("predict", str(folder), "the cat")
    assert content() == before
