"""Small finished runs and their exports, made once, for the tests of exporting.

Nothing is trained, which would take most of the time: the models are random, and most rows carry
the answers that these models give.
"""

from __future__ import annotations

import json
import random
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import task_models
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tinyforge.config.export import ExportRunSettings
from tinyforge.config.settings import Settings
from tinyforge.data.dataset import load_dataset
from tinyforge.data.survey import survey
from tinyforge.inference.logits import label_logits
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.save import save_model
from tinyforge.recipes.export_gate import Gate
from tinyforge.recipes.export_rows import rows_for
from tinyforge.records.examples import Example
from tinyforge.tasks.classify import Classify
from tinyforge.tasks.instruct import Instruct
from tinyforge.tasks.text2text import EncoderDecoderText

WORDS = ["cat", "dog", "mat", "door", "name", "bot", "day", "morning", "questions", "soon", "you",
         "are", "how", "what", "see"]  # fmt: skip
LABELS = ("maybe", "no", "yes")
TASKS = {"bert": "classify", "t5": "text2text", "gpt": "instruct"}
COLUMNS = {
    "bert": ("text", "label"), "t5": ("input", "output"), "gpt": ("prompt", "completion"),
}  # fmt: skip
LLAMA: dict[str, Any] = {
    "vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1, "tie_word_embeddings": True,
}  # fmt: skip
"""Heads of 16 numbers, the fewest that ONNX Runtime's attention in place takes."""

ROWS, TRUE = 240, 0.9


def texts_of(count: int, seed: int = 0) -> list[str]:
    """Different texts of a few words."""
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(rng.choices(WORDS, k=rng.randint(3, 8)))] = None
    return list(found)


def scaled(model: Any, factor: float) -> Any:
    """The model with larger matrices, so that what it says depends on what it reads."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(factor)
    return model


def model_of(kind: str, seed: int = 0) -> TorchModel:
    """A random model that is sure of what it says: ``bert``, ``t5`` or ``gpt`` (a small Llama)."""
    task: Any
    if kind == "bert":
        model = scaled(task_models.classifier("bert", len(LABELS)), 4.0)
        with torch.no_grad():
            noise = torch.Generator().manual_seed(seed)
            model.classifier.weight.copy_(
                torch.randn(model.classifier.weight.shape, generator=noise)
            )
        task = Classify(task_models.bert_tokenizer(), model.config, LABELS, max_length=64)
        usual = label_logits(model, task, [Example(input=text) for text in texts_of(100)])
        with torch.no_grad():  # so that each label is given about as often as the others
            model.classifier.bias.copy_(torch.from_numpy(-usual.mean(axis=0)))
    elif kind == "t5":
        model = task_models.language_model("t5-tied")
        task = EncoderDecoderText(
            task_models.t5_tokenizer(), model.config, max_length=64, max_output_length=16,
            max_new_tokens=12,
        )  # fmt: skip
    else:
        torch.manual_seed(0)
        model = scaled(LlamaForCausalLM(LlamaConfig(**LLAMA)), 4.0)
        task = Instruct(
            task_models.gpt_tokenizer(start=True), model.config, max_length=96, max_new_tokens=12
        )
    return TorchModel.from_loaded(model.eval(), task.tokenizer, task)


def rows_of(kind: str, count: int = ROWS, seed: int = 0) -> list[dict[str, str]]:
    """Rows that a model of this kind answers right nine times in ten.

    They are the half that it is surest of: rounding must not turn an answer around, on whatever
    processor, where a test says that it does not.
    """
    rng = random.Random(seed)
    predictions = model_of(kind).predict(texts_of(2 * count, seed))
    sure = sorted(map(_margin, predictions), reverse=True)[count - 1]
    kept = [p for p in predictions if _margin(p) >= sure][:count]
    texts, answers = [p.input for p in kept], [p.output for p in kept]
    wrong = LABELS if kind == "bert" else ("the cat", "a dog", "how are you")
    names = COLUMNS[kind]
    return [
        dict(zip(names, (text, answer if answer.strip() and rng.random() < TRUE
                         else rng.choice(wrong)), strict=True))
        for text, answer in zip(texts, answers, strict=True)
    ]  # fmt: skip


def _margin(prediction: Any) -> float:
    """How much likelier a label is than the next one; of a text how likely its tokens are."""
    if not prediction.scores:
        return float(prediction.confidence)
    first, second, *_ = sorted(prediction.scores.values(), reverse=True)
    return float(first - second)


@cache
def run_of(kind: str, base: Path, seed: int = 0) -> Path:
    """The folder of a finished run; its rows lie beside it.

    Args:
        base: a folder of the test session.
    """
    home = base / f"export-{kind}-{seed}"
    home.mkdir()
    data, run = home / "rows.jsonl", home / "run"
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows_of(kind)]
    data.write_text("".join(lines), encoding="utf-8")
    model = model_of(kind, seed)
    save_model(model.model, model.tokenizer, run, model.task.state())
    settings = Settings.model_validate({"data": {"test_share": 0.4, "near_duplicate": 1.0}})
    dataset = load_dataset(
        str(data), survey(str(data), settings.data).columns, TASKS[kind], settings.data, seed=seed,
        work=home / "work",
    )  # fmt: skip
    record = {
        "data": str(data), "data_fingerprint": dataset.report.fingerprint, "task": TASKS[kind],
        "seed": seed, "settings": settings.model_dump(mode="json"), "state": "finished",
    }  # fmt: skip
    (run / "tinyforge" / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return run


@cache
def graphs_of(kind: str, base: Path) -> Path:
    """The graphs of a run in float32, before any gate."""
    from tinyforge.export.graphs import write_graphs

    folder = base / f"graphs-{kind}"
    write_graphs(TorchModel.load(run_of(kind, base)), folder)
    return folder


@cache
def gate_of(kind: str, base: Path) -> Gate:
    """What candidates of a run are held against."""
    source = TorchModel.load(run_of(kind, base))
    work = base / f"rows-{kind}"
    work.mkdir()
    settings = ExportRunSettings()
    return Gate(source, rows_for(source, None, settings, work), settings.export)


def copy_of(folder: Path, target: Path) -> Path:
    """A folder to be spoilt."""
    shutil.copytree(folder, target)
    return target


def change_json(path: Path, change: Any) -> None:
    """Rewrite a JSON file; ``change`` alters its content in place."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def flip_bit(path: Path, place: int, bit: int = 0) -> None:
    """Turn one bit of a file around."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)
