"""transformers' generate answers batches of text pairs, greedily, tokenizing included."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from benchmarks.speed.harness import read_spec
from benchmarks.speed.peers.generating import DTYPES
from benchmarks.speed.peers.in_batches import time_batches


def main() -> None:
    """Time the batches, one after the other."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    folder = Path(spec["prepared"]) / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=DTYPES[spec["dtype"]]).eval()

    def answer(some: list[str]) -> list[str]:
        inputs = tokenizer(some, padding=True, return_tensors="pt")
        with torch.inference_mode():
            written = model.generate(
                **inputs, max_new_tokens=spec["written"], do_sample=False, num_beams=1
            )
        return tokenizer.batch_decode(written, skip_special_tokens=True)

    time_batches(spec, answer)


if __name__ == "__main__":
    main()
