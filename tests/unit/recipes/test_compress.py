"""Compressing trained models: rows, cut, recovery, record and folder."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from task_models import SENTENCES, bert_tokenizer
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
)

import tinyforge
from tinyforge.artifacts.manifest import verify
from tinyforge.config.compress import CompressSettings
from tinyforge.config.load import load_tree
from tinyforge.config.names import settings_table
from tinyforge.config.settings import Settings
from tinyforge.errors import DataError, ModelError, SettingError
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.folder import WEIGHTS
from tinyforge.models.quiet import quiet
from tinyforge.models.save import save_model
from tinyforge.recipes.compress_rows import PERHAPS, SURELY, read_material
from tinyforge.recipes.run_rows import dataset_of_run
from tinyforge.records.examples import Example
from tinyforge.tasks import build_task

BERT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
        "intermediate_size": 128}  # fmt: skip
WORDS = ["apple", "river", "stone", "cloud", "garden", "window", "paper", "music", "winter"]
QUICK: dict[str, Any] = {
    "pareto.precisions": [], "pareto.rounds": 1, "pareto.seconds": 0.05,
    "evaluate.bootstrap_samples": 200,
}  # fmt: skip


def labelled(count: int, seed: int) -> list[dict[str, str]]:
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        label = rng.choice(["yes", "no", "maybe"])
        word = {"yes": "good", "no": "bad", "maybe": "so"}[label]
        text = rng.choices(WORDS, k=rng.randint(4, 9))
        text.insert(rng.randrange(len(text)), word)
        rows.append({"text": " ".join(text), "label": label})
    return rows


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that has learnt its rows, in ``model``."""
    folder = tmp_path_factory.mktemp("compress")
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in labelled(300, 0)))
    quick = {"evaluate.baselines": False, "evaluate.bootstrap_samples": 200,
             "evaluate.few_shot": 0, "model.shape": BERT}  # fmt: skip
    run = tinyforge.train(
        data, model="scratch:bert-tiny", output_dir=folder / "model", max_steps=80, settings=quick
    )
    assert run.result()["metrics"]["accuracy"] > 0.8
    return folder


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random classifier in ``model``, large in its numbers, and rows that it labelled itself.

    It is right on all of them, and every part of it matters.
    """
    folder = tmp_path_factory.mktemp("taught")
    config = BertConfig(
        vocab_size=len(bert_tokenizer()), **BERT, id2label=dict(enumerate("abc")),
        label2id={label: i for i, label in enumerate("abc")},
    )  # fmt: skip
    torch.manual_seed(0)
    plain = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for weight in plain.parameters():
            if weight.ndim > 1:
                weight.mul_(6.0)
    task = build_task(
        "classify", tokenizer=bert_tokenizer(), config=config, settings=Settings(), labels="abc"
    )
    rng = random.Random(0)
    known = sorted({word for text in SENTENCES for word in text.split()})
    texts = {" ".join(rng.choices(known, k=rng.randint(3, 7))): None for _ in range(1000)}
    model = TorchModel.from_loaded(plain, task.tokenizer, task)
    logits = torch.from_numpy(model.logits([Example(text) for text in texts]))
    plain.classifier.bias.data -= logits.median(0).values  # each label about as often
    rows = [{"text": text, "label": model.predict(text).output} for text in texts]
    save_model(plain, task.tokenizer, folder / "model", task.state())
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def small(taught: Path) -> Any:
    """The random classifier with a quarter of its units, two layers and few tokens, recovered."""
    return tinyforge.compress(
        taught / "model", taught / "rows.jsonl", output_dir=taught / "small", share=0.75, layers=2,
        vocabulary=True, settings={**QUICK, "recover.steps": 100, "train.learning_rate": 1e-3},
    )  # fmt: skip


def test_the_folder_is_plain_smaller_and_whole(taught: Path, small: Any) -> None:
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(taught / "small").eval()
        tokenizer = AutoTokenizer.from_pretrained(taught / "small")
    assert model.config.intermediate_size == 32
    assert model.config.num_hidden_layers == 2
    assert model.config.vocab_size == len(tokenizer)
    before = (taught / "model" / WEIGHTS).stat().st_size
    assert (taught / "small" / WEIGHTS).stat().st_size < 0.7 * before
    assert verify(taught / "small") == []
    text = "how are you doing today"
    with torch.no_grad():
        logits = model(**tokenizer(text, return_tensors="pt")).logits
    answer = tinyforge.load(taught / "small").predict(text)
    assert answer.output == model.config.id2label[int(logits.argmax())]


def test_the_record_says_what_was_cut(taught: Path, small: Any) -> None:
    record = json.loads((taught / "small" / "tinyforge" / "compress.json").read_text())
    assert record == small.cuts
    assert record["units"] == {"had": 128, "kept": 32}
    assert len(record["layers"]["layers"]["kept"]) == 2
    assert record["vocabulary"]["kept"] < record["vocabulary"]["had"]
    stored = load_file(taught / "small" / WEIGHTS)
    assert sum(weight.numel() for weight in stored.values()) == record["parameters"]["kept"]
    assert record["weights"] == TorchModel.load(taught / "model").hash
    assert record["recovery"]["steps"] == 100
    assert any("attention heads stay" in note for note in record["notes"])


def test_page_and_figures_are_there(taught: Path, small: Any) -> None:
    assert "<svg" in small.page.read_text()
    report = json.loads((taught / "small" / "tinyforge" / "pareto.json").read_text())
    assert [point["name"] for point in report["points"]] == ["full", "pruned"]
    assert report["held"] == PERHAPS
    assert report["points"][0]["score"]["value"] == 1.0
    assert report["points"][1]["bytes"] < report["points"][0]["bytes"]
    assert report["points"][1]["command"].startswith("tinyforge compress ")
    assert "prune.share=0.75" in report["points"][1]["command"]
    assert "# small" in (taught / "small" / "README.md").read_text()
    text = small.summary()
    assert "pruned" in text
    assert str(small.page) in text
    assert json.loads(json.dumps(small.result()))["pick"] == report["pick"]


def test_it_recovers(small: Any) -> None:
    """Cutting so much costs most of the quality, and learning from the whole wins most back."""
    found = small.report["recovery"]
    assert found["helped"], found["sentence"]
    assert found["gain"] > 0.25
    assert "won back quality" in found["sentence"]
    validation = small.cuts["recovery"]
    assert validation["validation_after"]["accuracy"] > validation["validation_before"]["accuracy"]


def test_to_prune_nothing_gives_the_same_bytes(top: Path, tmp_path: Path) -> None:
    found = tinyforge.compress(top / "model", output_dir=tmp_path / "same", share=0, settings=QUICK)
    assert found.cuts["recovery"]["steps"] == 0
    same = (tmp_path / "same" / WEIGHTS).read_bytes()
    assert same == (top / "model" / WEIGHTS).read_bytes()
    assert found.report["points"][1]["difference"]["value"] == 0
    for name in ("config.json", "tokenizer.json"):
        assert (tmp_path / "same" / name).read_bytes() == (top / "model" / name).read_bytes()
    assert found.report["held"] == SURELY
    record = json.loads((tmp_path / "same" / "tinyforge" / "run.json").read_text())
    dataset = dataset_of_run(record, tmp_path)
    assert dataset is not None, "an export can split the rows as they were"
    assert len(dataset.test) == found.report["sample"]["rows"]


@pytest.mark.slow
def test_the_same_call_gives_the_same_bytes(top: Path, tmp_path: Path) -> None:
    settings = {**QUICK, "recover.steps": 5}
    for name in ("one", "two"):
        tinyforge.compress(top / "model", output_dir=tmp_path / name, share=0.5, settings=settings)
    assert (tmp_path / "one" / WEIGHTS).read_bytes() == (tmp_path / "two" / WEIGHTS).read_bytes()


def test_recovery_that_does_not_help_is_taken_back(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learning rate that breaks the model: its weights are not used, and that is said."""
    settings = {**QUICK, "recover.steps": 4, "train.learning_rate": 0.5, "train.clip_norm": 0,
                "train.early_stopping": 0, "train.spike_factor": 1e9}  # fmt: skip
    found = tinyforge.compress(
        top / "model", output_dir=tmp_path / "broken", share=0.1, settings=settings
    )
    assert not found.cuts["recovery"]["kept"]
    assert "did not help" in found.report["recovery"]["sentence"]
    assert found.report["points"][1]["score"]["value"] > 0.6


