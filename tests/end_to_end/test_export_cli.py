"""Export, predict and verify through the real command line, on small finished runs."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import PROGRAM, Capture, heed_ctrl_c, objects, run_json
from export_runs import LABELS, graphs_of, rows_of, run_of

import tinyforge
from tinyforge.artifacts.export_folder import read_record
from tinyforge.cli.main import main
from tinyforge.errors import ConditionError, SettingError
from tinyforge.recipes import export_search

pytest.importorskip("onnxscript")

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp()


@pytest.fixture
def quick(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs that were written before are taken again: that is what takes the time."""
    kinds = {str(run_of(kind, base)): kind for kind in ("bert", "t5", "gpt")}

    def write(model: Any, folder: Path) -> None:
        shutil.copytree(graphs_of(kinds[str(model.path)], base), folder)

    monkeypatch.setattr(export_search, "write_graphs", write)


def answers(capsys: Capture, model: str, *texts: str) -> list[dict[str, Any]]:
    assert main(["predict", model, *texts, "--json"]) == 0
    return objects(capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["bert", "t5", "gpt"])
def test_a_run_is_exported_with_no_more_than_an_output(
    kind: str, base: Path, quick: None, capsys: Capture
) -> None:
    run = str(run_of(kind, base))
    found = run_json(capsys, "export", run, "--output", "out")
    assert found["ready"] is True
    assert found["sentence"].startswith("Ready: fp32 graphs.")
    assert "the run's own" in found["judged_on"]
    metric = found["checks"][-1]["figures"]
    assert metric["word"] == ("same" if kind != "gpt" else metric["word"])
    assert metric["difference"] == 0
    saved = json.loads(Path("out/tinyforge/gate.json").read_text())
    assert saved == {k: v for k, v in found.items() if k != "output_dir"}
    assert json.loads(Path("out/tinyforge/export.json").read_text())["ready"] is True

    texts = ["the cat sat", "how are you doing today, my dog?", "mat"]
    ours, theirs = answers(capsys, run, *texts), answers(capsys, "out", *texts)
    for a, b in zip(ours, theirs, strict=True):
        assert a["output"] == b["output"]
        assert a["confidence"] == pytest.approx(b["confidence"], abs=1e-4)
    assert main(["verify", "out"]) == 0
    assert "golden answers are given again in a fresh process" in capsys.readouterr().out


def test_the_same_run_gives_the_same_bytes(base: Path, quick: None) -> None:
    run = str(run_of("bert", base))
    for name in ("one", "two"):
        assert main(["export", run, "--output", name]) == 0
    one, two = (
        json.loads(Path(name, "tinyforge", "manifest.json").read_text())["files"]
        for name in ("one", "two")
    )
    assert {name for name in one if one[name] != two[name]} <= {"README.md"}


