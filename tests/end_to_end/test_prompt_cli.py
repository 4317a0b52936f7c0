"""Prompts as a user meets them: predict, evaluate, and what training compares with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import last_object

import tinyforge
from tinyforge.cli.main import main

WORDS = {"weather": ["rain", "sun", "wind", "snow"], "money": ["card", "bank", "cash", "loan"]}


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny random GPT-2 that writes letters."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    alphabet = ["<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>")
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=512, n_embd=32, n_layer=1, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("decoder")
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    lines = []
    for i in range(120):
        label = "weather" if i % 2 else "money"
        words = WORDS[label]
        text = f"{words[i % 4]} and {words[(i // 4) % 4]} number {i}"
        lines.append(json.dumps({"text": text, "label": label}))
    path.write_text("\n".join(lines))
    return str(path)


def test_a_template_and_a_file(
    decoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", decoder, "the card", "--max-new-tokens", "4"]
    assert main([*words, "--prompt", "Say: {input}"]) == 0
    answer = capsys.readouterr().out.rstrip("\n")
    assert main(["predict", decoder, "Say: the card", "--max-new-tokens", "4"]) == 0
    assert answer == capsys.readouterr().out.rstrip("\n").strip()
    path = tmp_path / "p.yaml"
    path.write_text("template: 'Text: {input} Label:'\nanswer_prefix: ' '\nlabels: [a, b]\n")
    assert main(["predict", decoder, "the card", "--prompt", str(path), "--json"]) == 0
    found = last_object(capsys.readouterr().out)
    assert found["output"] in ("a", "b")
    assert sum(found["scores"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("clasify", "Did you mean 'classify'?"),
        ("classify", "the prompt chooses a label and names none"),
        ("missing.yaml", "cannot be read"),
    ],
)
def test_mistakes_are_one_line(
    decoder: str, prompt: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", decoder, "a", "--prompt", prompt]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


def test_evaluate_takes_the_labels_of_the_rows(
    decoder: str, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", decoder, rows, "--prompt", "classify", "--json"]) == 0
    found = last_object(capsys.readouterr().out)
    assert 0 < found["metrics"]["accuracy"] < 1
    assert {row["label"] for row in found["labels"]} == {"weather", "money"}


def test_a_saved_folder(
    decoder: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = {"template": "{input}:", "answer_prefix": " ", "labels": ["weather", "money"]}
    model = tinyforge.load(decoder, prompt=prompt)
    folder = str(model.save(tmp_path / "asked"))  # type: ignore[union-attr]
    assert main(["verify", folder]) == 0
    assert main(["predict", folder, "the card"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == model.predict("the card").output
    assert main(["evaluate", folder, rows, "--json"]) == 0
    assert "accuracy" in last_object(capsys.readouterr().out)["metrics"]


def test_training_compares_with_the_model_asked_by_a_prompt(
    decoder: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = [
        "train", rows, "--output", str(out), "--model", decoder, "--max-steps", "4", "--json",
        "--set", "data.test_share=0.3", "--set", "evaluate.prompt_rows=12",
        "--set", "evaluate.bootstrap_samples=200",
    ]  # fmt: skip
    assert main(words) == 0
    found = last_object(capsys.readouterr().out)
    assert {"zero_shot", "few_shot", "naive_bayes"} <= set(found["baselines"])
    report = json.loads((out / "tinyforge" / "report.json").read_text())
    scored = report["baselines"]["few_shot"]
    assert scored["title"] == "the model before training, shown similar rows"
    assert scored["scores"]["accuracy"]["rows"] == 12
    assert any("evaluate.prompt_rows" in note for note in scored["notes"])
    assert scored["parameters"] > 0
    assert scored["seconds_per_1000_rows"] > 0
    assert report["baselines"]["naive_bayes"]["size_bytes"] > 0

    trained = str(out)
    assert main(["evaluate", trained, rows, "--baseline", decoder, "--json"]) == 0
    other = last_object(capsys.readouterr().out)["baselines"][decoder]
    assert set(other["scores"]) >= {"accuracy"}


def test_few_shot_can_be_left_out_and_too_slow_is_said(
    decoder: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "train", rows, "--output", str(tmp_path / "run"), "--model", decoder, "--max-steps", "2",
        "--json", "--set", "evaluate.few_shot=0", "--set", "evaluate.prompt_seconds=1e-6",
        "--set", "data.test_share=0.3",
        "--set", "evaluate.bootstrap_samples=200",
    ]  # fmt: skip
    assert main(words) == 0
    shown = capsys.readouterr()
    assert not {"zero_shot", "few_shot"} & set(last_object(shown.out)["baselines"])
    assert "not judged: the model before training, asked" in shown.err
    report = json.loads((tmp_path / "run" / "tinyforge" / "report.json").read_text())
    assert any("not judged" in note for note in report["evaluation"]["notes"])


def test_nothing_pretrained_is_asked_where_training_starts_from_nothing(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "train", rows, "--output", str(tmp_path / "run"), "--model", "scratch:bert-tiny",
        "--max-steps", "2", "--json", "--set", "evaluate.bootstrap_samples=200",
    ]  # fmt: skip
    assert main(words) == 0
    assert not {"zero_shot", "few_shot"} & set(last_object(capsys.readouterr().out)["baselines"])
