"""A plain loop writes answers with transformers: batches in the rows' order, or at its best.

By itself: 8 rows at a time as they come, float32. At its best: 32 of like length. Greedy both.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from sacrebleu.metrics import CHRF
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from benchmarks.speed.harness import read_lines, read_spec, write_json


def main() -> None:
    """Answer all rows once, tokenizing included, and score the answers outside of the time."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    tokenizer = AutoTokenizer.from_pretrained(spec["model"])
    model = AutoModelForSeq2SeqLM.from_pretrained(spec["model"], dtype=torch.float32).eval()
    rows = read_lines(Path(spec["train"]))
    best = spec["way"] == "best"
    batch = 32 if best else 8
    started = time.perf_counter()
    order = list(range(len(rows)))
    if best:
        order.sort(key=lambda i: -len(tokenizer(rows[i]["input"]).input_ids))
    answers = [""] * len(rows)
    for start in range(0, len(order), batch):
        some = order[start : start + batch]
        inputs = tokenizer([rows[i]["input"] for i in some], padding=True, return_tensors="pt")
        with torch.inference_mode():
            written = model.generate(
                **inputs, max_new_tokens=spec["written"], do_sample=False, num_beams=1
            )
        for i, text in zip(
            some, tokenizer.batch_decode(written, skip_special_tokens=True), strict=True
        ):
            answers[i] = text
    seconds = time.perf_counter() - started
    score = CHRF().corpus_score(answers, [[row["output"] for row in rows]]).score
    write_json(Path(spec["folder"]) / "result.json", {"seconds": seconds, "chrf": score})


if __name__ == "__main__":
    main()
