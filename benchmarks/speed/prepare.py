"""A program that writes what a case needs: a model folder, rows to learn from, rows held out.

It runs apart from everything that is measured. ``facts.json`` tells the rest: the model's config
and number of weights, and the lengths of the rows in tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.speed import models, rows
from benchmarks.speed.encoding import encode, lengths
from benchmarks.speed.harness import read_spec, write_json

LONGEST = {"seq2seq": 64, "causal": 512, "classify": 128}
"""Tokens of a row, at most; longer rows are left out, so that no side cuts any."""


def t5_short_pairs(spec: dict[str, Any], folder: Path) -> None:
    """Word reversal for T5-small."""
    found = rows.reversal((spec["rows"] + spec["held_out"]) * 5 // 4, seed=spec["seed"])
    texts = [row["input"] for row in found]
    model = models.t5_small(folder / "model", texts, quick=spec["quick"])
    _finish("seq2seq", model, found, spec, folder)


def llama_alpaca(spec: dict[str, Any], folder: Path) -> None:
    """Alpaca's instructions for a Llama of GPT-2's size."""
    found = rows.without_repeats(rows.alpaca(Path(spec["data"])), "input")
    texts = [text for row in found for text in (row["input"], row["output"])]
    model = models.llama(
        folder / "model", texts, vocabulary=spec["vocabulary"], quick=spec["quick"]
    )
    _finish("causal", model, rows.shuffled(found, spec["seed"]), spec, folder)


def classify(spec: dict[str, Any], folder: Path) -> None:
    """Banking77 or SMS spam for MiniLM or a DistilBERT."""
    found = rows.without_repeats(rows.classification(Path(spec["data"]), spec["name"]), "text")
    found = rows.shuffled(found, spec["seed"])
    if spec["quick"]:  # so few rows do not hold every label on both sides
        found = rows.of_two_labels(found)
    if spec["model"] == "minilm":
        model = models.minilm(folder / "model")
    else:
        model = models.distilbert_size(folder / "model", quick=spec["quick"])
    _finish("classify", model, found, spec, folder)


def gpt_characters(spec: dict[str, Any], folder: Path) -> None:
    """Shakespeare: nine tenths to learn from, the last tenth held out."""
    path = Path(spec["data"]) / "raw/tinyshakespeare.txt"
    if not path.is_file():
        raise SystemExit(f"{path} is not there; say where the data are with --data-folder")
    text = path.read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    (folder / "train.txt").write_text(text[:cut], encoding="utf-8")
    (folder / "held.txt").write_text(text[cut:], encoding="utf-8")
    model = models.character_llama(folder / "model", text[:cut])
    write_json(folder / "facts.json", _of_model(model))


def _finish(
    kind: str, model: Any, found: list[dict[str, str]], spec: dict[str, Any], folder: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    labels = sorted({row["label"] for row in found}) if kind == "classify" else []
    longest = LONGEST[kind]

    def fits(row: dict[str, str]) -> bool:
        read = encode(kind, tokenizer, row, labels=labels, longest=longest + 1)
        sides = [read["input_ids"]] + ([read["labels"]] if kind == "seq2seq" else [])
        return all(len(side) <= longest for side in sides)

    train, held = rows.take(found, spec["rows"], spec["held_out"], fits, shots=spec.get("shots", 0))
    rows.write(folder / "train.jsonl", train)
    rows.write(folder / "held.jsonl", held)
    encoded = [encode(kind, tokenizer, row, labels=labels, longest=longest) for row in train]
    largest = max(max(row["input_ids"]) for row in encoded)
    if largest >= model.config.vocab_size:
        raise SystemExit(f"token {largest} is outside of the model's vocabulary")
    facts = {
        "kind": kind, "longest": longest, "labels": labels,
        "lengths": [lengths(kind, row) for row in encoded],
    }  # fmt: skip
    write_json(folder / "facts.json", {**_of_model(model), **facts})


def _of_model(model: Any) -> dict[str, Any]:
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "config": model.config.to_dict(),
    }


CASES = {
    "t5_short_pairs": t5_short_pairs,
    "llama_alpaca": llama_alpaca,
    "classify": classify,
    "gpt_characters": gpt_characters,
}


def main() -> None:
    """Write the files of one case."""
    spec = read_spec()
    CASES[spec["case"]](spec, Path(spec["folder"]))


if __name__ == "__main__":
    main()
