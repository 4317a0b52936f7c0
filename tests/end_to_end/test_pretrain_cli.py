"""``tinyforge pretrain`` as a user calls it, from raw files to a model that others can load."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import PROGRAM, last_object, one_thread
from pretraining_fakes import SHAPES, sentences

import tinyforge
from tinyforge.cli.main import main

SMALL = {
    "pretrain.context": "32", "pretrain.validation_tokens": "256", "pretrain.sample_tokens": "8",
    "pretrain.test_characters": "20000", "model.vocab_size": "420", "train.max_steps": "12",
    "train.batch_size": "2", "train.threads": "1", "train.checkpoint_every": "4",
    "evaluate.bootstrap_samples": "100", "prepare.workers": "1",
}  # fmt: skip


def words(corpus: Path, output: Path, architecture: str, *more: str, **given: str) -> list[str]:
    line = ["pretrain", str(corpus), "--output", str(output), "--architecture", architecture]
    line += ["--size", "nano", "--json"]
    shape = {f"model.shape.{name}": str(value) for name, value in SHAPES[architecture].items()}
    dotted = {name.replace("__", "."): value for name, value in given.items()}
    for name, value in (SMALL | shape | dotted).items():
        line += ["--set", f"{name}={value}"]
    return [*line, *more]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain text files, each a document."""
    folder = tmp_path_factory.mktemp("texts")
    for number in range(6):
        text = "\n".join(sentences(120, seed=number))
        (folder / f"story-{number}.txt").write_text(text, encoding="utf-8")
    return folder


def digests(output: Path) -> dict[str, str]:
    names = ["model.safetensors", "tokenizer.json", "tinyforge/metrics.jsonl"]
    return {name: hashlib.sha256((output / name).read_bytes()).hexdigest() for name in names}


CLASSES = {
    "gpt": "AutoModelForCausalLM", "t5": "AutoModelForSeq2SeqLM", "bert": "AutoModelForMaskedLM",
}  # fmt: skip


