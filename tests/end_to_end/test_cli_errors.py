"""Mistakes of a user through the real command line: exit code 2, one line, nothing left behind."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import PROGRAM, Capture, one_thread, refused

WORDS = ["apple", "river", "stone", "cloud", "garden", "window", "paper", "music", "winter"]
RANDOM = random.Random(0)
ROWS = [
    {"text": " ".join([word, *RANDOM.choices(WORDS, k=8)]), "label": label}
    for _ in range(30)
    for word, label in (("good", "yes"), ("bad", "no"))
]


@pytest.fixture(autouse=True)
def some_rows(empty_folder: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    Path("rows.jsonl").write_text(text, encoding="utf-8")


def left_alone(capsys: Capture, *words: str) -> str:
    """The one line that the command ends with; nothing is left behind but rejected rows."""
    before = sorted(str(path) for path in Path().rglob("*"))
    line = refused(capsys, *words)
    if not any(path.stat().st_size for path in Path().rglob("rejected.jsonl")):
        assert sorted(str(path) for path in Path().rglob("*")) == before
    return line


def train(capsys: Capture, *words: str, data: str = "rows.jsonl") -> str:
    model = () if "--model" in words else ("--model", "scratch:bert-tiny")
    return left_alone(capsys, "train", data, "--output", "out", *model, *words)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("absent.jsonl", None, ["absent.jsonl"]),
        ("empty.jsonl", b"", ["empty.jsonl"]),
        ("blank.csv", b"\n\n\n", ["blank.csv"]),
        ("header.csv", b"text,label\n", ["header.csv"]),
        ("broken.jsonl", b'{"text": \n{"text"\n', ["broken.jsonl"]),
        ("numbers.jsonl", b"1\n2\n3\n", ["numbers.jsonl"]),
        ("zeros.jsonl", b"\0" * 4_000, ["zeros.jsonl"]),
        ("not_really.gz", b"plain text", ["not_really.gz"]),
        ("odd.jsonl", b'{"alpha": 1, "beta": 2, "gamma": 3}\n' * 9, ["alpha"]),
    ],
)
def test_data_that_cannot_be_used(
    name: str, content: bytes | None, expected: list[str], capsys: Capture
) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    line = train(capsys, data=name)
    assert all(words in line for words in expected), line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--model", "scratch:bert-tinny"], "bert-tiny"),
        (["--model", "./absent"], "absent"),
        (["--model", "nobody/nothing"], "nobody/nothing"),
        (["--set", "data.output=lable"], "label"),
        (["--test", "absent.csv"], "absent.csv"),
        (["--set", "train.pack=true"], "train.pack: has no effect"),
        (["--set", "model.shape.hidden_sizes=3"], "hidden_sizes"),
        (["--set", "data.max_length=100000000"], "data.max_length"),
        (["--set", "train.best_by=loos"], "train.best_by"),
        (["--resume", "--force"], "--resume"),
    ],
)
def test_settings_that_cannot_be_used(words: list[str], expected: str, capsys: Capture) -> None:
    assert expected in train(capsys, *words)


def test_a_folder_with_other_files_is_not_touched(capsys: Capture) -> None:
    Path("out").mkdir()
    Path("out/thesis.txt").write_text("years of work")
    for words in ([], ["--force"], ["--resume"]):
        assert "out" in train(capsys, *words)
    assert Path("out/thesis.txt").read_text() == "years of work"


def test_an_output_that_is_a_file(capsys: Capture) -> None:
    Path("out").write_text("a file")
    assert "out" in train(capsys)


def test_pickled_weights_are_refused(capsys: Capture) -> None:
    Path("pickled").mkdir()
    Path("pickled/config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    Path("pickled/pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "safetensors" in train(capsys, "--model", "pickled")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["predict", "absent", "hello"], "absent"),
        (["predict", "."], "nothing to answer"),
        (["evaluate", "absent", "rows.jsonl"], "absent"),
        (["inspect", "absent.jsonl"], "absent.jsonl"),
        (["verify", "absent"], "no such folder"),
        (["verify", "."], "has no manifest"),
        (["runs", "absent"], "no such folder"),
    ],
)
def test_other_verbs(words: list[str], expected: str, capsys: Capture) -> None:
    assert expected in left_alone(capsys, *words)


def test_as_a_program() -> None:
    done = subprocess.run(
        [*PROGRAM, "train", "absent.jsonl", "--output", "out"],
        capture_output=True, text=True, env=one_thread(),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_sigterm_before_the_first_step_ends_in_one_line() -> None:
    program = (
        "import sys, os, signal\n"
        "from tinyforge.cli import main\n"
        "main.show_notes = lambda: None\n"
        "sys.argv = ['tinyforge', 'runs', '.']\n"
        "import tinyforge.recipes.runs as runs\n"
        "runs.find_runs = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(main.main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 143
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr
