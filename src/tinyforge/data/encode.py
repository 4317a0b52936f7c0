"""Examples as token ids on disk, and the lengths they are cut to."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.data import DataSettings
from tinyforge.data.store import FlatFile, FlatWriter
from tinyforge.errors import DataError, SettingError
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example
from tinyforge.records.rows import Source
from tinyforge.tasks.base import Task

_CHUNK = 512
_COVERED = 0.99
_MULTIPLE = 8
_DOCUMENT_LENGTH = 512
_CUT_SHARE = 0.01
_SHOWN = 100

Lens = NDArray[np.int32]


class EncodedStore(Sequence[Encoded]):
    """Encoded examples on disk, read one at a time. Made by ``encode``, cut by ``limit``.

    Attributes:
        input_lengths: int32, tokens of each input (decoder: prompt and answer).
        label_lengths: int32, entries of each example's labels.
        learnt: int32, labels of each example that carry loss.
    """

    def __init__(
        self,
        data: FlatFile,
        examples: Sequence[Example],
        indices: NDArray[np.int64],
        lengths: tuple[Lens, Lens, Lens],
    ) -> None:
        self._data, self._examples, self._indices = data, examples, indices
        self.input_lengths, self.label_lengths, self.learnt = lengths
        self._inputs = lengths[0]

    def __len__(self) -> int:
        return len(self.input_lengths)

    def __getitem__(self, index: int) -> Encoded:  # type: ignore[override]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._whole(int(index) % len(self))

    def _whole(self, row: int) -> Encoded:
        ids = np.frombuffer(self._data[row], dtype=np.int32)
        inputs = int(self._inputs[row])
        return Encoded(ids[:inputs], ids[inputs:])

    def sequences(self) -> list[EncodedStore]:
        """The stores whose rows are single sequences: this one."""
        return [self]

    def source(self, index: int) -> Source:
        """Where the example with this number stands in the user's data."""
        return self._examples[int(self._indices[index])].source

    def limit(self, task: Task, max_length: int, max_output_length: int) -> EncodedStore:
        """The same examples within the limits (tokens); what is too long is cut when read.

        A task with ``pieces`` (language modelling) has nothing cut: a long document becomes
        several examples.
        """
        if hasattr(task, "pieces"):
            return _Pieces(self, max_length)
        return _Cut(self, task, max_length, max_output_length)


class _Cut(EncodedStore):
    """A store whose long examples are cut by the task."""

    def __init__(self, whole: EncodedStore, task: Task, inputs: int, outputs: int) -> None:
        of_labels = {"encoder-decoder": outputs, "decoder": inputs}.get(task.family, 2**31 - 1)
        if task.name == "classify":
            of_labels = 2**31 - 1
        lengths = (
            np.minimum(whole.input_lengths, inputs),
            np.minimum(whole.label_lengths, of_labels),
            whole.learnt,
        )
        super().__init__(whole._data, whole._examples, whole._indices, lengths)
        self._inputs = whole._inputs
        self._task, self._limits = task, (inputs, outputs)

    def _whole(self, row: int) -> Encoded:
        encoded = super()._whole(row)
        inputs, outputs = self._limits
        if len(encoded.input_ids) <= inputs and len(encoded.labels) <= outputs:
            return encoded
        return self._task.cut(encoded, inputs, outputs)


