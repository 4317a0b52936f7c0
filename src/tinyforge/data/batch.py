"""Batches in an order that depends only on the seed and the step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.train import TrainSettings
from tinyforge.data.encode import EncodedStore
from tinyforge.data.pack import pack
from tinyforge.errors import DataError, SettingError
from tinyforge.records.encoded import Encoded
from tinyforge.tasks.base import Task

if TYPE_CHECKING:
    import torch

WINDOW = 64
"""Rows are sorted by length within this many batches, so that like lengths meet."""

MICRO_BATCH_TOKENS = 4_096
"""Padded tokens in one forward pass where nothing else is set."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class MicroBatch:
    """What one forward pass takes.

    Attributes:
        tensors: from the task's ``collate`` or ``collate_packed``.
        units: what the loss of this micro-batch is summed over; the loop divides by the units
            of the whole batch.
        examples: rows in it.
        tokens: tokens of inputs and answers without padding.
        padded: the same with padding.
        rows: numbers of its rows in the store.
    """

    tensors: dict[str, torch.Tensor]
    units: int
    examples: int
    tokens: int
    padded: int
    rows: Rows


@dataclass(frozen=True)
class _Limits:
    """The size of a micro-batch: examples (or packed sequences), padded tokens."""

    examples: int
    tokens: int


class Batches:
    """Random access to the batches of all epochs.

    Step ``i`` is batch ``i % steps_per_epoch`` of epoch ``i // steps_per_epoch``. Every epoch
    holds each row exactly once; its last, smaller batch is kept.

    Attributes:
        steps_per_epoch: optimizer steps in a pass over the rows.
        examples: rows in a pass.
    """

    def __init__(
        self,
        store: EncodedStore,
        task: Task,
        *,
        batch_size: int,
        limits: _Limits,
        seed: int,
        bucket: bool,
        bins: Sequence[Rows] | None = None,
    ) -> None:
        if not len(store):
            raise DataError("there are no rows to train on")
        self.store, self.task = store, task
        self.batch_size, self.seed, self.bucket = batch_size, seed, bucket
        self.limits, self.bins = limits, bins
        self.examples = len(store)
        self._items = len(store) if bins is None else len(bins)
        self.steps_per_epoch = -(-self._items // batch_size)
        self._sizes = _token_counts(store, task) if bins is None else _bin_sizes(store, bins)
        self._epoch = -1
        self._plan: list[Rows] = []

    def step(self, index: int) -> list[MicroBatch]:
        """The micro-batches of optimizer step ``index``, from 0."""
        epoch, position = divmod(index, self.steps_per_epoch)
        if epoch != self._epoch:
            self._plan, self._epoch = self._plan_epoch(epoch), epoch
        items = self._plan[position]
        return [self._collate(items[part]) for part in self._cuts(items)]

    def rows(self, index: int) -> Rows:
        """The numbers of the rows of step ``index``."""
        epoch, position = divmod(index, self.steps_per_epoch)
        if epoch != self._epoch:
            self._plan, self._epoch = self._plan_epoch(epoch), epoch
        items = self._plan[position]
        if self.bins is None:
            return items
        return np.concatenate([self.bins[int(item)] for item in items])

    @property
    def can_halve(self) -> bool:
        """Whether a micro-batch can still become smaller."""
        return self.limits.examples > 1

    def halved(self) -> Batches:
        """The same batches in micro-batches of half the size."""
        largest = max(1, min(self.limits.examples, self._largest()))
        limits = replace(
            self.limits, examples=-(-largest // 2), tokens=max(1, self.limits.tokens // 2)
        )
        return Batches(
            self.store, self.task, batch_size=self.batch_size, limits=limits, seed=self.seed,
            bucket=self.bucket, bins=self.bins,
        )  # fmt: skip

    def _largest(self) -> int:
        """Examples of the largest micro-batch there can be."""
        shortest = max(1, int(self._sizes.min()))
        return min(self.batch_size, self._items, max(1, self.limits.tokens // shortest))

    def describe(self) -> dict[str, Any]:
        """Plain facts for the log and the run's record."""
        sequences = {} if self.bins is None else {"sequences": len(self.bins)}
        return {
            "examples": self.examples,
            **sequences,
            "batch_size": self.batch_size,
            "steps_per_epoch": self.steps_per_epoch,
            "micro_batch_examples": min(self.limits.examples, self.batch_size),
            "micro_batch_tokens": self.limits.tokens,
            "bucketed": self.bucket and self.bins is None,
            "packed": self.bins is not None,
        }

    def _plan_epoch(self, epoch: int) -> list[Rows]:
        """Items (rows or bins) of each batch of an epoch, in order."""
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, epoch])))
        order = random.permutation(self._items)
        if not self.bucket or self.bins is not None:
            return np.split(order, range(self.batch_size, self._items, self.batch_size))
        batches: list[Rows] = []
        window = WINDOW * self.batch_size
        for start in range(0, self._items, window):
            part = order[start : start + window]
            part = part[np.argsort(self._sizes[part], kind="stable")]
            batches += np.split(part, range(self.batch_size, len(part), self.batch_size))
        return [batches[number] for number in random.permutation(len(batches))]

    def _cuts(self, items: Rows) -> Iterator[slice]:
        """Where a batch is cut into micro-batches."""
        start, longest = 0, 0
        for position, size in enumerate(self._sizes[items].tolist()):
            longest = max(longest, size)
            count = position - start + 1
            if count > 1 and (count > self.limits.examples or count * longest > self.limits.tokens):
                yield slice(start, position)
                start, longest = position, size
        yield slice(start, len(items))

    def _collate(self, items: Rows) -> MicroBatch:
        if self.bins is None:
            return collate(self.store, self.task, items)
        members = [[self.store[int(row)] for row in self.bins[int(item)]] for item in items]
        flat = [encoded for member in members for encoded in member]
        sizes = [sum(len(encoded.input_ids) for encoded in member) for member in members]
        tensors = self.task.collate_packed(members)  # type: ignore[attr-defined]
        rows = np.concatenate([self.bins[int(item)] for item in items])
        return MicroBatch(
            tensors, self.task.units(flat), len(flat), sum(sizes), max(sizes) * len(sizes), rows
        )


