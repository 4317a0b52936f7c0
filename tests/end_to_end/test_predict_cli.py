"""``tinyforge predict`` as a user meets it: answers, formats, faults, exit codes."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import PROGRAM, objects, one_thread

from tinyforge.cli.main import main
from tinyforge.evaluate.findings.thresholds import Threshold
from tinyforge.inference.torch_model import TorchModel


@pytest.fixture(scope="module")
def writer(hub_cache: Path) -> str:
    """The folder of a tiny random T5."""
    return str(next((hub_cache / "hub" / "models--t5-small" / "snapshots").iterdir()))


@pytest.fixture(scope="module")
def classifier(hub_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny random DistilBERT that knows two labels."""
    import torch
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification

    base = next((hub_cache / "hub" / "models--distilbert-base-uncased" / "snapshots").iterdir())
    tokenizer = AutoTokenizer.from_pretrained(base)
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=len(tokenizer), dim=32, n_layers=1, n_heads=2, hidden_dim=64,
        id2label={0: "ham", 1: "spam"}, label2id={"ham": 0, "spam": 1},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("classifier")
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_text_is_answered(writer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", writer, "how are you"]) == 0
    assert capsys.readouterr().out == TorchModel.load(writer).predict("how are you").output + "\n"


def test_json_lines_have_all_that_is_known(
    classifier: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", classifier, "the cat", "what is your name", "--json"]) == 0
    found = objects(capsys.readouterr().out)
    expected = TorchModel.load(classifier).predict(["the cat", "what is your name"])
    for line, one in zip(found, expected, strict=True):
        assert line["output"] == one.output
        assert line["input"] == one.input
        assert line["confidence"] == pytest.approx(one.confidence)
        assert set(line["scores"]) == {"ham", "spam"}
        assert line["labels"] == [one.output]
        assert line["model"] == one.model
        assert len(line["model"]) == 12


def test_options_reach_the_model(writer: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--temperature", "1.5", "--seed", "7", "--max-new-tokens", "9", "--top-k", "40"]
    assert main(["predict", writer, "the cat", *options]) == 0
    how: dict[str, Any] = {"temperature": 1.5, "seed": 7, "max_new_tokens": 9, "top_k": 40}
    expected = TorchModel.load(writer).predict("the cat", **how).output
    assert capsys.readouterr().out == expected + "\n"
    assert main(["predict", writer, "the cat", *options, "--stream"]) == 0
    assert capsys.readouterr().out == expected + "\n"


def test_answers_that_are_not_sure_enough_are_withheld(
    classifier: str, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["the cat", "what is your name", "you"]
    sure = [p.confidence or 0.0 for p in TorchModel.load(classifier).predict(texts)]
    least = sorted(sure)[1]
    assert main(["predict", classifier, *texts, "--min-confidence", str(least), "--json"]) == 0
    found = objects(capsys.readouterr().out)
    assert [line.get("withheld", False) for line in found] == [value < least for value in sure]
    assert [line["output"] is None for line in found] == [value < least for value in sure]
    assert main(["predict", classifier, "the cat", "--min-confidence", "1"]) == 0
    assert capsys.readouterr().out == "I don't know\n"


def test_the_confidence_chosen_in_training_is_used(
    classifier: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(classifier, model)
    assert main(["predict", str(model), "you", "--min-confidence", "auto"]) == 2
    assert "evaluate.target_accuracy" in capsys.readouterr().err
    (model / "tinyforge").mkdir()
    Threshold(1.0, 0.99, True, 100).save(model)
    assert main(["predict", str(model), "you", "--min-confidence", "auto"]) == 0
    assert capsys.readouterr().out == "I don't know\n"


def test_a_file_of_rows_keeps_its_objects(
    writer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input": "the cat"}\n{broken\n{"input": "how are you", "output": "x"}\n')
    output = tmp_path / "answers.jsonl"
    assert main(["predict", writer, "--input", str(rows), "--output", str(output)]) == 0
    said = capsys.readouterr()
    assert f"{rows}:2: invalid JSON" in said.err
    assert said.out == ""
    found = objects(output.read_text())
    assert [line["input"] for line in found if "error" not in line] == ["the cat", "how are you"]
    assert found[1]["output"] is None
    assert found[1]["error"].startswith(f"{rows}:2: ")
    assert not output.with_name("answers.jsonl.part").exists()
    assert main(["predict", writer, "--input", str(rows)]) == 0
    assert capsys.readouterr().out.count("\n") == 3


def test_standard_input_is_read_line_by_line(
    writer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Pipe:
        buffer = io.BytesIO(b"the cat\nhow are you")

    monkeypatch.setattr(sys, "stdin", Pipe)
    assert main(["predict", writer, "--input", "-", "--json"]) == 0
    found = objects(capsys.readouterr().out)
    assert [line["input"] for line in found] == ["the cat", "how are you"]


def test_what_was_answered_is_kept_when_stopped(
    writer: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = tmp_path / "rows.txt"
    rows.write_text("the cat\n" * 40)
    output = tmp_path / "answers.jsonl"
    output.write_text("before\n")
    real = TorchModel.predict_examples
    calls: list[int] = []

    def stop(self: TorchModel, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, *args, **options)

    monkeypatch.setattr(TorchModel, "predict_examples", stop)
    command = ["predict", writer, "--input", str(rows), "--output", str(output)]
    assert main([*command, "--batch-size", "1", "--max-new-tokens", "2"]) == 130
    part = output.with_name("answers.jsonl.part")
    assert str(part) in capsys.readouterr().err
    assert len(objects(part.read_text())) == 16
    assert output.read_text() == "before\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to answer"),
        (["text", "--input", "x.txt"], "only one"),
        (["--input", "missing.jsonl"], "no such file"),
        (["text", "--stream", "--json"], "--stream"),
        (["text", "--max-new-tokens", "many"], "generate.max_new_tokens"),
        (["text", "--top-k", "5"], "generate.top_k"),
        (["text", "--set", "train.epochs=3"], "train.epochs"),
        (["text", "--set", "data.input=a"], "data.input"),
        (["text", "--set", "model.dropout=0.1"], "model.dropout: has no effect"),
        (["text", "--output", "missing/answers.jsonl"], "--output"),
        (["text", "--temprature", "1"], "--temperature"),
        (["\x00"], "no row could be answered"),
    ],
)
def test_a_mistake_is_one_line(
    writer: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", writer, *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in said.err


def test_a_setting_without_effect_on_labels(
    classifier: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", classifier, "text", "--num-beams", "2"]) == 2
    assert "generate.num_beams: has no effect" in capsys.readouterr().err
    assert main(["predict", classifier, "text", "--stream"]) == 2
    assert "labels" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_failure(writer: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.txt"
    rows.write_text("the cat\n" * 600)
    process = subprocess.Popen(
        [*PROGRAM, "predict", writer, "--input", str(rows), "--json", "--max-new-tokens", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=one_thread(),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    json.loads(process.stdout.readline())
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    process.wait(60)
    assert said == ""
