"""``tinyforge predict`` with the tokens' scores and with a JSON schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinyforge.cli.main import main

SCHEMA = {
    "type": "object", "properties": {"k": {"enum": ["a", "b"]}}, "required": ["k"],
    "additionalProperties": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny random GPT-2 that knows every byte."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=260, special_tokens=["<|end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator(["the cat sat"], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", bos_token="<|end|>"
    )
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=32, n_layer=1, n_head=2,
        bos_token_id=0, eos_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("writer")
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_scores_are_told_in_json(
    writer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["predict", writer, "the cat", "--max-new-tokens", "5"]
    assert main([*asked, "--logprobs", "2", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    scores = line["token_scores"]
    text = b"".join(bytes(score["bytes"]) for score in scores).decode("utf-8", "replace")
    assert line["output"] in text
    assert all(len(score["top"]) == 2 and score["log_probability"] < 0 for score in scores)
    assert scores[0]["top"][0]["text"] == scores[0]["text"]
    output = tmp_path / "answers.jsonl"
    given = ["--set", "generate.logprobs=0", "--output", str(output)]
    assert main([*asked, *given]) == 0
    found = json.loads(output.read_text(encoding="utf-8"))["token_scores"]
    assert [score["text"] for score in found] == [score["text"] for score in scores]
    assert "top" not in found[0]
    assert main([*asked, "--json"]) == 0
    assert "token_scores" not in json.loads(capsys.readouterr().out)


def test_scores_without_json_lines_are_refused(
    writer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", writer, "the cat", "--logprobs", "2"]) == 2
    assert "JSON lines only" in capsys.readouterr().err
    assert main(["predict", writer, "the cat", "--logprobs", "99", "--json"]) == 2
    assert "at most 20" in capsys.readouterr().err


def test_an_answer_keeps_to_a_schema(
    writer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("llguidance", reason="needs llguidance")
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA), encoding="utf-8")
    asked = ["predict", writer, "the cat", "--max-new-tokens", "24"]
    answers = []
    for how in (
        ["--json-schema", str(file)],
        ["--json-schema", json.dumps(SCHEMA)],
        ["--set", f"generate.json_schema={json.dumps(SCHEMA)}"],
        ["--json-schema", json.dumps(SCHEMA), "--stream"],
    ):
        assert main([*asked, *how]) == 0
        answers.append(capsys.readouterr().out)
    assert json.loads(answers[0])["k"] in ("a", "b")
    assert len(set(answers)) == 1


def test_a_wrong_schema_is_one_line(writer: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("llguidance", reason="needs llguidance")
    for given, said in (
        ("nowhere.json", "no such file of a schema"),
        ("{broken", "must be a JSON object"),
        ('{"type": "nonsense"}', "Invalid type: nonsense"),
    ):
        assert main(["predict", writer, "x", "--json-schema", given]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