def collate(store: EncodedStore, task: Task, rows: Rows) -> MicroBatch:
    """The micro-batch of these rows of a store."""
    items = [store[int(row)] for row in rows]
    tokens, padded = _tokens(items, task)
    return MicroBatch(task.collate(items), task.units(items), len(items), tokens, padded, rows)


def _tokens(items: Sequence[Encoded], task: Task) -> tuple[int, int]:
    sides = [[len(item.input_ids) for item in items]]
    sides[0] += [len(item.rejected.input_ids) for item in items if item.rejected is not None]
    if _has_own_answers(task):
        sides.append([len(item.labels) for item in items])
    return sum(map(sum, sides)), sum(max(side) * len(side) for side in sides)


def _has_own_answers(task: Task) -> bool:
    """Whether the answer is a sequence of its own beside the input."""
    return task.family == "encoder-decoder" and task.name != "classify"


def _token_counts(store: EncodedStore, task: Task) -> NDArray[np.int64]:
    counts = store.input_lengths.astype(np.int64)
    if _has_own_answers(task):
        counts = counts + store.label_lengths
    return counts


def _bin_sizes(store: EncodedStore, bins: Sequence[Rows]) -> NDArray[np.int64]:
    sums = (int(store.input_lengths[members].sum()) for members in bins)
    return np.fromiter(sums, dtype=np.int64, count=len(bins))


def training_batches(
    store: EncodedStore, task: Task, settings: TrainSettings, *, max_length: int
) -> Batches:
    """Batches of ``settings.batch_size`` examples (packed: sequences) for training.

    A batch is cut into micro-batches of ``micro_batch_size`` examples, or of at most
    ``micro_batch_tokens`` padded tokens; both where both are set, 4,096 tokens where neither is.

    Args:
        store: limited to ``max_length`` already.
        max_length: tokens of a packed sequence.

    Raises:
        DataError: there are no rows.
        SettingError: packing is asked for and the task cannot pack.
    """
    size = settings.batch_size or 8
    packed = settings.pack if settings.pack is not None else task.name == "language-model"
    bins = None
    if packed:
        if not hasattr(task, "collate_packed"):
            raise SettingError(
                f"rows cannot be packed for the task {task.name} on this kind of model",
                where="train.pack",
                fix="Leave train.pack out",
            )
        bins = pack(store.input_lengths, max_length, seed=settings.seed)
    tokens = settings.micro_batch_tokens
    if tokens is None:
        tokens = MICRO_BATCH_TOKENS if settings.micro_batch_size is None else 2**62
    return Batches(
        store, task, batch_size=size,
        limits=_Limits(settings.micro_batch_size or size, tokens),
        seed=settings.seed, bucket=settings.bucket, bins=bins,
    )  # fmt: skip


def evaluation_batches(
    store: EncodedStore, task: Task, *, micro_batch_tokens: int = MICRO_BATCH_TOKENS
) -> Iterator[MicroBatch]:
    """All rows once, the longest first, in micro-batches of at most so many padded tokens.

    ``MicroBatch.rows`` says which rows they are.
    """
    sizes = _token_counts(store, task)
    order = np.argsort(-sizes, kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(sizes[order[start]]))
        end = start + max(1, micro_batch_tokens // longest)
        yield collate(store, task, order[start:end])
        start = end
