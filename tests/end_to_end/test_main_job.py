"""From a file of rows to a judged model that answers, through the real command line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from command_line import Capture, run_json

from tinyforge.cli.main import main

pytestmark = pytest.mark.usefixtures("empty_folder")

SMALL_BERT = (
    "{hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64}"
)
SMALL_T5 = "{d_model: 32, d_kv: 8, num_heads: 4, d_ff: 64, num_layers: 1, num_decoder_layers: 1}"
SMALL_GPT = (
    "{hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 4, num_key_value_heads: 2, "
    "intermediate_size: 64}"
)
WORDS = ["apple", "river", "stone", "cloud", "garden", "window", "paper", "music", "winter", "sun"]


def write(name: str, rows: list[dict[str, Any]]) -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(4, 9))) for _ in range(count)]


def labelled(count: int, *, seed: int = 0, truthful: bool = True) -> list[dict[str, str]]:
    """Texts with a telling first word; without ``truthful`` the labels are thrown at random."""
    rng = random.Random(seed)
    rows = []
    for text in texts(count, seed):
        label = rng.choice(["yes", "no"])
        word = {"yes": "good", "no": "bad"}[label]
        rows.append(
            {"text": f"{word} {text}", "label": label if truthful else rng.choice(["yes", "no"])}
        )
    return rows


def train(capsys: Capture, data: str, *words: str) -> dict[str, Any]:
    return run_json(capsys, "train", data, "--output", "out", *words)


def bert(*words: str) -> tuple[str, ...]:
    return ("--model", "scratch:bert-tiny", "--set", f"model.shape={SMALL_BERT}", *words)


def test_a_classifier_from_rows_to_answers(capsys: Capture) -> None:
    rows = labelled(400)
    rows[5] = {"text": "", "label": "yes"}
    data = write("rows.jsonl", rows)
    with Path(data).open("a", encoding="utf-8") as file:
        file.write('{"text": "cut off\n')
    result = train(capsys, data, *bert("--epochs", "12"))
    for key in ("output_dir", "task", "model", "steps", "train_examples", "seconds"):
        assert key in result
    assert result["examples_per_second"] > 0
    assert result["tokens_per_second"] > 0
    assert result["task"] == "classify"
    assert result["metrics"]["accuracy"] > 0.9
    assert set(result["baselines"]) >= {"majority", "tfidf_logistic_regression", "nearest_example"}
    rejected = Path("out/tinyforge/rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in rejected] == [6, 401]

    report = json.loads(Path("out/tinyforge/report.json").read_text())
    assert report["data"]["read"] == report["data"]["kept"] + report["data"]["rejected"] == 401
    assert report["training"]["history"]["validation"]
    assert "<svg" in Path("out/tinyforge/report.html").read_text()
    assert "script src" not in Path("out/tinyforge/report.html").read_text()

    answer = run_json(capsys, "predict", "out", "good river stone")
    assert answer["output"] == "yes"
    assert 0.5 < answer["confidence"] <= 1
    judged = run_json(capsys, "evaluate", "out", write("more.jsonl", labelled(60, seed=7)))
    assert judged["metrics"]["accuracy"] > 0.9
    one = run_json(
        capsys, "evaluate", "out", write("one.jsonl", [r for r in rows if r["label"] == "no"])
    )
    assert one["metrics"]["accuracy"] > 0.9
    run_json(capsys, "verify", "out")
    weights = Path("out/model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert main(["verify", "out"]) == 3
    assert "model.safetensors" in "".join(capsys.readouterr())


def test_the_folder_loads_without_tinyforge(capsys: Capture) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    import tinyforge

    train(capsys, write("rows.jsonl", labelled(200)), *bert("--epochs", "3"))
    model = AutoModelForSequenceClassification.from_pretrained("out")
    tokenizer = AutoTokenizer.from_pretrained("out")
    with torch.inference_mode():
        logits = model(**tokenizer("good cloud", return_tensors="pt")).logits[0]
    ours = tinyforge.load("out").predict("good cloud")
    found = dict(zip(model.config.id2label.values(), logits.softmax(-1).tolist(), strict=True))
    assert ours.scores == pytest.approx(found, abs=1e-5)


def test_useless_labels_are_not_called_better(capsys: Capture) -> None:
    data = write("rows.jsonl", labelled(400, truthful=False))
    code = main(
        ["train", data, "--output", "out", *bert("--epochs", "2", "--require-better"), "--json"]
    )
    captured = capsys.readouterr()
    assert code == 3
    assert json.loads(captured.out.splitlines()[-1])["verdict"] != "better"
    assert Path("out/model.safetensors").is_file()


def test_several_labels_and_their_threshold(capsys: Capture) -> None:
    rng = random.Random(0)
    rows = []
    for text in texts(500, 0):
        labels = [name for name in ("alpha", "beta", "gamma") if rng.random() < 0.4]
        rows.append({"text": " ".join([*labels, text]), "labels": labels})
    result = train(
        capsys,
        write("rows.jsonl", rows),
        *bert("--epochs", "60", "--set", "train.learning_rate=3e-3"),
    )
    assert result["metrics"]["micro_f1"] > 0.9
    assert result["primary_metric"] == "micro_f1"
    state = json.loads(Path("out/tinyforge/task.json").read_text())
    assert state["multi_label"] is True
    assert 0 < state["threshold"] < 1
    assert run_json(capsys, "predict", "out", "beta river sun")["labels"] == ["beta"]


def test_text_to_text_from_nothing(capsys: Capture) -> None:
    rows = [{"input": text, "output": text.upper()} for text in texts(300, 1)]
    result = train(
        capsys, write("rows.jsonl", rows), "--model", "scratch:t5-tiny",
        "--set", f"model.shape={SMALL_T5}", "--max-steps", "20", "--set", "data.prefix=shout: ",
    )  # fmt: skip
    assert result["task"] == "text2text"
    assert {"bleu", "chrf", "exact_match"} <= set(result["metrics"])
    assert {"copy_input", "nearest_example"} <= set(result["baselines"])
    assert json.loads(Path("out/tinyforge/task.json").read_text())["prefix"] == "shout: "
    assert isinstance(run_json(capsys, "predict", "out", "apple river")["output"], str)


@pytest.mark.parametrize("lora", [False, True])
def test_instructions_in_full_and_with_lora(
    capsys: Capture, shared_folder: Path, lora: bool
) -> None:
    rows = [{"instruction": f"Say {t}", "input": "", "output": t} for t in texts(120, 2)]
    base = str(shared_folder / "models" / "stories260K")
    result = train(
        capsys, write("rows.jsonl", rows), "--model", base, "--max-steps", "12",
        "--set", "evaluate.max_rows=12", *(["--lora"] if lora else []),
    )  # fmt: skip
    assert result["task"] == "instruct"
    ours, before = result["metrics"]["perplexity"], result["baselines"]["untuned_model"]
    assert ours < before["perplexity"]
    assert Path("out/adapter/adapter_model.safetensors").is_file() is lora
    assert run_json(capsys, "predict", "out", "Say sun", "--max-new-tokens", "8")["output"]


def test_raw_text(capsys: Capture) -> None:
    rng = random.Random(0)
    names = ["".join(rng.choices("aeioustrnlm", k=rng.randint(3, 7))) for _ in range(500)]
    text = "\n\n".join(" ".join(rng.choices(names, k=60)) + "." for _ in range(240))
    Path("book.txt").write_text(text, encoding="utf-8")
    result = train(
        capsys, "book.txt", "--model", "scratch:gpt-tiny", "--set", f"model.shape={SMALL_GPT}",
        "--max-steps", "30", "--set", "data.max_length=64",
    )  # fmt: skip
    assert result["task"] == "language-model"
    assert {"perplexity", "bits_per_byte"} <= set(result["metrics"])
    assert "byte_ngram" in result["baselines"]


def test_text_that_only_repeats_itself_is_refused(capsys: Capture) -> None:
    Path("book.txt").write_text("All work and no play makes a dull boy.\n\n" * 2_000)
    words = ["train", "book.txt", "--output", "out", "--model", "scratch:gpt-tiny"]
    assert main(words) == 2
    assert "near-duplicate" in capsys.readouterr().err


def test_a_finished_run_is_left_alone(capsys: Capture) -> None:
    data = write("rows.jsonl", labelled(60))
    train(capsys, data, *bert("--max-steps", "3"))
    before = Path("out/model.safetensors").stat().st_mtime_ns
    assert main(["train", data, "--output", "out", *bert("--max-steps", "3")]) == 2
    assert "--force" in capsys.readouterr().err
    train(capsys, data, *bert("--max-steps", "3"), "--resume")
    assert Path("out/model.safetensors").stat().st_mtime_ns == before
    train(capsys, data, *bert("--max-steps", "4"), "--force")
    assert Path("out/model.safetensors").stat().st_mtime_ns != before


def test_rows_that_repeat_the_given_test_are_counted(capsys: Capture) -> None:
    rows = labelled(100)
    test = write("test.jsonl", [*labelled(40, seed=9), *rows[:10]])
    train(capsys, write("rows.jsonl", rows), *bert("--max-steps", "3"), "--test", test)
    (leak,) = json.loads(Path("out/tinyforge/report.json").read_text())["data"]["leaks"]
    assert leak["part"] == "test"
    assert leak["exact"] >= 10
