"""The tutorials' two programs, word for word, against tiny models in a Hugging Face cache.

The weights are random, so only the mechanics are checked here: that every line runs, what is
saved, and that the saved model answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TINYFORGE = [sys.executable, "-m", "tinyforge.cli.main"]

SIX_STEPS_WITH_T5 = """
# Step 1: the libraries
from datasets import Dataset
from transformers import AutoTokenizer, T5ForConditionalGeneration, Trainer, TrainingArguments

# Step 2: the model
tokenizer = AutoTokenizer.from_pretrained("t5-small")
model = T5ForConditionalGeneration.from_pretrained("t5-small")

# Step 3: the data
sentences = ["how are you doing today", "the cat sat on the mat", "we like small models",
             "this is a short sentence"]
data = Dataset.from_list([
    {"input": "reverse: " + s, "output": " ".join(reversed(s.split()))} for s in sentences
])

# Step 4: tokens
def tokenize(row):
    item = tokenizer(row["input"], padding="max_length", truncation=True, max_length=64)
    labels = tokenizer(row["output"], padding="max_length", truncation=True, max_length=64)
    item["labels"] = [t if t != tokenizer.pad_token_id else -100 for t in labels["input_ids"]]
    return item

data = data.map(tokenize, remove_columns=["input", "output"])

# Step 5: training
arguments = TrainingArguments(output_dir="./t5-reverse", num_train_epochs=2,
                              per_device_train_batch_size=4, learning_rate=3e-4, report_to=[])
trainer = Trainer(model=model, args=arguments, train_dataset=data)
trainer.train()
model.save_pretrained("./t5-reverse")
tokenizer.save_pretrained("./t5-reverse")

# Step 6: trying it
inputs = tokenizer("reverse: how are you doing today", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=20)[0], skip_special_tokens=True))
"""

REAL_TRAINER_WITH_DISTILBERT = """
from backend.training.real_trainer import RealTrainer, TrainingConfig
config = TrainingConfig(model_name="distilbert-base-uncased", output_dir="./my-first-model",
                        num_epochs=3, batch_size=8, learning_rate=2e-5)
trainer = RealTrainer(config)
trainer.train("my_data.jsonl")        # rows {"input": …, "output": …}
"""

THREE_ROWS = [
    {"input": "What is your name?", "output": "I am a small bot."},
    {"input": "What can you do?", "output": "I answer questions."},
    {"input": "Goodbye", "output": "See you soon!"},
]


def run_program(text: str, folder: Path, hub_cache: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in ``folder`` as a reader would, with models from ``hub_cache`` only."""
    (folder / "program.py").write_text(text, encoding="utf-8")
    environment = {**os.environ, "HF_HOME": str(hub_cache), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_six_steps_with_t5(tmp_path: Path, hub_cache: Path) -> None:
    done = run_program(SIX_STEPS_WITH_T5, tmp_path, hub_cache)
    assert done.returncode == 0, done.stderr
    answer = subprocess.run(
        [*TINYFORGE, "predict", "t5-reverse", "--json", "reverse: how are you"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout.splitlines()[-1])["input"] == "reverse: how are you"


def test_real_trainer_with_distilbert(tmp_path: Path, hub_cache: Path) -> None:
    rows = "".join(json.dumps(row) + "\n" for row in THREE_ROWS)
    (tmp_path / "my_data.jsonl").write_text(rows, encoding="utf-8")
    done = run_program(REAL_TRAINER_WITH_DISTILBERT, tmp_path, hub_cache)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "my-first-model/tinyforge/report.json").read_text())
    assert report["verdict"]["word"] == "cannot tell"
    program = (
        "import tinyforge\n"
        "model = tinyforge.load('my-first-model')\n"
        "print(model.predict('Goodbye').output)\n"
    )
    asked = run_program(program, tmp_path, hub_cache)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip() in {row["output"] for row in THREE_ROWS}