@pytest.mark.parametrize(
    ("kind", "precision"),
    [("bert", "int8"), pytest.param("gpt", "int4", marks=pytest.mark.slow),
     pytest.param("t5", "int8", marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_smaller_form(
    kind: str, precision: str, base: Path, quick: None, capsys: Capture
) -> None:
    run = str(run_of(kind, base))
    words = ["export", run, "--output", "out", "--precision", precision, "--max-drop", "10%"]
    found = run_json(capsys, *words)
    assert found["precision"] == precision
    assert found["tried"][-1]["problem"] == ""
    assert run_json(capsys, "verify", "out")["golden"] >= 3


def test_auto_takes_the_smallest_that_holds(base: Path, quick: None, capsys: Capture) -> None:
    run = str(run_of("bert", base))
    found = run_json(capsys, "export", run, "--output", "out", "--precision", "auto")
    assert found["ready"]
    assert found["asked"] == "auto"
    assert all(each["problem"] for each in found["tried"][:-1])


def test_strict_refuses_what_few_rows_cannot_show(
    base: Path, quick: None, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight bits that change no answer of 96 rows: that says little about the next 1,000."""

    def rounded(source: Path, target: Path, scheme: Any, **_: Any) -> None:
        shutil.copytree(source, target)
        replace(read_record(target), precision="int8").write(target)

    monkeypatch.setattr(export_search, "quantize", rounded)
    words = ["export", str(run_of("bert", base)), "--precision", "int8", "--output"]
    found = run_json(capsys, *words, "out")
    assert found["checks"][-1]["figures"]["word"] == "not shown"
    assert "cannot rule it out" in found["sentence"]
    assert not run_json(capsys, *words, "strict", "--strict", code=3)["ready"]
    assert not Path("strict").exists()
    same = run_json(capsys, *words[:2], "--output", "same", "--strict")
    assert same["checks"][-1]["figures"]["word"] == "same"


def test_rows_that_stay_in_the_house(base: Path, quick: None) -> None:
    words = ["export", str(run_of("bert", base)), "--output", "out"]
    assert main([*words, "--set", "export.golden_rows=0"]) == 0
    texts = {row["text"] for row in rows_of("bert")}
    stored = Path("out/tinyforge/golden.jsonl").read_text().splitlines()
    assert stored
    assert not {json.loads(line)["given"]["input"] for line in stored} & texts


def test_rows_of_ones_own(base: Path, quick: None, capsys: Capture) -> None:
    lines = [json.dumps(row) + "\n" for row in rows_of("bert", 80, seed=9)]
    Path("mine.jsonl").write_text("".join(lines))
    words = ["export", str(run_of("bert", base)), "--output", "out", "--data", "mine.jsonl"]
    assert "80 rows of mine.jsonl" in run_json(capsys, *words)["judged_on"]


def test_a_folder_is_replaced_only_on_demand(base: Path, quick: None, capsys: Capture) -> None:
    words = ["export", str(run_of("bert", base)), "--output", "out"]
    assert main(words) == 0
    assert main(words) == 2
    assert "already holds an export" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0
    assert main(["verify", "out"]) == 0
    assert sorted(path.name for path in Path().iterdir()) == ["out"]


def test_the_readme_says_what_works(
    base: Path, quick: None, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["export", str(run_of("bert", base)), "--output", "out"]) == 0
    capsys.readouterr()
    text = Path("out/README.md").read_text()
    blocks = re.findall(r"```(\w*)\n(.*?)```", text, flags=re.DOTALL)
    [program] = [block for language, block in blocks if language == "python"]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd="out", capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in LABELS
    monkeypatch.chdir("out")
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    ours = [line for line in lines if line.startswith("tinyforge ")]
    assert len(ours) == 2
    for line in ours:
        assert main([word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)[1:]]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--precision", "int3"], "export.precision: must be one of fp32"),
        (["--format", "safetensors", "--precision", "int8"], "safetensors cannot be written so"),
        (["--max-drop", "0.5"], "--max-drop: must be a share from 0 to 10%"),
        (["--data", "absent.jsonl"], "absent.jsonl"),
        (["--set", "train.epochs=3"], "unknown setting"),
        (["--report", "no/such/page.html"], "does not exist"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    words: list[str], said: str, base: Path, quick: None, capsys: Capture
) -> None:
    assert main(["export", str(run_of("bert", base)), "--output", "out", *words]) == 2
    error = capsys.readouterr().err
    assert said in error.splitlines()[-1]
    assert "Traceback" not in error
    assert list(Path().iterdir()) == []


def test_models_that_cannot_be_exported(base: Path, quick: None, capsys: Capture) -> None:
    run = run_of("bert", base)
    plain = Path("plain")
    shutil.copytree(run, plain, ignore=shutil.ignore_patterns("run.json", "manifest.json"))
    assert main(["export", str(plain), "--output", "out"]) == 2
    assert "no test rows to judge its export on" in capsys.readouterr().err
    assert main(["export", str(run), "--output", "made"]) == 0
    capsys.readouterr()
    assert main(["export", "made", "--output", "again"]) == 2
    assert "is an export already" in capsys.readouterr().err
    assert main(["export", "absent-model", "--output", "again"]) == 2
    (plain / "tinyforge" / "prompt.json").write_text("{}")
    assert main(["export", str(plain), "--output", "again"]) == 2
    assert "answers by a prompt" in capsys.readouterr().err


def test_rows_that_changed_are_not_taken(base: Path, tmp_path: Path, capsys: Capture) -> None:
    home = run_of("bert", base).parent
    shutil.copytree(home, "moved")
    record = Path("moved/run/tinyforge/run.json")
    content = json.loads(record.read_text())
    content["data"] = str(tmp_path / "moved" / "rows.jsonl")
    record.write_text(json.dumps(content))
    with Path("moved/rows.jsonl").open("a") as file:
        file.write(json.dumps({"text": "good new row", "label": "yes"}) + "\n")
    assert main(["export", "moved/run", "--output", "out"]) == 2
    assert "gone, or are no longer the same" in capsys.readouterr().err
    assert not Path("out").exists()


def test_in_python(base: Path, quick: None, tmp_path: Path) -> None:
    run, told = run_of("bert", base), list[str]()
    made = tinyforge.export(run, "out", precision="fp32", max_drop="1%", tell=told.append)
    assert made.gate["max_drop"] == 0.01
    assert told
    tinyforge.verify("out").require_sound()
    assert tinyforge.load("out").predict("good river").output in LABELS
    with pytest.raises(SettingError, match=r"Did you mean 'export\.golden_rows'"):
        tinyforge.export(run, "other", goldenrows=3)
    Path("out/model.onnx").write_bytes(b"")
    with pytest.raises(ConditionError, match=r"model\.onnx: changed"):
        tinyforge.verify("out").require_sound()


def start(run: Path) -> subprocess.Popen[str]:
    """An export in a process of its own, in the middle of writing graphs."""
    process = subprocess.Popen(
        [*PROGRAM, "export", str(run), "--output", "out"], stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    assert process.stderr is not None
    while "writing the graphs" not in (line := process.stderr.readline()):
        assert line, "it ended too soon"
    time.sleep(0.5)
    return process


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM]
)
def test_a_stopped_export_leaves_nothing(number: signal.Signals, base: Path) -> None:
    process = start(run_of("t5", base))
    process.send_signal(number)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 128 + number, told
    assert told.splitlines()[-1].startswith("stopped")
    assert list(Path().iterdir()) == []


@pytest.mark.slow
def test_a_killed_export_is_cleared_away_by_the_next(base: Path, quick: None) -> None:
    process = start(run_of("bert", base))
    process.kill()
    process.communicate(timeout=60)
    assert not Path("out").exists()
    assert main(["export", str(run_of("bert", base)), "--output", "out"]) == 0
    assert sorted(path.name for path in Path().iterdir()) == ["out"]


@pytest.mark.parametrize("precision", ["fp32", pytest.param("fp16", marks=pytest.mark.slow)])
def test_a_plain_folder(precision: str, base: Path, capsys: Capture) -> None:
    run = str(run_of("bert", base))
    words = ["export", run, "--output", "out", "--format", "safetensors"]
    found = run_json(capsys, *words, "--precision", precision)
    assert found["kind"] == "safetensors"
    assert [check["name"] for check in found["checks"]] == [
        "files", "reading", "weights", "logits", "answers", "fresh", "metric",
    ]  # fmt: skip
    assert main(["verify", "out"]) == 0
    capsys.readouterr()
    texts = ["good river stone", "bad sun"]
    ours, theirs = answers(capsys, run, *texts), answers(capsys, "out", *texts)
    assert [a["output"] for a in ours] == [b["output"] for b in theirs]


@pytest.mark.parametrize("precision", ["fp32", pytest.param("fp16", marks=pytest.mark.slow)])
def test_a_gguf_file(precision: str, base: Path, capsys: Capture) -> None:
    pytest.importorskip("gguf")
    run = str(run_of("gpt", base))
    words = ["export", run, "--output", "out", "--format", "gguf", "--max-drop", "5%"]
    found = run_json(capsys, *words, "--precision", precision)
    assert found["ready"]
    assert [check["name"] for check in found["checks"]] == [
        "reading", "weights", "logits", "answers", "metric",
    ]  # fmt: skip
    assert Path("out/model.gguf").is_file()
    assert main(["verify", "out"]) == 0
    assert "llama.cpp" in capsys.readouterr().out
