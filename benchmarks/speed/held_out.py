"""A program that measures the end loss of a saved model, the same way whoever trained it.

Plain transformers, float32, no dropout: mean cross-entropy in nats over the learnt tokens of the
held-out rows (classification: over the rows, with accuracy), or over the characters of a text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from benchmarks.speed.encoding import IGNORED, encode
from benchmarks.speed.harness import read_lines, read_spec, write_json

BATCH = 16


def load(kind: str, folder: Path) -> tuple[Any, Any]:
    """The model in float32 and evaluation mode, and its tokenizer."""
    import transformers

    classes = {
        "seq2seq": "AutoModelForSeq2SeqLM",
        "causal": "AutoModelForCausalLM",
        "classify": "AutoModelForSequenceClassification",
    }
    model_class = getattr(transformers, classes[kind])
    model = model_class.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def of_rows(spec: dict[str, Any]) -> dict[str, float]:
    """Loss, and accuracy of a classifier, on the rows of a JSON Lines file."""
    kind = spec["kind"]
    model, tokenizer = load(kind, Path(spec["model"]))
    names = [model.config.id2label[i] for i in range(model.config.num_labels)]
    rows = read_lines(Path(spec["held"]))
    encoded = [encode(kind, tokenizer, row, labels=names, longest=spec["longest"]) for row in rows]
    encoded.sort(key=lambda row: len(row["input_ids"]))
    total = units = right = 0.0
    for start in range(0, len(encoded), BATCH):
        batch = encoded[start : start + BATCH]
        pad = tokenizer.pad_token_id
        inputs = {
            "input_ids": _padded([row["input_ids"] for row in batch], pad),
            "attention_mask": _padded([row["attention_mask"] for row in batch], 0),
        }
        if kind == "classify":
            targets = torch.tensor([row["labels"] for row in batch])
            logits = model(**inputs).logits
            right += float((logits.argmax(-1) == targets).sum())
        else:
            targets = _padded([row["labels"] for row in batch], IGNORED)
            if kind == "seq2seq":
                logits = model(**inputs, labels=targets).logits
            else:
                logits = model(**inputs).logits[:, :-1]
                targets = targets[:, 1:]
        loss = functional.cross_entropy(
            logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        total += float(loss)
        units += int((targets != IGNORED).sum())
    found = {"loss": total / units}
    return {**found, "accuracy": right / units} if kind == "classify" else found


@torch.no_grad()
def of_text(spec: dict[str, Any]) -> dict[str, float]:
    """Loss of a character in windows of ``block`` tokens, each learnt from those before it.

    Tokenizers of any kind compare: the sum over tokens is divided by the characters they stand
    for.
    """
    model, tokenizer = load("causal", Path(spec["model"]))
    text = Path(spec["held"]).read_text(encoding="utf-8")[: spec.get("characters")]
    ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
    total, counted = 0.0, 0
    windows = (len(ids) - 1) // spec["block"]
    read = ids[: windows * spec["block"]].view(windows, -1)
    targets = ids[1 : windows * spec["block"] + 1].view(windows, -1)
    for start in range(0, windows, 64):
        logits = model(input_ids=read[start : start + 64]).logits
        wanted = targets[start : start + 64]
        total += float(
            functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum")
        )
        counted += wanted.numel()
    return {"loss": total / counted * len(ids) / len(text)}


def _padded(rows: list[list[int]], value: int) -> torch.Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def main() -> None:
    """Measure, and write ``result.json``."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    found = of_text(spec) if "block" in spec else of_rows(spec)
    write_json(Path(spec["folder"]) / "result.json", found)


if __name__ == "__main__":
    main()
