"""What is kept of the answers while a predictor goes through many rows: little, on disk."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
import orjson
from numpy.typing import NDArray

from tinyforge.evaluate.evaluation import Mistake
from tinyforge.metrics.spill import Column, Texts
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction

WORST = 20
EXCERPT = 1_000


class KeptPredictions(Sequence[Prediction]):
    """Predictions that are written to disk and made again when they are asked for.

    Texts of inputs and scores are not kept.
    """

    def __init__(self) -> None:
        self._texts = Texts()
        self._models: dict[str, int] = {}

    def extend(self, predictions: Sequence[Prediction]) -> None:
        """Add some at the end."""
        self._texts.extend(
            orjson.dumps(
                [
                    p.output.encode("utf-8", "replace").decode(), p.confidence, p.labels,
                    self._models.setdefault(p.model, len(self._models)), p.finish_reason,
                ]
            )
            for p in predictions
        )  # fmt: skip

    def close(self) -> None:
        """No more will come; they can be read from now on."""
        self._closed = self._texts.close()
        self._names = list(self._models)

    @property
    def model(self) -> str:
        """Which weights gave the first answer."""
        return next(iter(self._models), "")

    def __len__(self) -> int:
        return len(self._closed)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Prediction]: ...
    def __getitem__(self, index: int | slice) -> Prediction | Sequence[Prediction]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        output, confidence, labels, model, reason = orjson.loads(self._closed[index % len(self)])
        return Prediction(
            output, confidence, labels=tuple(labels), model=self._names[model],
            finish_reason=reason,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Prediction]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)


class Worst:
    """The worst answers met so far, a fixed number of them.

    Args:
        raw: whether rows are raw text, of which every one may be shown, with its bits per byte.
    """

    def __init__(self, *, raw: bool) -> None:
        self._raw = raw
        self._heap: list[tuple[float, float, int, Mistake]] = []

    def offer(
        self,
        start: int,
        examples: Sequence[Example],
        quality: NDArray[np.float64],
        predictions: Sequence[Prediction],
    ) -> None:
        """Look at some answers; of those of equal quality, the surest are the worst.

        Args:
            start: the number of the first of these rows.
        """
        for i, value in enumerate(quality.tolist()):
            if value >= 1 and not self._raw:
                continue
            given = predictions[i] if predictions else None
            sure = (given.confidence or 0.0) if given else 0.0
            key = (-value, sure, -(start + i))
            if len(self._heap) < WORST:
                heapq.heappush(self._heap, (*key, self._mistake(examples[i], given, value)))
            elif key > self._heap[0][:3]:
                heapq.heapreplace(self._heap, (*key, self._mistake(examples[i], given, value)))

    def _mistake(self, example: Example, given: Prediction | None, quality: float) -> Mistake:
        expected = example.output if example.labels is None else ", ".join(sorted(example.labels))
        return Mistake(
            source=str(example.source),
            input=_excerpt(example.input),
            expected=_excerpt(expected or ""),
            answered=_excerpt(given.output) if given else "",
            confidence=given.confidence if given else None,
            score=-quality if self._raw else quality,
        )

    def close(self) -> list[Mistake]:
        """The worst first."""
        return [mistake for *_, mistake in sorted(self._heap, key=lambda row: row[:3])[::-1]]


class Places:
    """Numbers that tell which row is which, and which rows belong together.

    Attributes:
        without_gold: rows that had no answer to compare with.
    """

    def __init__(self) -> None:
        self._rows, self._keys = Column(np.int64), Column(np.int64)
        self._groups = Column(np.int64)
        self._digest = hashlib.sha256()
        self.without_gold = 0
        self.count = 0

    def add(self, index: int, example: Example, gold: object) -> None:
        """One more judged row."""
        shown = repr((str(example.source), gold)).encode("utf-8", "backslashreplace")
        self._digest.update(shown)
        key = hashlib.blake2b(shown, digest_size=8).digest()
        self._rows.extend([index])
        self._keys.extend(np.frombuffer(key, dtype=np.int64))
        self._groups.extend([_group(example, index)])
        self.count += 1

    @property
    def fingerprint(self) -> str:
        """Hash of all rows' places and expected answers."""
        return self._digest.hexdigest()

    def close(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Rows, keys, and groups numbered in order of appearance: shape (rows,) each."""
        groups = Column(np.int64)
        groups.extend(_in_order_of_appearance(self._groups.close()))
        return self._rows.close(), self._keys.close(), groups.close()


def _in_order_of_appearance(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Equal values as equal numbers from 0, the first one met first.

    ``np.unique`` and what follows it would take twice the memory.
    """
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    new = np.ones(len(values), dtype=bool)
    np.not_equal(ranked[1:], ranked[:-1], out=new[1:])
    del ranked
    starts = np.flatnonzero(new)
    del new
    first = np.empty(len(values), dtype=np.int64)
    first[order] = np.repeat(order[starts], np.diff(starts, append=len(values)))
    del order, starts
    numbers = np.cumsum(first == np.arange(len(values)))
    numbers -= 1
    found: NDArray[np.int64] = numbers[first]
    return found


def _group(example: Example, index: int) -> int:
    """Rows with an equal number are not independent of each other (64 bits of a hash)."""
    if example.group is not None:
        return hash(("group", example.group))
    asked = (example.messages[:-1], example.input)
    return hash(asked) if any(asked) else hash((index, "row"))


def _excerpt(text: str) -> str:
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"


def in_parts(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """The same numbers, ``size`` at a time."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


Progress = Callable[[int, int], None]
