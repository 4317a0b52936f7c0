"""What the programs of our side share: an exported decoder's engine, and its logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import ExportRecord, read_record
from tinyforge.config.evaluate import GenerateSettings
from tinyforge.inference.onnx.model import OnnxModel
from tinyforge.inference.onnx.sessions import open_session
from tinyforge.records.encoded import IGNORED, Encoded


def open_model(folder: Path, threads: int) -> OnnxModel:
    """The exported model, as ``tinyforge.load`` opens it."""
    return OnnxModel.load(folder, threads=threads)


def engine_of(model: OnnxModel) -> Any:
    """What writes the model's answers."""
    return model._onnx_writer.engine


def encoded(ids: Sequence[int]) -> Encoded:
    """A prompt of token ids."""
    return Encoded(np.array(ids, np.int32), np.full(len(ids), IGNORED, np.int32))


def greedy(new: int) -> GenerateSettings:
    """So many tokens at most, the likeliest each time."""
    return GenerateSettings(max_new_tokens=new)


def written(engine: Any, ids: Sequence[int], new: int) -> list[int]:
    """An answer's tokens."""
    return [int(token) for token in engine.submit(encoded(ids), greedy(new))]


def logits(folder: Path, probes: Sequence[Sequence[int]], threads: int) -> NDArray[np.float32]:
    """The decoder's logits at every place of rows of one length: (rows x places, vocabulary)."""
    record = read_record(folder)
    session = open_session(record.graph(folder, "decoder"), threads=threads)
    ids = np.array(probes, np.int64)
    feeds = {
        "input_ids": ids, "attention_mask": np.ones_like(ids),
        "keep": np.arange(ids.size, dtype=np.int64), **empty_cache(record, len(ids)),
    }  # fmt: skip
    if "position_ids" in session.inputs:
        feeds["position_ids"] = np.broadcast_to(np.arange(ids.shape[1]), ids.shape).copy()
    found = session.run(feeds, ["logits"])["logits"]
    return np.asarray(found, np.float32)


def empty_cache(record: ExportRecord, rows: int) -> dict[str, NDArray[Any]]:
    """Keys and values of no tokens."""
    layout = record.cache
    if layout is None:
        raise ValueError("a classifier has no cache")
    shape = (rows, layout.heads, 0, layout.head_size)
    return {
        f"past_key_values.{layer}.{part}": np.zeros(shape, layout.dtype)
        for layer in range(layout.layers)
        for part in ("key", "value")
    }


def folder_bytes(folder: Path) -> int:
    """Of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
