"""The package ``tokenizers`` called as its documentation does: learn a tokenizer, or encode texts.

Run with a JSON file: ``job`` (train or encode), ``kind``, ``size``, ``texts`` (a folder of text
files) and, to encode, ``tokenizer`` (a ``tokenizer.json``).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from benchmarks.speed.harness import read_spec, write_json

SPECIALS = {
    "bpe": ["<|pad|>", "<|endoftext|>", "<|unk|>"],
    "unigram": ["<|pad|>", "<|endoftext|>", "<|unk|>"],
    "wordpiece": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
}
BATCH = 1_000


def learn(kind: str, size: int, texts: list[str]) -> Tokenizer:
    """A tokenizer from whole documents."""
    shared: dict[str, Any] = {
        "vocab_size": size, "special_tokens": SPECIALS[kind], "show_progress": False,
    }  # fmt: skip
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = trainers.BpeTrainer(initial_alphabet=alphabet, **shared)
    elif kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(unk_token="<|unk|>", **shared)
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(**shared)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(path: str, texts: list[str], output: Path) -> int:
    """All ids into a file; how many."""
    tokenizer = Tokenizer.from_file(path)
    tokenizer.encode_special_tokens = True
    count = 0
    with output.open("wb") as file:
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            for found in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                file.write(np.asarray(found.ids, dtype=np.uint16).tobytes())
                count += len(found)
    return count


def main() -> None:
    """Do the job and say how long it took."""
    spec = read_spec()
    folder = Path(spec["folder"])
    texts = [path.read_text("utf-8") for path in sorted(Path(spec["texts"]).iterdir())]
    started = time.perf_counter()
    result: dict[str, Any] = {}
    if spec["job"] == "train":
        tokenizer = learn(spec["kind"], spec["size"], texts)
    else:
        result["tokens"] = encode(spec["tokenizer"], texts, folder / "tokens.bin")
    result["seconds"] = time.perf_counter() - started
    if spec["job"] == "train":
        tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "result.json", result)


if __name__ == "__main__":
    main()
