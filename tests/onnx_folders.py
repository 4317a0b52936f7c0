"""Exported folders made by hand with the package ``onnx``: a classifier too small to need torch.

Its logits are the mean of its tokens' rows in a table times a matrix, so that a test can compute
them in a line of numpy, whatever is padded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tinyforge.artifacts.export_folder import ExportRecord

LABELS = ("bad", "good", "so-so")
WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]",
    "the", "cat", "sat", "on", "a", "mat", "how", "are", "you", "today",
]  # fmt: skip
WIDTH = 8


def tables() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeddings (tokens, width) and weights (width, labels)."""
    draw = np.random.default_rng(7)
    return (
        draw.normal(size=(len(WORDS), WIDTH)).astype(np.float32),
        draw.normal(size=(WIDTH, len(LABELS))).astype(np.float32),
    )


def logits_of(ids: Sequence[int]) -> NDArray[np.float32]:
    """What the graph gives for one row."""
    embeddings, weights = tables()
    return embeddings[list(ids)].mean(axis=0) @ weights


def graph(*, external: str | None = None, change: Callable[[Any], None] | None = None) -> Any:
    """The classifier's graph.

    Args:
        external: keep the embeddings in a file of this name.
        change: changes the ``onnx.ModelProto`` before it is checked by anybody.
    """
    onnx = pytest.importorskip("onnx", reason="needs tinyforge[onnx]")
    from onnx import TensorProto, helper, numpy_helper

    embeddings, weights = tables()
    nodes = [
        helper.make_node("Gather", ["embeddings", "input_ids"], ["states"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["states", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "places"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["wide", "places"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
    ]
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "n"])
        for name in ("input_ids", "attention_mask")
    ]
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", len(LABELS)])
    constants = [
        numpy_helper.from_array(embeddings, "embeddings"),
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "places"),
    ]
    if external is not None:
        keep_outside(constants[0], external)
    made = helper.make_model(
        helper.make_graph(nodes, "classifier", ids, [out], constants),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    made.ir_version = 8
    if change is not None:
        change(made)
    assert onnx is not None
    return made


def keep_outside(tensor: Any, location: str, offset: int = 0) -> None:
    """Say of a tensor that its bytes lie in another file."""
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(size))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of whole words."""
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def record(**more: Any) -> ExportRecord:
    """The classifier's record."""
    multi_label = more.pop("multi_label", False)
    positions = more.pop("max_positions", 16)
    task = {
        "name": "classify", "family": "encoder", "prefix": "", "labels": list(LABELS),
        "multi_label": multi_label, "threshold": 0.5, "max_length": None,
    }  # fmt: skip
    given: dict[str, Any] = {
        "task": task,
        "family": "encoder",
        "graphs": {"model": "model.onnx"},
        "precision": "fp32",
        "config": {
            "model_type": "bert", "vocab_size": len(WORDS), "pad_token_id": 0,
            "max_positions": positions, "num_labels": len(LABELS),
        },
        "tokens": {"pad_token": "[PAD]", "unk_token": "[UNK]", "chat_template": None},
        "source": "by hand",
        "weights": "0123456789ab",
        "parameters": (len(WORDS) + len(LABELS)) * WIDTH,
        "ready": True,
    }  # fmt: skip
    return ExportRecord(**{**given, **more})


def write_classifier(folder: Path, *, external: str | None = None, **more: Any) -> Path:
    """The whole folder, without a manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    change = more.pop("change", None)
    (folder / "model.onnx").write_bytes(graph(external=external, change=change).SerializeToString())
    if external == "model.onnx.data":
        (folder / external).write_bytes(tables()[0].tobytes())
    write_tokenizer(folder)
    record(**more).write(folder)
    return folder