class _Pieces(EncodedStore):
    """A store whose long documents come in pieces.

    Every piece but the first begins with the last token of the one before, as context without
    loss; so each token is learnt once. The same cuts as in the task's ``pieces``.
    """

    def __init__(self, whole: EncodedStore, size: int) -> None:
        lengths = whole.input_lengths.astype(np.int64)
        counts = np.where(lengths <= size, 1, -(-(lengths - 1) // (size - 1)))
        self._row = np.repeat(np.arange(len(lengths)), counts)
        first = np.cumsum(counts) - counts
        self._start = (np.arange(len(self._row)) - first[self._row]) * (size - 1)
        self._size = size
        pieces = np.minimum(lengths[self._row] - self._start, size).astype(np.int32)
        super().__init__(
            whole._data, whole._examples, whole._indices[self._row], (pieces, pieces, pieces)
        )
        self._inputs = whole._inputs

    def _whole(self, row: int) -> Encoded:
        encoded = super()._whole(int(self._row[row]))
        start = int(self._start[row])
        ids = encoded.input_ids[start : start + self._size]
        labels = encoded.labels[start : start + self._size]
        if len(encoded.labels) > self._size:
            labels = labels.copy()
            labels[0] = IGNORED
        return Encoded(ids, labels)


def encode(
    store: Sequence[Example], indices: NDArray[np.int64], task: Task, *, work: Path, name: str
) -> EncodedStore:
    """Encode examples, uncut, chunk by chunk into the file ``work/NAME.tokens``.

    Args:
        indices: numbers of examples in ``store``; they become 0, 1, 2, … in the result.
    """
    writer = FlatWriter(work / f"{name}.tokens")
    lengths = (array("i"), array("i"), array("i"))
    shifted = task.family == "decoder" and task.name != "classify"
    numbers = iter(indices.tolist())
    while chunk := [store[number] for number in itertools.islice(numbers, _CHUNK)]:
        for encoded in task.encode(chunk):
            labels = encoded.labels.astype(np.int32, copy=False)
            writer.append(encoded.input_ids.astype(np.int32, copy=False).tobytes())
            writer.extend(labels.tobytes())
            lengths[0].append(len(encoded.input_ids))
            lengths[1].append(len(labels))
            lengths[2].append(_learnt(labels, shifted))
    inputs, outputs, learnt = (np.array(part, dtype=np.int32) for part in lengths)
    data = FlatFile(writer.path, writer.close())
    return EncodedStore(data, store, indices, (inputs, outputs, learnt))


def _learnt(labels: NDArray[np.int32], shifted: bool) -> int:
    """Labels with loss; a decoder never predicts the first token."""
    return int(np.count_nonzero(labels[int(shifted) :] != IGNORED))


@dataclass(frozen=True)
class Lengths:
    """The limits chosen, and what they do to the rows.

    Attributes:
        max_length: tokens kept of the input (decoder: of prompt and answer).
        max_output_length: tokens kept of the answer (encoder-decoder).
        rows: how many were looked at.
        cut_inputs, cut_outputs: rows that lose tokens of the input, of the answer.
        first_cut: where the first row with a cut answer stands.
        nothing_to_learn: where rows stand (the first 100) that have no label with loss.
        nothing_rows: how many such rows there are.
        longest_input, longest_output: tokens before the cut.
        in_pieces: whether long rows are trained in pieces and nothing is cut.
    """

    max_length: int
    max_output_length: int
    rows: int
    cut_inputs: int = 0
    cut_outputs: int = 0
    first_cut: Source | None = None
    nothing_to_learn: list[Source] = field(default_factory=list)
    nothing_rows: int = 0
    longest_input: int = 0
    longest_output: int = 0
    in_pieces: bool = False


def choose_lengths(
    stores: Sequence[EncodedStore], task: Task, settings: DataSettings, model_max: int | None
) -> Lengths:
    """The lengths from the settings, or such that 99 % of rows stay whole.

    Chosen lengths are multiples of 8 and never above ``model_max``, the positions that the model
    has (None: unbounded). Language modelling reads documents in pieces of at most 512 tokens.

    Raises:
        SettingError: a length is set that the model cannot take.
    """
    inputs = np.concatenate([store.input_lengths for store in stores])
    outputs = np.concatenate([store.label_lengths for store in stores])
    in_pieces = hasattr(task, "pieces")
    if in_pieces:
        default = min(_DOCUMENT_LENGTH, model_max or _DOCUMENT_LENGTH)
        max_length = _length(inputs, settings.max_length, default, "max_length", model_max)
    else:
        max_length = _length(inputs, settings.max_length, model_max, "max_length", model_max)
    max_output = max_length
    if task.family == "encoder-decoder" and task.name != "classify":
        wanted = settings.max_output_length
        max_output = _length(outputs, wanted, model_max, "max_output_length", model_max)
    tally = _count(stores, task, max_length, max_output, in_pieces)
    return Lengths(
        max_length,
        max_output,
        rows=len(inputs),
        longest_input=int(inputs.max(initial=0)),
        longest_output=int(outputs.max(initial=0)),
        in_pieces=in_pieces,
        cut_inputs=tally.cut_inputs,
        cut_outputs=tally.cut_outputs,
        first_cut=tally.first_cut,
        nothing_to_learn=tally.nothing_to_learn,
        nothing_rows=tally.nothing_rows,
    )


def _length(
    lengths: Lens, wanted: int | None, most: int | None, name: str, model_max: int | None
) -> int:
    if wanted is not None:
        if model_max is not None and wanted > model_max:
            raise SettingError(
                f"the model has {model_max} positions",
                where=f"data.{name}",
                value=wanted,
                fix=f"Set it to {model_max} or less",
            )
        return wanted
    covering = int(np.quantile(lengths, _COVERED, method="inverted_cdf")) if len(lengths) else 2
    rounded = max(_MULTIPLE, -(-covering // _MULTIPLE) * _MULTIPLE)
    return rounded if most is None else min(rounded, most)


@dataclass
class _Tally:
    """Counts over the rows that the limits touch."""

    cut_inputs: int = 0
    cut_outputs: int = 0
    first_cut: Source | None = None
    nothing_to_learn: list[Source] = field(default_factory=list)
    nothing_rows: int = 0


def _count(
    stores: Sequence[EncodedStore], task: Task, max_length: int, max_output: int, in_pieces: bool
) -> _Tally:
    tally = _Tally()
    classify = task.name == "classify"
    for store in stores:
        learnt = store.learnt.copy()
        if not in_pieces:
            limited = store.limit(task, max_length, max_output)
            for row, encoded in _touched(store, limited):
                tally.cut_inputs += encoded.cut_input > 0
                tally.cut_outputs += encoded.cut_output > 0
                if encoded.cut_output > 0 and tally.first_cut is None:
                    tally.first_cut = store.source(row)
                shifted = task.family == "decoder" and not classify
                learnt[row] = _learnt(encoded.labels, shifted)
        if not classify:
            empty = np.flatnonzero(learnt == 0)
            tally.nothing_rows += len(empty)
            room = _SHOWN - len(tally.nothing_to_learn)
            tally.nothing_to_learn += [store.source(int(row)) for row in empty[:room]]
    return tally


def _touched(whole: EncodedStore, limited: EncodedStore) -> Iterator[tuple[int, Encoded]]:
    shorter = (limited.input_lengths < whole.input_lengths) | (
        limited.label_lengths < whole.label_lengths
    )
    for row in np.flatnonzero(shorter).tolist():
        yield row, limited[row]


def check_lengths(lengths: Lengths, settings: DataSettings) -> None:
    """Stop before training where the limits would spoil it, unless ``allow_cut`` is set.

    Raises:
        DataError: answers are cut in more than 1 % of rows, or a row has nothing to learn.
    """
    if settings.allow_cut:
        return
    share = lengths.cut_outputs / max(1, lengths.rows)
    if share > _CUT_SHARE:
        raise DataError(
            f"the answers of {lengths.cut_outputs:,} of {lengths.rows:,} rows ({share:.1%}) would "
            f"be cut: the input is limited to {lengths.max_length} tokens and the answer to "
            f"{lengths.max_output_length}",
            where=str(lengths.first_cut),
            fix="Raise data.max_length and data.max_output_length, or allow it with "
            "--set data.allow_cut=true",
        )
    if lengths.nothing_rows:
        raise DataError(
            f"{lengths.nothing_rows:,} of {lengths.rows:,} rows have no token to learn from",
            where=str(lengths.nothing_to_learn[0]),
            fix="Mend or remove these rows, raise data.max_length, or allow it with "
            "--set data.allow_cut=true",
        )
