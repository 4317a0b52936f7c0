"""transformers answers a classifier's rows: its pipeline, or batches of like length.

``pipeline`` takes ``batch`` rows at a time in the rows' order (its own default is one); ``best``
puts rows of like length together, float32; ``half`` does so in bfloat16.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from benchmarks.speed.harness import read_lines, read_spec, write_json


def by_pipeline(model: Any, tokenizer: Any, batch: int) -> Callable[[list[str]], list[str]]:
    """The pipeline's labels."""
    asked = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    return lambda texts: [one["label"] for one in asked(texts, batch_size=batch)]


def by_length(model: Any, tokenizer: Any, batch: int) -> Callable[[list[str]], list[str]]:
    """Labels from batches of like length."""

    def labels(texts: list[str]) -> list[str]:
        ids = tokenizer(texts, truncation=True)["input_ids"]
        order = sorted(range(len(texts)), key=lambda i: -len(ids[i]))
        found = [""] * len(texts)
        with torch.inference_mode():
            for start in range(0, len(order), batch):
                some = order[start : start + batch]
                inputs = tokenizer.pad({"input_ids": [ids[i] for i in some]}, return_tensors="pt")
                best = model(**inputs).logits.argmax(-1).tolist()
                for place, number in zip(some, best, strict=True):
                    found[place] = model.config.id2label[number]
        return found

    return labels


def main() -> None:
    """Time all rows at once."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    folder = Path(spec["prepared"]) / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    dtype = torch.bfloat16 if spec["way"] == "half" else torch.float32
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).eval()
    make = by_pipeline if spec["way"] == "pipeline" else by_length
    answer = make(model, tokenizer, spec["batch"])
    texts = [row["text"] for row in read_lines(Path(spec["rows"]))]
    answer(texts[:64])  # warm
    started = time.perf_counter()
    answers = answer(texts)
    result = {"seconds": [time.perf_counter() - started], "answers": answers}
    write_json(Path(spec["folder"]) / "result.json", result)


if __name__ == "__main__":
    main()
