"""Windows of a token stream as batches, in an order that depends on the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tinyforge.data.batch import MicroBatch
from tinyforge.records.encoded import Encoded

if TYPE_CHECKING:
    from tinyforge.tasks.pretraining.base import Objective

VALIDATION_SEED = 2**31 + 1
"""In the place of the seed where the same windows are masked the same way at every validation."""


class Piece(Protocol):
    """A stretch of the corpus; ``mix.Window`` is one.

    Attributes:
        tokens: its token ids.
        starts: where in it documents begin.
    """

    @property
    def tokens(self) -> NDArray[Any]: ...
    @property
    def starts(self) -> NDArray[Any]: ...


class Windows(Protocol):
    """Random access to the windows of a corpus, however often it is repeated."""

    def window(self, number: int) -> Piece:
        """Window ``number``, from 0."""
        ...


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the training.

    Attributes:
        first: its first step.
        length: tokens of a row; a divisor of the window.
        windows: windows of a step.
    """

    first: int
    length: int
    windows: int


class WindowBatches:
    """What ``train.fit`` learns from: step to micro-batches.

    A window is a row, or while rows are short (``Stage.length``) several. Which windows a step
    has follows from the stages alone, and what is drawn for a window (masks) from the seed and
    the window's number: nothing depends on how a run was cut into processes.

    Args:
        window: tokens of a window.
        micro_tokens: tokens of a micro-batch, at most; at least one row.
        windows_per_epoch: windows in a pass over the corpus.
        cross_documents: let attention cross the documents of a row.

    Attributes:
        steps_per_epoch: steps in a pass, at the size of the last stage.
    """

    def __init__(
        self, windows: Windows, task: Objective, stages: Sequence[Stage], *, window: int,
        micro_tokens: int, windows_per_epoch: int, seed: int, cross_documents: bool = False,
    ) -> None:  # fmt: skip
        self.windows, self.task, self.stages = windows, task, tuple(stages)
        self.window, self.micro_tokens, self.seed = window, micro_tokens, seed
        self.windows_per_epoch, self.cross_documents = windows_per_epoch, cross_documents
        self.steps_per_epoch = max(1, -(-windows_per_epoch // self.stages[-1].windows))

    def step(self, index: int) -> list[MicroBatch]:
        """The micro-batches of optimizer step ``index``, from 0."""
        stage, first = self._stage(index)
        numbers = range(first, first + stage.windows)
        rows = [(n, row) for n in numbers for row in self._rows(n, stage.length)]
        size = max(1, self.micro_tokens // stage.length)
        return [
            self._collate(rows[start : start + size], stage.length)
            for start in range(0, len(rows), size)
        ]

    @property
    def can_halve(self) -> bool:
        """Whether a micro-batch can still become smaller."""
        return self.micro_tokens // 2 >= min(stage.length for stage in self.stages)

    def halved(self) -> WindowBatches:
        """The same batches in micro-batches of half the size."""
        return WindowBatches(
            self.windows, self.task, self.stages, window=self.window,
            micro_tokens=self.micro_tokens // 2, windows_per_epoch=self.windows_per_epoch,
            seed=self.seed, cross_documents=self.cross_documents,
        )  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """Plain facts for the log and the run's record."""
        return {
            "window": self.window,
            "windows_per_epoch": self.windows_per_epoch,
            "steps_per_epoch": self.steps_per_epoch,
            "micro_batch_tokens": self.micro_tokens,
            "packed": True,
        }

    def _stage(self, index: int) -> tuple[Stage, int]:
        """The stage of a step, and the number of the step's first window."""
        before = 0
        for stage, following in zip(self.stages, (*self.stages[1:], None), strict=True):
            if following is None or index < following.first:
                return stage, before + (index - stage.first) * stage.windows
            before += (following.first - stage.first) * stage.windows
        raise IndexError(index)

    def _rows(self, number: int, length: int) -> Iterator[list[Encoded]]:
        """The rows of one window, each as the examples that it holds."""
        piece = self.windows.window(number)
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, number])))
        for begin in range(0, len(piece.tokens), length):
            end = begin + length
            starts = piece.starts[(piece.starts >= begin) & (piece.starts < end)] - begin
            if self.cross_documents:
                starts = starts[:0]
            yield self.task.examples(piece.tokens[begin:end], starts, random)

    def _collate(self, rows: Sequence[tuple[int, list[Encoded]]], length: int) -> MicroBatch:
        bins = [examples for _, examples in rows]
        flat = [example for examples in bins for example in examples]
        tokens = sum(len(example.input_ids) for example in flat)
        tensors = self.task.collate_packed(bins)
        return MicroBatch(
            tensors, self.task.units(flat), len(bins), tokens, tensors["input_ids"].numel(),
            np.array([number for number, _ in rows], dtype=np.int64),
        )  # fmt: skip


def first_windows(
    windows: Windows, task: Objective, count: int, *, window: int, micro_tokens: int,
    cross_documents: bool = False,
) -> list[MicroBatch]:  # fmt: skip
    """The first windows, masked the same way each time, for validation."""
    size = max(1, min(count, micro_tokens // window))
    batches = WindowBatches(
        windows, task, [Stage(0, window, size)], window=window, micro_tokens=micro_tokens,
        windows_per_epoch=count, seed=VALIDATION_SEED, cross_documents=cross_documents,
    )  # fmt: skip
    return [batch for step in range(-(-count // size)) for batch in batches.step(step)]
