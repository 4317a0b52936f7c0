"""Exported graphs run in ONNX Runtime Web, the build for browsers, and answer as they do here.

The package comes from npm and runs under Node, in WebAssembly as in a browser.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from task_models import CONFIGS, bert_tokenizer, gpt_tokenizer, t5_tokenizer

from tinyforge.artifacts.export_folder import ExportRecord, read_record
from tinyforge.compress.quantize import quantize, schemes
from tinyforge.export.graphs import write_graphs
from tinyforge.inference.onnx.sessions import Session, open_session
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.examples import Example

pytestmark = [pytest.mark.network, pytest.mark.slow]

PACKAGE = "onnxruntime-web@1.30.0"
SCRIPT = Path(__file__).with_name("onnx_web.mjs")
Arrays = dict[str, NDArray[Any]]

MODELS: dict[str, tuple[str, Any]] = {
    # Name in CONFIGS, and tokenizer.
    "bert": ("BertForSequenceClassification", bert_tokenizer),
    "distilbert": ("DistilBertForSequenceClassification", bert_tokenizer),
    "t5-tied": ("T5ForConditionalGeneration", t5_tokenizer),
    "gpt2": ("GPT2LMHeadModel", gpt_tokenizer),
    "llama-tied": ("LlamaForCausalLM", gpt_tokenizer),
}

TOLERANCES = {
    # WebAssembly has no kernel that rounds the inputs of a product in blocks, and leaves them as
    # they are; whole integers round at other places where the sums before them differ in a bit.
    "fp32": 1e-4, "int8": 0.1, "int4": 0.1,
}  # fmt: skip


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with onnxruntime-web in its node_modules."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("needs Node and npm")
    folder = tmp_path_factory.mktemp("web")
    words = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.skip(f"npm cannot install {PACKAGE}: {ended.stderr.strip()[-200:]}")
    return folder / "node_modules"


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of exported models, made when they are asked for."""
    return tmp_path_factory.mktemp("exports")


def exported(exports: Path, name: str, precision: str) -> tuple[Path, ExportRecord]:
    folder = exports / f"{name}-{precision}"
    if not folder.exists():
        if precision == "fp32":
            write_graphs(TorchModel.load(saved(exports, name)), folder)
        else:
            source, record = exported(exports, name, "fp32")
            rows = [Example(input=text, output="LABEL_0") for text in ("the cat", "how are you")]
            quantize(source, folder, schemes(precision, record)[0], calibration=rows)  # type: ignore[arg-type]
    return folder, read_record(folder)


def saved(exports: Path, name: str) -> Path:
    """A tiny model with random weights, large enough that its logits differ."""
    folder = exports / name
    class_name, tokenizer = MODELS[name]
    torch.manual_seed(0)
    model = getattr(transformers, class_name)(CONFIGS[name]())
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3.0 if weight.ndim > 1 else 1.0)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
@pytest.mark.parametrize("name", MODELS)
def test_graphs_answer_alike_in_the_browser_build(
    name: str, precision: str, packages: Path, exports: Path, tmp_path: Path
) -> None:
    folder, record = exported(exports, name, precision)
    feeds: dict[str, Arrays] = {}
    answers: dict[str, Arrays] = {}
    for role in sorted(record.graphs, reverse=True):  # the encoder before the decoder
        session = open_session(record.graph(folder, role), threads=1)
        steps = [first_step(record, session, role, answers)]
        found = [session.run(steps[0])]
        if role == "decoder":
            steps.append(next_step(session, steps[0], found[0]))
            found.append(session.run(steps[1]))
        answers[role], feeds[role] = found[0], steps[0]
        theirs = in_browser_build(session.path, steps, packages, tmp_path / role)
        for ours, other in zip(found, theirs, strict=True):
            same(ours, other, TOLERANCES[precision])


def first_step(
    record: ExportRecord, session: Session, role: str, answers: Mapping[str, Arrays]
) -> Arrays:
    """Two rows of five tokens; the second row of an encoder is padded."""
    chooser = np.random.default_rng(0)
    ids = chooser.integers(5, 100, (2, 5))
    mask = np.ones_like(ids)
    if role != "decoder":
        mask[1, 3:] = 0
    feeds: Arrays = {"input_ids": ids, "attention_mask": mask}
    if role == "decoder":
        assert record.cache is not None
        shape = (2, record.cache.heads, 0, record.cache.head_size)
        for name in session.inputs:
            if name.startswith("past_key_values"):
                feeds[name] = np.zeros(shape, np.float32)
        feeds["keep"] = np.arange(10)
        feeds["position_ids"] = np.tile(np.arange(5), (2, 1))
        if "encoder" in answers:
            feeds |= answers["encoder"]
            feeds["encoder_attention_mask"] = np.array([[1] * 5, [1, 1, 1, 0, 0]])
    return {name: feeds[name] for name in session.inputs}


def next_step(session: Session, before: Arrays, found: Arrays) -> Arrays:
    """One more token on top of the cache."""
    feeds = {
        **before, "input_ids": np.array([[7], [8]]), "keep": np.arange(2),
        "attention_mask": np.ones((2, 6), np.int64), "position_ids": np.array([[5], [5]]),
    }  # fmt: skip
    for name in session.inputs:
        if name.startswith("past_key_values"):
            feeds[name] = found[name.replace("past_key_values", "present")]
    return {name: feeds[name] for name in session.inputs}


def in_browser_build(
    graph: Path, steps: Sequence[Arrays], packages: Path, place: Path
) -> list[Arrays]:
    """What the graph answers under Node."""
    place.mkdir()
    runs = []
    for number, feeds in enumerate(steps):
        told = {}
        for at, (name, array) in enumerate(feeds.items()):
            file = place / f"feed-{number}-{at}.bin"
            file.write_bytes(np.ascontiguousarray(array).tobytes())
            told[name] = {"type": str(array.dtype), "dims": array.shape, "file": str(file)}
        runs.append({"feeds": told})
    beside = graph.with_name(graph.name + ".data")
    request = place / "request.json"
    request.write_text(
        json.dumps(
            {
                "graph": str(graph), "data": beside.name if beside.exists() else None,
                "runs": runs, "answers": str(place),
            }
        )
    )  # fmt: skip
    words = ["node", str(SCRIPT), str(packages), str(request)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr[-2_000:]
    return [
        {
            name: np.frombuffer(Path(one["file"]).read_bytes(), one["type"]).reshape(one["dims"])
            for name, one in found.items()
        }
        for found in json.loads((place / "answers.json").read_text())
    ]


def same(ours: Arrays, theirs: Arrays, tolerance: float) -> None:
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        assert array.shape == theirs[name].shape, name
        assert array.size == 0 or np.abs(array).max() > 0, name
        distance = np.linalg.norm(array - theirs[name])
        assert distance <= tolerance * np.linalg.norm(array), name