@pytest.mark.slow
def test_further_shares_are_points_with_commands(top: Path, tmp_path: Path) -> None:
    found = tinyforge.compress(
        top / "model", output_dir=tmp_path / "several", share=0.25,
        settings={**QUICK, "pareto.shares": [0.75], "recover.steps": 3},
    )  # fmt: skip
    points = {point["name"]: point for point in found.report["points"]}
    assert list(points) == ["full", "pruned", "pruned 75%"]
    sizes = [point["bytes"] for point in points.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert "--prune 0.75" in points["pruned 75%"]["command"]
    assert "pareto.shares" not in points["pruned 75%"]["command"]
    assert not list((tmp_path / "several" / "tinyforge").glob("work"))


def test_rows_of_another_file_are_split_and_said_to_be_unknown(top: Path, tmp_path: Path) -> None:
    model = TorchModel.load(top / "model")
    chosen = load_tree(CompressSettings)
    found = read_material(model, labelled(80, 5), chosen, work=tmp_path / "a", rejected=None)
    assert (found.held, found.own, found.given) == (PERHAPS, False, True)
    file = tmp_path / "held.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in labelled(40, 6)))
    named = load_tree(CompressSettings, None, (), {"data.test": str(file)})
    found = read_material(model, None, named, work=tmp_path / "b", rejected=None)
    assert found.held == "those of held.jsonl"
    assert len(found.test) == 40


def test_mistakes_are_one_line(top: Path, tmp_path: Path) -> None:
    def message(error: type[Exception], *args: Any, **more: Any) -> str:
        with pytest.raises(error) as caught:
            tinyforge.compress(*args, output_dir=tmp_path / "out", **more)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    model = top / "model"
    assert "recover.steps" in message(SettingError, model, epochs=3)
    assert "prune.layers" in message(SettingError, model, layers=3)
    assert "prune.heads" in message(SettingError, model, heads=0.5)
    assert "evaluate.few_shot" in message(SettingError, model, few_shot=2)
    assert "pareto.shares" in message(SettingError, model, shares=[1.5])
    wrong = [{"text": f"apple {i}", "label": "blue" if i % 2 else "red"} for i in range(40)]
    assert "does not know" in message(DataError, model, wrong)
    lone = tmp_path / "lone"
    shutil.copytree(model, lone)
    record = json.loads((lone / "tinyforge" / "run.json").read_text())
    record["data"] = str(tmp_path / "gone.jsonl")
    (lone / "tinyforge" / "run.json").write_text(json.dumps(record))
    assert "--data" in message(SettingError, lone)
    (lone / "tinyforge" / "export.json").write_text("{}")
    assert "exported model" in message(ModelError, lone)


def test_every_setting_is_described() -> None:
    table = settings_table(CompressSettings)
    assert all(setting.description for setting in table.values())
    assert {"prune.share", "recover.steps", "pareto.precisions"} <= set(table)
