"""Hugging Face's Trainer evaluates: as it does by itself, or at its best on a processor.

By itself: batches of 8 in the rows' order, float32. At its best: like lengths together, 64 rows at
a time; with ``half`` also in bfloat16, which is not the model that others would get to use.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from benchmarks.speed.encoding import encode
from benchmarks.speed.harness import read_lines, read_spec, write_json
from benchmarks.speed.peak import has_bfloat16_unit


def main() -> None:
    """Answer all rows once; what it reads and tokenizes before is not timed."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    folder = Path(spec["folder"])
    tokenizer = AutoTokenizer.from_pretrained(spec["model"])
    model = AutoModelForSequenceClassification.from_pretrained(spec["model"], dtype=torch.float32)
    rows = [
        encode("classify", tokenizer, row, labels=spec["labels"], longest=spec["longest"])
        for row in read_lines(Path(spec["train"]))
    ]
    best = {"per_device_eval_batch_size": 64, "train_sampling_strategy": "group_by_length"}
    arguments = TrainingArguments(
        **(best if spec["way"] != "plain" else {}),
        output_dir=str(folder / "trainer"),
        bf16_full_eval=spec["way"] == "half" and has_bfloat16_unit(),
        use_cpu=True,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model, args=arguments, data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )  # fmt: skip
    started = time.perf_counter()
    found = trainer.predict(rows)
    seconds = time.perf_counter() - started
    right = float((found.predictions.argmax(-1) == found.label_ids).mean())
    write_json(folder / "result.json", {"seconds": seconds, "accuracy": right})


if __name__ == "__main__":
    main()
