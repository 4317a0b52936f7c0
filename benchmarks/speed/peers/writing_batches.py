"""transformers' generate answers batches of text pairs, greedily, tokenizing included."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from benchmarks.speed.harness import read_lines, read_spec, write_json
from benchmarks.speed.peers.generating import DTYPES


def main() -> None:
    """Time the batches, one after the other."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    folder = Path(spec["prepared"]) / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=DTYPES[spec["dtype"]]).eval()
    texts = [row["input"] for row in read_lines(Path(spec["rows"]))]

    def answer(some: list[str]) -> list[str]:
        inputs = tokenizer(some, padding=True, return_tensors="pt")
        with torch.inference_mode():
            written = model.generate(
                **inputs, max_new_tokens=spec["written"], do_sample=False, num_beams=1
            )
        return tokenizer.batch_decode(written, skip_special_tokens=True)

    answer(texts[: spec["batch"]])  # warm
    seconds, answers = [], []
    for start in range(0, len(texts), spec["batch"]):
        began = time.perf_counter()
        answers += answer(texts[start : start + spec["batch"]])
        seconds.append(time.perf_counter() - began)
    result = {"seconds": seconds, "answers": answers}
    write_json(Path(spec["folder"]) / "result.json", result)


if __name__ == "__main__":
    main()
