"""A program that writes what the answering cases need: a model, its exports, and what to answer.

It runs apart from everything that is measured. The model's folder is plain Hugging Face; every
side has its weights from there. ``facts.json`` tells the rest.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.speed import models, planted, rows
from benchmarks.speed.encoding import encode
from benchmarks.speed.harness import read_lines, read_spec, write_json
from tinyforge.records.examples import Example

TOKENS = 50_000
"""Of the decoder's tokenizer and vocabulary: with them it has GPT-2's 124 million weights."""

TEXTS = 8_000
"""Stretches of novels, 1,500 characters each, that the tokenizer learns from beside Alpaca."""

PROBES, PROBE = 3, 24
"""Rows, and tokens of each, whose logits every side is asked for."""

CHECKED = 24
"""Tokens that the export in float32 must write as transformers does."""

CALIBRATION = 64
"""Rows that quantizing may look at."""


def decoder(spec: dict[str, Any], folder: Path) -> None:
    """A Llama of GPT-2's size with random weights, and Alpaca's instructions to answer."""
    alpaca = rows.without_repeats(rows.alpaca(Path(spec["data"])), "input")
    texts = [text for row in alpaca for text in (row["input"], row["output"])]
    texts += list(islice(planted.documents(Path(spec["data"])), 0 if spec["quick"] else TEXTS))
    wanted = 2_000 if spec["quick"] else TOKENS
    model = models.llama(
        folder / "model", texts, vocabulary=wanted, quick=spec["quick"], tokens=wanted
    )
    endless(model, folder / "model")
    prompts = _prompts(rows.shuffled(alpaca, spec["seed"]), folder / "model", wanted)
    write_json(folder / "prompts.json", prompts)
    np.save(folder / "reference.npy", _logits(model, _probes(prompts)))
    write_json(folder / "probes.json", _probes(prompts))
    write_json(folder / "written.json", _written(model, prompts[:2]))
    facts = _export(folder, spec, ())  # rows say nothing about random weights
    facts |= {"gguf": _gguf(folder, spec["precisions"])}
    write_json(folder / "facts.json", {**_of_model(model), **facts})


def endless(model: Any, folder: Path) -> None:
    """No answer of random weights shall end by chance: a row of zeros is never the likeliest."""
    with torch.no_grad():
        model.get_input_embeddings().weight[model.config.eos_token_id] = 0
    model.save_pretrained(folder)


def _prompts(found: Sequence[rows.Row], folder: Path, vocabulary: int) -> list[list[int]]:
    """Token ids of conversations with one question, 24 tokens at least and 200 at most."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if len(tokenizer) != vocabulary:
        raise SystemExit(f"the tokenizer has {len(tokenizer)} tokens instead of {vocabulary}")
    encoded = (
        encode("causal", tokenizer, {"input": row["input"], "output": ""})["input_ids"][:-1]
        for row in found
    )
    return list(islice((ids for ids in encoded if PROBE <= len(ids) <= 200), 200))


def _probes(prompts: Sequence[list[int]]) -> list[list[int]]:
    return [ids[:PROBE] for ids in prompts[:PROBES]]


def _logits(model: Any, probes: Sequence[list[int]]) -> Any:
    with torch.inference_mode():
        found = model.float().eval()(input_ids=torch.tensor(probes)).logits
    return found.reshape(-1, found.shape[-1]).float().numpy()


def _written(model: Any, prompts: Sequence[list[int]]) -> list[list[int]]:
    """What transformers writes greedily, each prompt by itself."""
    found = []
    for ids in prompts:
        with torch.inference_mode():
            out = model.generate(
                torch.tensor([ids]), max_new_tokens=CHECKED, do_sample=False, num_beams=1
            )
        found.append(out[0, len(ids) :].tolist())
    return found


def _export(folder: Path, spec: dict[str, Any], calibration: Sequence[Example]) -> dict[str, Any]:
    """The float32 export and the asked ones, in folders named after their precision.

    Where no scheme is named, a decoder gets the one that is called as the precision is: its head
    has 8 bits, as in llama.cpp's files. Others get the first that is tried.
    """
    from tinyforge.compress.quantize import quantize, schemes
    from tinyforge.export.graphs import write_graphs
    from tinyforge.inference.torch_model import TorchModel

    seconds, used = {}, {}
    started = time.perf_counter()
    record = write_graphs(TorchModel.load(folder / "model"), _made(folder / "fp32"))
    seconds["fp32"] = time.perf_counter() - started
    for precision in spec["precisions"]:
        if precision == "fp32":
            continue
        ladder = schemes(precision, record)
        wanted = spec["scheme"] or (precision if spec["case"] == "decoder" else ladder[0].name)
        chosen = next((scheme for scheme in ladder if scheme.name == wanted), ladder[0])
        started = time.perf_counter()
        quantize(folder / "fp32", _made(folder / precision), chosen, calibration=calibration)
        seconds[precision] = time.perf_counter() - started
        used[precision] = chosen.name
    return {"export_seconds": seconds, "schemes": used}


def _made(folder: Path) -> Path:
    """An empty folder; what a run that was cut short left there is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _gguf(folder: Path, precisions: Sequence[str]) -> dict[str, str]:
    """The files that llama.cpp reads, by precision; empty without the package."""
    from tinyforge.errors import MissingPackageError
    from tinyforge.export.gguf import write_gguf
    from tinyforge.inference.torch_model import TorchModel

    model, found = TorchModel.load(folder / "model"), {}
    for precision in precisions:
        path = folder / f"{precision}.gguf"
        try:
            write_gguf(model, path, precision=precision)
        except MissingPackageError:
            return {}
        found[precision] = str(path)
    return found


def t5(spec: dict[str, Any], folder: Path) -> None:
    """The exports of a trained T5, and the rows to answer."""
    from transformers import AutoModelForSeq2SeqLM

    found = read_lines(Path(spec["rows"]))
    examples = [Example(input=row["input"]) for row in found[-CALIBRATION:]]
    (folder / "model").symlink_to(Path(spec["trained"]).resolve())
    rows.write(folder / "rows.jsonl", found[: spec["batches"] * spec["batch"]])
    facts = _export(folder, spec, examples)
    model = AutoModelForSeq2SeqLM.from_pretrained(spec["trained"])
    write_json(folder / "facts.json", {**_of_model(model), **facts})


def classifier(spec: dict[str, Any], folder: Path) -> None:
    """MiniLM with a head for Banking77, and questions of which it has seen none."""
    from benchmarks.speed.answer_head import fitted

    found = rows.without_repeats(rows.classification(Path(spec["data"]), "banking77"), "text")
    found = rows.shuffled(found, spec["seed"])
    learnt, asked = found[: spec["learnt"]], found[spec["learnt"] :][: spec["rows"]]
    models.minilm(folder / "encoder")
    model = fitted(folder / "encoder", learnt, folder / "model")
    rows.write(folder / "rows.jsonl", asked)
    examples = [Example(input=row["text"], output=row["label"]) for row in learnt[:CALIBRATION]]
    facts = _export(folder, spec, examples)
    write_json(folder / "facts.json", {**_of_model(model), **facts})


def _of_model(model: Any) -> dict[str, Any]:
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "config": model.config.to_dict(),
    }


CASES: dict[str, Callable[[dict[str, Any], Path], None]] = {
    "decoder": decoder,
    "t5": t5,
    "classifier": classifier,
}


def main() -> None:
    """Write the files of one case."""
    spec = read_spec()
    random.seed(spec["seed"])
    CASES[spec["case"]](spec, Path(spec["folder"]))


if __name__ == "__main__":
    main()
