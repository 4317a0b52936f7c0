"""A program that writes the models of this folder's benchmarks; it runs apart from all servers.

- ``labels``: all-MiniLM-L6-v2 with a head for the 77 labels of Banking77; its exports beside it.
- ``writer``: a Llama with random weights whose end token is never the likeliest, so that every
  answer is as long as it was asked to be; its exports in float32 and 8 bits, and llama.cpp's file.
- ``tiny``: an exported classifier of some thousand weights, in two versions.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

SIZES = {
    "small": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6},
    "gpt2": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12},
    "quick": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2},
}
HEADS = {"small": 6, "gpt2": 12, "quick": 4}
VOCABULARY = 8_000
REFUSED = "refused.txt"
"""Holds why there is no export of the classifier in 8 bits, where the gate has refused it."""
LEARNT, JUDGED = 5_000, 1_000
"""Rows that the classifier's head is fitted to, and others that its 8 bits are judged on."""


def labels(folder: Path, data: Path, *, quick: bool) -> None:
    """The classifier: MiniLM with a head for Banking77, its export in float32, and the one in 8
    bits that the gate lets pass on rows that the head was not fitted to.

    Without the rows the head is random, and there are no 8 bits: nothing could say what they cost.
    """
    from benchmarks.speed import models, rows
    from benchmarks.speed.answer_head import fitted

    if quick or not (data / rows.CLASSIFICATION["banking77"][0]).is_file():
        _random_labels(folder / "model", models.minilm_folder(), quick=quick)
        _export(folder)
        return
    found = rows.without_repeats(rows.classification(data, "banking77"), "text")
    found = rows.shuffled(found, 0)
    models.minilm(folder / "encoder")
    fitted(folder / "encoder", found[:LEARNT], folder / "model")
    _export(folder)
    rows.write(folder / "judged.jsonl", found[LEARNT : LEARNT + JUDGED])
    _pass_gate(folder)


def _pass_gate(folder: Path) -> None:
    """The export in 8 bits, or the reason why the gate refuses it."""
    import tinyforge
    from tinyforge.errors import ConditionError

    try:
        tinyforge.export(
            folder / "model", folder / "int8", precision="int8", data=folder / "judged.jsonl"
        )
    except ConditionError as error:
        (folder / REFUSED).write_text(str(error), encoding="utf-8")


def _random_labels(target: Path, source: Path, *, quick: bool) -> None:
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    names = {number: f"label {number}" for number in range(77)}
    torch.manual_seed(0)
    if quick:
        config = BertConfig(
            vocab_size=30_522, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=128, num_labels=77, id2label=names,
        )  # fmt: skip
        model = BertForSequenceClassification(config)
    else:
        model = BertForSequenceClassification.from_pretrained(
            source, num_labels=77, id2label=names, dtype=torch.float32
        )
    AutoTokenizer.from_pretrained(source).save_pretrained(target)
    model.save_pretrained(target)


def writer(folder: Path, size: str) -> None:
    """The decoder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tinyforge.compress.quantize import quantize, schemes
    from tinyforge.export.gguf import write_gguf
    from tinyforge.inference.torch_model import TorchModel
    from tinyforge.text.tokenizer_training import train_tokenizer

    texts = [f"{line} {number}" for number, line in enumerate(_words() * 40)]
    tokenizer = train_tokenizer(texts, "bpe", VOCABULARY, family="decoder")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, tie_word_embeddings=True, max_position_embeddings=1024,
        num_attention_heads=HEADS[size], pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id, **SIZES[size],
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight
        embeddings[config.eos_token_id] = 0  # a logit of zero is never the largest
        embeddings[len(tokenizer) :] = 0  # nor are tokens that the tokenizer cannot spell, nor
        for token in range(len(tokenizer)):  # parts of characters, whose text comes only later
            text = tokenizer.decode([token]).strip()
            if not (text.isascii() and text.isalnum()):
                embeddings[token] = 0
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    record = _export(folder)
    (folder / "int8").mkdir(parents=True)
    scheme = next(each for each in schemes("int8", record) if each.name == "int8")
    quantize(folder / "fp32", folder / "int8", scheme, calibration=())
    loaded = TorchModel.load(folder / "model")
    for precision in ("int8", "fp32"):
        write_gguf(loaded, folder / f"{precision}.gguf", precision=precision)


def tiny(folder: Path) -> None:
    """The small classifier, ``v1`` and ``v2``; what they say differs."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    from tinyforge.artifacts.manifest import write_manifest
    from tinyforge.text.tokenizer_training import train_tokenizer

    trained: Any = train_tokenizer(_words() * 4, "wordpiece", 200, family="encoder")
    if not isinstance(trained, PreTrainedTokenizerFast):
        raise TypeError(type(trained))
    for number in (1, 2):
        torch.manual_seed(number)
        config = BertConfig(
            vocab_size=len(trained), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=64, num_labels=3, max_position_embeddings=512,
            pad_token_id=trained.pad_token_id,
        )  # fmt: skip
        place = folder / f"v{number}"
        BertForSequenceClassification(config).save_pretrained(place / "model")
        trained.save_pretrained(place / "model")
        _export(place)
        write_manifest(place / "fp32")


def _export(folder: Path) -> Any:
    from tinyforge.export.graphs import write_graphs
    from tinyforge.inference.torch_model import TorchModel

    (folder / "fp32").mkdir(parents=True)
    return write_graphs(TorchModel.load(folder / "model"), folder / "fp32")


def _words() -> list[str]:
    return [
        "my card has not arrived and I would like to know where it is",
        "how do I send money to a friend who lives in another country",
        "the machine kept my card and gave me nothing in return",
        "please tell me why this payment was made twice last week",
        "I forgot the number that I need to use my card at a shop",
        "what does it cost to exchange euros for pounds on a Sunday",
    ]


def main() -> None:
    """Write the named models where they are not there."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("place", type=Path)
    flags.add_argument("size", choices=tuple(SIZES), help="of the writer; quick: tiny models")
    flags.add_argument("names", nargs="+", choices=("labels", "writer", "tiny"))
    flags.add_argument("--data-folder", type=Path, default=Path("../shared/data"))
    chosen = flags.parse_args()
    made = {
        "labels": lambda folder: labels(folder, chosen.data_folder, quick=chosen.size == "quick"),
        "writer": lambda folder: writer(folder, chosen.size),
        "tiny": tiny,
    }
    for name in chosen.names:
        folder = chosen.place / name
        if not (folder / "done").is_file():
            shutil.rmtree(folder, ignore_errors=True)  # of a run that was cut short
            folder.mkdir(parents=True)
            made[name](folder)
            (folder / "done").touch()


if __name__ == "__main__":
    main()
