"""The shortest Trainer program that learns labels; it tells when its first step is over."""

import json
import sys
from pathlib import Path

from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
lines = Path(spec["train"]).read_text(encoding="utf-8").splitlines()
rows = [json.loads(line) for line in lines]
labels = sorted({row["label"] for row in rows})
tokenizer = AutoTokenizer.from_pretrained(spec["model"])
model = AutoModelForSequenceClassification.from_pretrained(spec["model"], num_labels=len(labels))
encoded = tokenizer([row["text"] for row in rows], truncation=True, max_length=128)
examples = [
    {"input_ids": ids, "labels": labels.index(row["label"])}
    for ids, row in zip(encoded["input_ids"], rows, strict=True)
]


class Tell(TrainerCallback):  # type: ignore[misc]
    def on_step_end(self, args, state, control, **_):  # type: ignore[no-untyped-def]
        (Path(spec["folder"]) / "first-step").write_text("done", encoding="utf-8")


Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=spec["folder"] + "/trainer", per_device_train_batch_size=spec["batch"],
        use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True,
    ),
    train_dataset=examples,
    data_collator=DataCollatorWithPadding(tokenizer),
    callbacks=[Tell()],
).train()  # fmt: skip