@pytest.mark.parametrize("architecture", list(CLASSES))
def test_a_model_of_ones_own(
    architecture: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Raw texts just as they are; plain loading; and train goes on from it."""
    import transformers

    output = tmp_path / "model"
    assert main(words(corpus, output, architecture, pretrain__prepare="false")) == 0
    found = last_object(capsys.readouterr().out)
    assert found["steps"] == 12
    assert found["verdict"] in ("better", "not better", "cannot tell")
    assert set(found["metrics"]) >= {"bits_per_byte"}
    assert main(["verify", str(output)]) == 0
    report = json.loads((output / "tinyforge" / "report.json").read_text())
    assert report["samples"]
    assert report["cost_table"][0][0] == "this machine"
    assert any("The corpus is small" in line for line in report["advice"])
    page = (output / "tinyforge" / "report.html").read_text()
    assert "What it wrote while it learnt" in page
    assert "one H100" in page
    assert not (output / "tinyforge" / "tokens").exists()

    tokenizer = transformers.AutoTokenizer.from_pretrained(output)
    model, info = getattr(transformers, CLASSES[architecture]).from_pretrained(
        output, output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model(**_inputs(tokenizer, architecture)).logits.isfinite().all()
    capsys.readouterr()

    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(_row(architecture, n)) + "\n" for n in range(40)))
    line = ["train", str(rows), "--model", str(output), "--output", str(tmp_path / "tuned")]
    line += ["--max-steps", "2", "--json", "--set", "evaluate.baselines=false"]
    assert main(line) == 0, capsys.readouterr().err


def _inputs(tokenizer: Any, architecture: str) -> dict[str, Any]:
    inputs: dict[str, Any] = tokenizer("the cat sat", return_tensors="pt")
    kept = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    if architecture == "t5":
        kept["decoder_input_ids"] = inputs["input_ids"]
    return kept


def _row(architecture: str, number: int) -> dict[str, str]:
    text = sentences(1, seed=number)[0]
    if architecture == "gpt":
        return {"prompt": text, "completion": text.split()[0]}
    if architecture == "t5":
        return {"input": text, "output": text.split()[0]}
    return {"text": text, "label": "even" if number % 2 else "odd"}


def test_a_decoder_answers_and_is_evaluated(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model"
    run = tinyforge.pretrain(
        corpus, output_dir=output, size="nano",
        settings={**SMALL_TYPED, "pretrain.prepare": False},
    )  # fmt: skip
    assert run.verdict in ("better", "not better", "cannot tell")
    answer = tinyforge.load(output).predict("the cat", max_new_tokens=5)
    assert answer.output


SMALL_TYPED = {
    "pretrain.context": 32, "pretrain.validation_tokens": 256, "pretrain.sample_tokens": 8,
    "pretrain.test_characters": 20_000, "model.vocab_size": 420, "train.max_steps": 4,
    "train.batch_size": 2, "train.threads": 1, "evaluate.bootstrap_samples": 100,
    "prepare.workers": 1,
}  # fmt: skip


def test_a_plan_is_kept_and_carried_out(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model"
    raw = {"pretrain__prepare": "false"}
    assert main(words(corpus, output, "gpt", "--plan", **raw)) == 0
    planned = last_object(capsys.readouterr().out)
    assert planned["plan"]["steps"] == 12
    assert [cost["hardware"] for cost in planned["costs"]][-1] == "one H100"
    assert not (output / "model.safetensors").exists()
    assert main(words(corpus, output, "gpt", **raw)) == 2
    assert "unfinished run" in capsys.readouterr().err
    assert main(words(corpus, output, "gpt", "--resume", "--seed", "9", **raw)) == 2
    assert "train.seed" in capsys.readouterr().err
    assert main(words(corpus, output, "gpt", "--resume", **raw)) == 0
    assert last_object(capsys.readouterr().out)["steps"] == 12


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"train__epochs": "2"}, "train.epochs"),
        ({"pretrain__whole_words": "true"}, "no effect on a gpt"),
        ({"pretrain__context": "3"}, "at least 8"),
        ({"pretrain__contxt": "3"}, "Did you mean 'pretrain.context'"),
        ({"pretrain__weights.nothing": "3", "pretrain__prepare": "false"}, "no such source"),
    ],
)
def test_mistakes_are_told_in_one_line(
    given: dict[str, str], said: str, corpus: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(words(corpus, tmp_path / "model", "gpt", **given)) == 2
    error = capsys.readouterr().err
    assert said in error.splitlines()[-1]


def test_an_output_within_the_corpus_is_refused(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(corpus, corpus / "model", "gpt")) == 2
    assert "within the corpus" in capsys.readouterr().err
    assert not (corpus / "model").exists()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", list(CLASSES))
def test_kills_change_nothing(architecture: str, corpus: Path, tmp_path: Path) -> None:
    """From raw files on: prepared, tokenised, planned and trained in pieces; the same bytes."""
    kills = int(os.environ.get("KILLS", "8"))
    rng = random.Random(int(os.environ.get("KILL_SEED", "0")))
    more = {"train__max_steps": "60"}
    whole = tmp_path / "whole"
    started = time.monotonic()
    _run(words(corpus, whole, architecture, **more))
    seconds = time.monotonic() - started
    killed = tmp_path / "killed"
    for _ in range(kills):
        extra = ["--resume"] if killed.exists() else []
        process = subprocess.Popen(
            [*PROGRAM, *words(corpus, killed, architecture, *extra, **more)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=one_thread(),
        )  # fmt: skip
        try:
            process.wait(timeout=rng.uniform(2.0, 0.9 * seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        if (killed / "tinyforge" / "manifest.json").exists():
            break
    _run(words(corpus, killed, architecture, "--resume", **more))
    assert digests(killed) == digests(whole)


def _run(line: list[str]) -> None:
    done = subprocess.run([*PROGRAM, *line], capture_output=True, text=True, env=one_thread())
    assert done.returncode == 0, done.stderr
