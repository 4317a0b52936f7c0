"""SetFit in its own recommended way: a sentence encoder learns from pairs, then a linear head.

The pairs are those of its documentation: ``num_iterations`` times as many alike and unlike pairs
as there are rows, batches of 16, one epoch, logistic regression on top.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments  # type: ignore[import-untyped,import-not-found,unused-ignore]

from benchmarks.speed.harness import read_lines, read_spec, write_json
from benchmarks.speed.peak import has_bfloat16_unit


def main() -> None:
    """Train, then count right answers on the held-out rows."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    folder = Path(spec["folder"])
    rows = read_lines(Path(spec["train"]))
    held = read_lines(Path(spec["held"]))
    model = SetFitModel.from_pretrained(spec["model"], labels=spec["labels"], device="cpu")
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder / "setfit"),
            batch_size=16,
            num_epochs=1,
            num_iterations=spec["iterations"],
            use_amp=has_bfloat16_unit() and spec["half"],
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            show_progress_bar=False,
            seed=spec["seed"],
        ),
        train_dataset=Dataset.from_list(rows),
        column_mapping={"text": "text", "label": "label"},
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    answers = model.predict([row["text"] for row in held])
    right = sum(str(a) == row["label"] for a, row in zip(answers, held, strict=True))
    pairs = 2 * spec["iterations"] * len(rows)
    result = {"seconds": seconds, "accuracy": right / len(held), "pairs": pairs}
    write_json(folder / "result.json", result)


if __name__ == "__main__":
    main()
