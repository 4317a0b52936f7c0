"""An exported model's folder: its graphs, and the record that says how to run them.

The graphs and the tokenizer stand at the top, ``tinyforge/export.json`` beside the gate's result,
the golden answers and the manifest. Everything needed to answer is in the folder; nothing in it is
executed.

Inputs and outputs of the graphs, by role; ``n`` tokens are read in a step:

- ``model`` (classifiers): ``input_ids``, ``attention_mask`` int64 (rows, n) -> ``logits`` float32
  (rows, labels); in most, ``hidden`` float32 (rows, kept, width): the last states, of which
  sentence vectors are made. Where the graph has a further input ``places``, int64 (kept,), its
  last layer is computed for these places alone, the first of which has to be 0 for ``logits``;
  by default they are [0], which is all that a head reads. Otherwise ``hidden`` has all n places.
- ``encoder``: ``input_ids``, ``attention_mask`` int64 (rows, source) -> ``cross.{i}.key``,
  ``cross.{i}.value`` (rows, heads, source, head size) for each layer of the decoder; ``hidden``
  float32 (rows, source, width).
- ``decoder``: ``input_ids`` int64 (rows, n), ``attention_mask`` int64 (rows, past + n) with 0 at
  places that hold no token, where the family has positions of its own ``position_ids`` int64
  (rows, n), ``keep`` int64 (kept,), indices into the rows x n hidden states, row by row, whose
  logits are wanted; ``past_key_values.{i}.key`` and ``.value`` (rows, key-value heads, past, head
  size); behind an encoder also ``encoder_attention_mask`` int64 (rows, source) and the cross keys
  and values -> ``logits`` float32 (kept, vocabulary), ``present.{i}.key`` and ``.value``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from tinyforge.artifacts.files import read_json, write_json
from tinyforge.errors import FolderError

RECORD = PurePosixPath("tinyforge/export.json")
GOLDEN = PurePosixPath("tinyforge/golden.jsonl")
GATE = PurePosixPath("tinyforge/gate.json")
PAGE = PurePosixPath("tinyforge/report.html")
FORMAT = 1

Family = Literal["encoder", "encoder-decoder", "decoder"]
Precision = Literal["fp32", "bf16", "fp16", "int8", "int4"]
HIDDEN = "hidden"
"""The output that not every graph has, nor one of an older export."""
PLACES = "places"
"""The input that has a value where none is given, and that not every graph has either."""
STATES = ("model", "encoder")
"""The roles of graphs that may have it."""
ROLES: dict[str, set[str]] = {
    "encoder": {"model"}, "encoder-decoder": {"encoder", "decoder"}, "decoder": {"decoder"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """The decoder's cache of attention keys and values.

    Attributes:
        kind: ``in-place``: a row's tokens stand at the left of a buffer that may be longer, and
            the step writes behind them (the operator GroupQueryAttention; ``present`` may be the
            same memory as ``past``). ``growing``: ``present`` is ``past`` with the new tokens
            behind it, and places that hold no token are masked wherever they are.
        layers, heads, head_size: of the keys and values.
        dtype: ``float32``, ``float16``, ``bfloat16`` or ``int8``.
        positions: whether the graph takes ``position_ids``.
    """

    kind: Literal["in-place", "growing"]
    layers: int
    heads: int
    head_size: int
    dtype: str = "float32"
    positions: bool = False


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """How an exported model is run.

    Attributes:
        task: the task's ``state()``: template choices, prefix, labels, thresholds, limits.
        family: which roles there are.
        graphs: role -> file at the top of the folder; external weights lie in ``FILE.data``.
        precision: of most weights.
        scheme: how they were made smaller, and which parts were left as they were; plain JSON.
        config: what tokenizing and generating need of the model's config: ``model_type``,
            ``vocab_size``, ``pad_token_id``, ``bos_token_id``, ``eos_token_id`` (one or several),
            ``decoder_start_token_id``, ``max_positions`` (None: unbounded), ``num_labels``.
        tokens: the tokenizer's own: ``bos_token``, ``eos_token``, ``pad_token``, ``unk_token``,
            ``chat_template`` and whether the tokenizer's post-processor is to be trusted.
        generation: settings of ``GenerateSettings`` that hold where a call says nothing else.
        cache: None for classifiers.
        source: name of the model that was exported.
        weights: the first 12 hex digits of the SHA-256 of its weights.
        parameters: how many numbers the source has.
        ready: whether the gate passed.
    """

    task: Mapping[str, Any]
    family: Family
    graphs: Mapping[str, str]
    precision: Precision
    config: Mapping[str, Any]
    tokens: Mapping[str, Any]
    source: str
    weights: str
    parameters: int
    cache: CacheLayout | None = None
    scheme: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    ready: bool = False

    def write(self, folder: Path) -> None:
        """Into ``tinyforge/export.json``."""
        (folder / RECORD).parent.mkdir(parents=True, exist_ok=True)
        write_json(folder / RECORD, {"format": FORMAT, **asdict(self)})

    def graph(self, folder: Path, role: str) -> Path:
        """Where a role's graph lies."""
        return folder / self.graphs[role]


def is_export(folder: Path) -> bool:
    """Whether a folder holds an exported model."""
    return (folder / RECORD).is_file()


def read_record(folder: Path) -> ExportRecord:
    """The record of an exported folder.

    Raises:
        FolderError: it is missing, damaged, of a newer format, or names graphs outside the folder.
    """
    where = folder / RECORD
    raw = read_json(where)
    if not isinstance(raw, dict):
        raise FolderError("is damaged: not a record", where=str(where))
    version = raw.pop("format", None)
    if version != FORMAT:
        raise FolderError(
            "was written by another version of TinyForge", where=str(where), value=version,
            fix="Export the model again, or bring TinyForge up to date",
        )  # fmt: skip
    try:
        layout = raw.pop("cache", None)
        cache = None if layout is None else CacheLayout(**layout)
        record = ExportRecord(cache=cache, **raw)
    except TypeError as error:
        raise FolderError("is damaged: not a record", where=str(where), value=str(error)) from error
    _check(record, where)
    return record


def _check(record: ExportRecord, where: Path) -> None:
    mappings = [f.name for f in fields(record) if f.name in MAPPINGS]
    if not all(isinstance(getattr(record, name), dict) for name in mappings):
        raise FolderError("is damaged: not a record", where=str(where))
    if record.family not in ROLES or set(record.graphs) != ROLES[record.family]:
        raise FolderError(
            "does not name the graphs of its family", where=str(where), value=record.family
        )
    if (record.cache is None) != (record.family == "encoder"):
        raise FolderError("does not fit its family: the cache", where=str(where))
    for name in record.graphs.values():
        plain = PurePosixPath(str(name))
        if len(plain.parts) != 1 or "\\" in str(name) or plain.name in ("", ".", ".."):
            raise FolderError("names a graph outside its folder", where=str(where), value=name)


MAPPINGS = ("task", "graphs", "config", "tokens", "scheme", "generation")
