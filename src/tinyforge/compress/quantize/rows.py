"""The user's rows going through an exported model, and what its layers see of them.

Rows go one at a time: nothing is padded, and what is measured does not depend on their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import ExportRecord
from tinyforge.compress.quantize.channels import Range
from tinyforge.compress.quantize.graph import Graph
from tinyforge.errors import DataError
from tinyforge.inference.onnx.model import OnnxModel
from tinyforge.inference.onnx.sessions import allowed_cores
from tinyforge.records.examples import Example
from tinyforge.tasks.decoder import unanswered

MOST_ROWS = 128
MOST_TOKENS = 16_384
LONGEST = 512
"""Tokens of a row, at most."""

KEPT = 64
"""Places of a row that logits are made for, about: a vocabulary's are large."""

SAMPLED = 512
"""Tokens on which the loss of a layer is looked at."""

Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row as tokens.

    Attributes:
        ids: what the model, the encoder or the decoder reads: int64 (1, n).
        answer: what the decoder behind an encoder reads: int64 (1, m); else empty.
    """

    ids: NDArray[np.int64]
    answer: NDArray[np.int64]


def token_rows(
    source: Path, record: ExportRecord, examples: Sequence[Example], *, most: int = MOST_ROWS
) -> list[TokenRow]:
    """The first of some examples as the model reads them, their answers included.

    Raises:
        DataError: no example gives any token.
    """
    model = OnnxModel.load(source)
    try:
        task, limit = model.task, min(model.max_positions or LONGEST, LONGEST)
        asked = list(examples[:most])
        if record.family == "encoder":  # what the right label is does not matter here
            asked = [unanswered(example) for example in asked]
        encoded = [task.cut(item, limit, limit) for item in task.encode(asked)]
    finally:
        model.close()
    rows: list[TokenRow] = []
    seen = 0
    for item in encoded:
        answer = np.empty((1, 0), np.int64)
        if record.family == "encoder-decoder":
            start = record.config.get("decoder_start_token_id") or 0
            ids = [start, *(int(i) for i in item.labels[:-1])]
            answer = np.array([ids], np.int64)
        row = TokenRow(np.asarray(item.input_ids, np.int64)[None], answer)
        seen += row.ids.size + answer.size
        if row.ids.size:
            rows.append(row)
        if seen >= MOST_TOKENS:
            break
    if not rows:
        raise DataError(
            "there is no row to measure the layers on", fix="Give rows with --data"
        )  # fmt: skip
    return rows


class Runner:
    """The graphs of a model in memory, answering one row at a time.

    Args:
        folder: where weights beside the graphs lie.
        graphs: role -> a graph as bytes, perhaps with further inputs and outputs.
        exact: whether weights stay as they are in the files, which spares memory. Rounded
            products are then computed in full precision, and not as they are later.
    """

    def __init__(
        self,
        folder: Path,
        record: ExportRecord,
        graphs: Mapping[str, bytes],
        *,
        exact: bool = True,
    ) -> None:
        self._record = record
        self._sessions = {role: _session(graph, folder, exact) for role, graph in graphs.items()}

    def run(
        self, row: TokenRow, wanted: Mapping[str, Sequence[str]], extra: Feeds | None = None
    ) -> dict[str, NDArray[Any]]:
        """The wanted tensors: role -> names; ``extra`` goes in wherever it is asked for."""
        found: dict[str, NDArray[Any]] = {}
        cross: dict[str, NDArray[Any]] = {}
        for role in ("model", "encoder", "decoder"):
            if role not in self._sessions:
                continue
            session = self._sessions[role]
            feeds = self._feeds(session, role, row, {**(extra or {}), **cross})
            names = list(wanted.get(role, ()))
            passed = [o.name for o in session.get_outputs() if o.name.startswith("cross.")]
            results = dict(
                zip(names + passed, session.run(names + passed, feeds), strict=True)
                if names + passed
                else ()
            )
            cross |= {name: results[name] for name in passed}
            found |= {name: results[name] for name in names}
        return found

    def _feeds(self, session: Any, role: str, row: TokenRow, extra: Feeds) -> dict[str, Any]:
        behind = role == "decoder" and self._record.family == "encoder-decoder"
        ids = row.answer if behind else row.ids
        length = ids.shape[1]
        known: dict[str, NDArray[Any]] = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "encoder_attention_mask": np.ones_like(row.ids),
            "position_ids": np.arange(length, dtype=np.int64)[None],
            "keep": np.arange(0, length, 1 + length // KEPT, dtype=np.int64),
            **extra,
        }
        cache = self._record.cache
        if cache is not None:
            empty = np.zeros((1, cache.heads, 0, cache.head_size), np.float32)
            names = (each.name for each in session.get_inputs())
            known |= {name: empty for name in names if name.startswith("past_key_values.")}
        return {each.name: known[each.name] for each in session.get_inputs()}


class Watch:
    """What the layers of a model see of some rows.

    Args:
        source: the folder of the exported model.
        rows: what goes through it.
    """

    def __init__(self, source: Path, record: ExportRecord, rows: Sequence[TokenRow]) -> None:
        self._source, self._record, self._rows = source, record, rows
        self.count = len(rows)

    def inputs(self, role: str, tensors: Sequence[str]) -> Iterator[dict[str, NDArray[np.float32]]]:
        """For each row, some tensors inside one role's graph, as (tokens, width)."""
        runner = self._runner(role, tensors)
        for row in self._rows:
            found = runner.run(row, {role: tensors})
            yield {name: value.reshape(-1, value.shape[-1]) for name, value in found.items()}

    def _runner(self, role: str, tensors: Sequence[str]) -> Runner:
        roles = {role, "encoder"} & set(self._record.graphs) if role == "decoder" else {role}
        graphs = {each: Graph(self._record.graph(self._source, each)) for each in sorted(roles)}
        return Runner(
            self._source, self._record,
            {each: g.serialized(tensors if each == role else ()) for each, g in graphs.items()},
        )  # fmt: skip


