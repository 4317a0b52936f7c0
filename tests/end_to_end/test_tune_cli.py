"""``tinyforge tune`` through the real command line, and its page in the documentation."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import PROGRAM, last_object

from tinyforge.cli.main import main
from tinyforge.cli.tune_progress import TuneProgress
from tinyforge.config.names import settings_table
from tinyforge.config.tune import TuneRunSettings

pytest.importorskip("optuna")

pytestmark = pytest.mark.usefixtures("empty_folder")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "tune_settings.md"
TEXT = PAGE.read_text(encoding="utf-8")
BERT = "{hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64}"
MODEL = ("--model", "scratch:bert-tiny", "--set", f"model.shape={BERT}")
QUICK = ("--set", "evaluate.baselines=false", "--set", "evaluate.bootstrap_samples=200")
WORDS = ["apple", "river", "stone", "cloud", "garden", "window", "paper", "music", "winter", "sun"]


def rows(name: str, count: int = 60) -> str:
    rng = random.Random(0)
    lines = []
    for _ in range(count):
        label = rng.choice(["yes", "no"])
        text = " ".join(rng.choices(WORDS, k=rng.randint(5, 9)))
        lines.append({"text": f"{'good' if label == 'yes' else 'bad'} {text}", "label": label})
    Path(name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return name


def test_from_rows_to_the_best_model(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tune", rows("rows.jsonl"), "--output", "out", "--trials", "3", *MODEL, *QUICK]
    words += ["--max-steps", "4", "--search", "learning_rate=1e-4..1e-2", "--seed", "3"]
    assert main([*words, "--json"]) == 0
    captured = capsys.readouterr()
    result: dict[str, Any] = json.loads(captured.out.splitlines()[-1])
    assert len(captured.out.splitlines()) == 1
    assert result["trials"] == 3
    assert result["verdict"] in ("better", "not better", "cannot tell")
    assert result["default"]["number"] == 1
    assert {"output_dir", "task", "model", "metrics", "baselines", "seconds"} <= set(result)
    said = captured.err
    assert "searching train.learning_rate: 0.0001 to 0.01 (logarithmic) (you asked for it)" in said
    assert "train.epochs is not searched: train.max_steps says how much is learnt" in said
    assert "trial 1 of 3: the default settings" in said
    assert re.search(r"trial 3 of 3: learning rate \S+, warmup share", said)
    assert re.search(r"trial 1: accuracy [\d.]+, best so far \(after \d+ s\)", said)
    assert "other programs" not in said.replace("warning: other programs", "", 1)

    assert main(["predict", "out", "good river stone"]) == 0
    assert main(["verify", "out"]) == 0
    assert main(["train", "rows.jsonl", "--output", "again", "--config", result["config"]]) == 0
    capsys.readouterr()
    assert (
        Path("again/model.safetensors").read_bytes() == Path("out/model.safetensors").read_bytes()
    )
    assert main([*words, "--resume"]) == 0
    captured = capsys.readouterr()
    assert "nothing was done" in captured.err
    assert "Settings: out/tinyforge/best.yaml" in captured.out
    assert main(words) == 2
    assert "--force" in capsys.readouterr().err


def test_with_a_clock_alone_as_many_trials_as_fit(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tune", rows("rows.jsonl"), "--output", "out", *MODEL, *QUICK]
    assert main([*words, "--max-minutes", "0.1", "--json"]) == 0
    result = last_object(capsys.readouterr().out)
    assert result["ended"] == "The time was used up."
    assert result["default"]["max_minutes"] == pytest.approx(0.1 / 5)
    assert result["default"]["stopped_because"] in ("max_minutes", "early_stopping")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--trials", "1"], "tune.trials: must be a whole number, at least 2"),
        (["--trials", "many"], "tune.trials: must be a whole number"),
        (["--max-minutes", "0"], "tune.max_minutes: must be a number above 0"),
        (["--search", "learning_rate"], "--search: not of the form NAME=LOW..HIGH"),
        (["--search", "lr=1..2", "--search", "lr=3..4"], "searched twice"),
        (["--search", "learning_rat=1..2"], "Did you mean"),
        (["--search", "data.max_length=8..16"], "data.max_length: cannot be searched"),
        (["--set", "tune.trial=3"], "Did you mean 'tune.trials'"),
        (["--resume", "--force"], "Give one of the two"),
    ],
)
def test_mistakes_end_in_one_line(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = rows("rows.jsonl")
    assert main(["tune", data, "--output", "out", *MODEL, *words]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert expected in line
    assert not Path("out").exists()


def test_without_optuna_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune", rows("rows.jsonl"), "--output", "out"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pip install 'tinyforge[tune]'" in said
    assert not Path("out").exists()


def test_the_help_loads_neither_torch_nor_optuna() -> None:
    program = (
        "from tinyforge.cli.main import main; assert main(['tune', '--help']) == 0\n"
        "import sys; print('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded.isdisjoint({"torch", "transformers", "optuna", "numpy"})


def test_the_bar_shows_the_trials_and_the_best_so_far(capsys: pytest.CaptureFixture[str]) -> None:
    def trial(number: int, **more: Any) -> Any:
        given = {
            "number": number, "default": number == 1, "values": {"train.learning_rate": 1e-3},
            "state": "running", "value": None, "reason": "", "seconds": 5.0, **more,
        }  # fmt: skip
        return SimpleNamespace(**given)

    best = trial(1, state="complete", value=0.9)
    with TuneProgress(terminal=True) as progress:
        progress.tell(SimpleNamespace(trial=trial(2), total=4, metric="accuracy", best=best))
        progress.on_start(SimpleNamespace(total_steps=10))
        progress.on_validation(SimpleNamespace(values={"accuracy": 0.8}))
        progress.on_step(SimpleNamespace(step=5))
        time.sleep(0.2)  # the bar is drawn ten times a second at most
        progress.on_step(SimpleNamespace(step=10))
        worse = trial(2, state="pruned", value=0.8, reason="stopped at 50% of its way")
        progress.tell(SimpleNamespace(trial=worse, total=4, metric="accuracy", best=best))
    said = capsys.readouterr().err
    assert " 50% |" in said
    assert "trial 2 of 4, accuracy 0.8, best 0.9 (trial 1)" in said
    assert "trial 2: accuracy 0.8, stopped at 50% of its way (after 5 s)" in said


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_the_same(tmp_path: Path) -> None:
    rows("rows.jsonl", 300)
    line = [
        *PROGRAM,
        "tune",
        "rows.jsonl",
        "--trials",
        "5",
        *MODEL,
        *QUICK,
        "--max-steps",
        "40",
        "--json",
        "--set",
        "train.checkpoint_every=5",
    ]
    line += ["--set", "train.validate_every=4", "--set", "train.precision=float32"]

    def ended(output: str, *more: str) -> tuple[dict[str, Any], bytes]:
        done = subprocess.run([*line, "--output", output, *more], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        weights = (Path(output) / "model.safetensors").read_bytes()
        return last_object(done.stdout), weights

    began = time.monotonic()
    whole, weights = ended("whole")
    seconds = time.monotonic() - began
    rng = random.Random(int(os.environ.get("KILL_SEED", "0")))
    for kill in range(6):
        process = subprocess.Popen(
            [*line, "--output", "killed", *(["--resume"] if Path("killed").exists() else [])],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            process.wait(timeout=rng.uniform(0.3, 0.6) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL if kill % 2 else signal.SIGTERM)
            process.wait()
    again, same = ended("killed", "--resume")
    assert same == weights
    assert again["best"]["values"] == whole["best"]["values"]
    assert again["sentence"] == whole["sentence"]


def test_the_page_names_flags_settings_and_links_that_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for line in re.findall(r"tinyforge ((?:tune|train|verify|predict)\b[^`\n]*)", TEXT):
        main([line.split()[0], "--help"])
        known = re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)) <= set(known), line
    table = settings_table(TuneRunSettings)
    named = set(re.findall(r"\b(?:tune|train|lora|model)\.[a-z_]+\b", TEXT)) - {"train.md"}
    assert len(named) >= 8
    assert named <= set(table)
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT):
        assert (PAGE.parent / link).exists(), link


@pytest.mark.slow
def test_the_pages_program_runs_as_written(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        timeout=300, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Choosing among 3 trials" in done.stdout
