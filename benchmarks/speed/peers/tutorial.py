"""The T5 fine-tuning program of beginners' tutorials, as they write it.

Texts are padded to 64 tokens by the tokenizer, four at a time, in float32, with the Trainer's
defaults for everything else.
"""

from __future__ import annotations

from pathlib import Path

import torch
from datasets import load_dataset
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, Trainer, TrainingArguments

from benchmarks.speed.harness import read_spec
from benchmarks.speed.peers.recording import Clock, finish, recorded


def main() -> None:
    """Train for one epoch."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    folder = Path(spec["folder"])
    tokenizer = AutoTokenizer.from_pretrained(spec["model"])
    model = AutoModelForSeq2SeqLM.from_pretrained(spec["model"], dtype=torch.float32)
    dataset = load_dataset("json", data_files=spec["train"], split="train", cache_dir=folder)

    def preprocess(rows):  # type: ignore[no-untyped-def]
        inputs = tokenizer(rows["input"], padding="max_length", truncation=True, max_length=64)
        outputs = tokenizer(rows["output"], padding="max_length", truncation=True, max_length=64)
        inputs["labels"] = [
            [token if token != tokenizer.pad_token_id else -100 for token in ids]
            for ids in outputs["input_ids"]
        ]
        return inputs

    dataset = dataset.map(preprocess, batched=True, remove_columns=dataset.column_names)
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=4,
        num_train_epochs=1,
        seed=spec["seed"],
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    clock = Clock()
    clock.both_sides = True
    trainer = recorded(Trainer)(model=model, args=arguments, train_dataset=dataset, clock=clock)
    trainer.train()
    finish(model, tokenizer, clock, folder)


if __name__ == "__main__":
    main()
