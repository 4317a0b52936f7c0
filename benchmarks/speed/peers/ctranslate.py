"""CTranslate2 answers batches of text pairs, greedily, tokenizing included."""

from __future__ import annotations

from pathlib import Path

import ctranslate2
from transformers import AutoTokenizer

from benchmarks.speed.harness import read_spec
from benchmarks.speed.peers.in_batches import time_batches


def main() -> None:
    """Convert the model, then time the batches, one after the other."""
    spec = read_spec()
    folder, target = Path(spec["prepared"]) / "model", Path(spec["folder"]) / "converted"
    converter = ctranslate2.converters.TransformersConverter(str(folder))
    converter.convert(str(target), quantization=spec["type"], force=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = ctranslate2.Translator(
        str(target), device="cpu", compute_type=spec["type"], inter_threads=1,
        intra_threads=spec["threads"],
    )  # fmt: skip

    def answer(some: list[str]) -> list[str]:
        rows = [tokenizer.convert_ids_to_tokens(ids) for ids in tokenizer(some)["input_ids"]]
        found = model.translate_batch(rows, beam_size=1, max_decoding_length=spec["written"])
        ids = [tokenizer.convert_tokens_to_ids(one.hypotheses[0]) for one in found]
        return tokenizer.batch_decode(ids, skip_special_tokens=True)

    time_batches(spec, answer)


if __name__ == "__main__":
    main()
