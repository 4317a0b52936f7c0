"""A plain onnxruntime session answers a classifier's rows one after the other.

It runs the graph of our export, as a few lines of one's own would: its tokenizer, a row, a label.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from benchmarks.speed.harness import read_json, read_lines, read_spec, write_json


def main() -> None:
    """Time the rows."""
    spec = read_spec()
    folder = Path(spec["prepared"]) / spec["export"]
    record = read_json(folder / "tinyforge" / "export.json")
    config = read_json(folder / "config.json")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = spec["threads"]
    session = onnxruntime.InferenceSession(
        str(folder / record["graphs"]["model"]), options, providers=["CPUExecutionProvider"]
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    names = {one.name for one in session.get_inputs()}

    def answer(text: str) -> str:
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        logits = session.run(["logits"], {k: v for k, v in feeds.items() if k in names})[0]
        return str(config["id2label"][str(int(logits[0].argmax()))])

    texts = [row["text"] for row in read_lines(Path(spec["rows"]))]
    for text in texts[:64]:  # warm
        answer(text)
    started = time.perf_counter()
    answers = [answer(text) for text in texts]
    result = {"seconds": [time.perf_counter() - started], "answers": answers}
    write_json(Path(spec["folder"]) / "result.json", result)


if __name__ == "__main__":
    main()