class Inputs(Protocol):
    """What shows the inputs of layers; see ``Watch.inputs``."""

    def inputs(self, role: str, tensors: Sequence[str]) -> Iterator[dict[str, NDArray[np.float32]]]:
        """For each row, some tensors inside one role's graph, as (tokens, width)."""
        ...


def grams(watch: Inputs, role: str, tensors: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """The products of each tensor's columns with each other, summed over all tokens."""
    found: dict[str, NDArray[np.float32]] = {}
    for seen in watch.inputs(role, tensors):
        for name, value in seen.items():
            if name in found:
                found[name] += value.T @ value
            else:
                found[name] = value.T @ value
    return found


def ranges(watch: Inputs, role: str, tensors: Sequence[str], divisors: Feeds) -> dict[str, Range]:
    """The range of each tensor, its channels divided first where ``divisors`` has it."""
    found = {name: Range() for name in tensors}
    for take in (Range.widen, Range.count):
        for seen in watch.inputs(role, tensors):
            for name, value in seen.items():
                if name in divisors:
                    value = np.asarray(value / divisors[name], np.float32)
                take(found[name], value)
    return found


def sample(watch: Inputs, role: str, tensors: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Each tensor at some tokens: (``SAMPLED``, width), or all there are."""
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in tensors}
    for seen in watch.inputs(role, tensors):
        for name, value in seen.items():
            found[name].append(value)
        if all(sum(map(len, parts)) >= SAMPLED for parts in found.values()):
            break
    return {name: np.concatenate(parts)[:SAMPLED] for name, parts in found.items()}


def _session(graph: bytes, folder: Path, exact: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = allowed_cores()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # rows differ in length, and memory is given back
    if exact:
        options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder.resolve())
    )
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
