"""Preference training through the real command line: train, judge, resume, export, evaluate."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_line import PROGRAM, last_object
from task_models import gpt_tokenizer, language_model

import tinyforge
from tinyforge.errors import DataError, ModelError
from tinyforge.text.templates import ensure_template
from tinyforge.train.hooks import Listener, StepResult

STEPS = ["--max-steps", "12", "--set", "train.learning_rate=0.003", "--set", "data.test_share=0.3"]


def cli(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """One command."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random chat model and pairs: those that say never are chosen."""
    folder = tmp_path_factory.mktemp("preferences")
    language_model("llama").save_pretrained(folder / "base")
    tokenizer = gpt_tokenizer()
    ensure_template(tokenizer)
    tokenizer.save_pretrained(folder / "base")
    draw = random.Random(0)
    words = ["hello", "good", "morning", "see", "you", "soon", "bot", "cat", "mat", "dog", "door"]
    rows = []
    for number in range(160):
        question = " ".join(draw.sample(words, 4)) + f" {number}?"
        chosen, rejected = (" ".join([first, *draw.sample(words, 2)]) for first in ("never", "yes"))
        rows.append({"prompt": question, "chosen": chosen, "rejected": rejected})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "pairs.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(place: Path) -> dict[str, Any]:
    """What ``train --json`` says; the model is in ``kind``."""
    done = cli(
        "train", "pairs.jsonl", "--model", "base", "--output", "kind", "--json", *STEPS, cwd=place
    )
    assert done.returncode == 0, done.stderr
    return last_object(done.stdout)


def test_the_verdict_is_against_the_model_before(place: Path, trained: dict[str, Any]) -> None:
    assert (trained["task"], trained["verdict"]) == ("preference", "better")
    report = json.loads((place / "kind/tinyforge/report.json").read_text())
    assert set(report["baselines"]) == {"untuned_model"}
    assert "with the chosen answer likelier" in report["verdict"]["sentence"]
    score = report["evaluation"]["scores"]["preference_accuracy"]
    assert score["low"] <= score["value"] <= score["high"]
    history = report["training"]["history"]["train"]
    assert history[0]["loss"] == pytest.approx(0.6931, abs=0.01)  # log 2: nothing has moved yet


def test_the_model_chats(place: Path, trained: dict[str, Any]) -> None:
    model = tinyforge.load(place / "kind")
    assert model.task.name == "instruct"
    assert isinstance(model.predict("hello?").output, str)


def test_any_writing_model_is_judged_on_pairs(place: Path, trained: dict[str, Any]) -> None:
    judged = tinyforge.evaluate(place / "kind", place / "pairs.jsonl", baseline=place / "base")
    assert judged.evaluation.task == "preference"
    assert judged.verdict is not None
    assert judged.verdict.word == "better"


def weights(folder: Path) -> str:
    """SHA-256 of the weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(place: Path) -> None:
    class PowerCut(Listener):
        def on_step(self, result: StepResult) -> None:
            if result.step == 7:
                raise RuntimeError("power cut")

    how: dict[str, Any] = {
        "model": str(place / "base"),
        "max_steps": 12,
        "learning_rate": 0.003,
        "settings": {"train.checkpoint_every": 3},
    }
    data = place / "pairs.jsonl"
    tinyforge.train(data, output_dir=place / "whole", **how)
    with pytest.raises(RuntimeError, match="power cut"):
        tinyforge.train(data, output_dir=place / "halves", listeners=[PowerCut()], **how)
    tinyforge.train(data, output_dir=place / "halves", resume=True, **how)
    assert weights(place / "whole") == weights(place / "halves")


@pytest.mark.slow
def test_adapters_learn_it_too(place: Path) -> None:
    done = cli(
        "train", "pairs.jsonl", "--model", "base", "--output", "lora", "--lora", "--json",
        "--set", "train.max_steps=30", "--set", "train.learning_rate=0.01", cwd=place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert last_object(done.stdout)["verdict"] == "better"
    assert (place / "lora/adapter").is_dir()


@pytest.mark.slow
def test_the_export_is_judged_on_the_runs_own_pairs(place: Path, trained: dict[str, Any]) -> None:
    done = cli("export", "kind", "--output", "kind-onnx", "--json", cwd=place)
    assert done.returncode == 0, done.stderr + done.stdout
    result = last_object(done.stdout)
    assert "preference_accuracy" in json.dumps(result)


def test_other_models_and_rows_are_refused(place: Path) -> None:
    with pytest.raises(ModelError, match="preference cannot be learnt by an encoder"):
        tinyforge.train(place / "pairs.jsonl", "scratch:bert-tiny", output_dir=place / "no")
    rows = [{"prompt": f"a {n}", "completion": f"b {n}"} for n in range(9)]
    with pytest.raises(DataError, match="needs a better and a worse answer in each row"):
        tinyforge.train(rows, str(place / "base"), task="preference", output_dir=place / "no")
