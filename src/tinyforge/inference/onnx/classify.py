"""Labels from an encoder's graph: rows of like length together, whoever asked for them.

One thread runs the graph. What is waiting when it becomes free is sorted by length and divided
into batches, rows of several callers side by side (dynamic batching); requests that came together
take turns with those that came before, batch by batch, so that one text does not wait for the
thousands of somebody else.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.errors import ModelError
from tinyforge.inference.onnx.sessions import Session
from tinyforge.tasks.tokens import pad

Ids = NDArray[np.int32]
Logits = NDArray[np.float32]

TOKENS = 1_024
"""Tokens of a batch, padding included: what a CPU's caches hold of the activations of MiniLM."""
RUN = 8
"""What a run of the graph costs beyond its tokens, in tokens: the weights are read once more.
Measured with MiniLM: 8 to 12 in float32, fewer in int8."""


class Classifier:
    """Computes labels' logits with one session, for any number of callers at once.

    Args:
        session: a graph with the role ``model``.
        labels: how many there are.
        pad_id: the token that fills up short rows.
    """

    def __init__(self, session: Session, labels: int, pad_id: int) -> None:
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._labels = labels
        worker = _Worker(session, labels, pad_id, self._requests)
        self._thread = threading.Thread(target=worker.work, name="tinyforge-classify", daemon=True)
        self._starting = threading.Lock()
        # The thread ends with whoever holds this, also where nobody calls close().
        self._end = weakref.finalize(self, self._requests.put, None)

    def submit(self, rows: Sequence[Ids], *, most: int | None = None) -> Future[Logits]:
        """The logits of some rows, when they are ready: float32, shape (rows, labels).

        A future that is cancelled before its rows are run costs nothing.

        Args:
            rows: token ids, at least one each.
            most: rows of a batch, at most.

        Raises:
            ModelError: the model was closed. The future raises what the graph raises.
        """
        request = _Request(rows, most, np.empty((len(rows), self._labels), np.float32))
        if not rows:
            request.future.set_result(request.logits)
            return request.future
        if not self._end.alive:
            raise ModelError("the model was closed", fix="Load it again")
        with self._starting:
            if self._thread.ident is None:
                self._thread.start()
        self._requests.put(request)
        return request.future

    def close(self) -> None:
        """End the thread, after what was asked of it already."""
        if self._end.alive:
            self._end()
            if self._thread.ident is not None:
                self._thread.join()


@dataclass(eq=False)
class _Request:
    """Rows of one caller.

    Attributes:
        most: rows of a batch, at most; None: any number.
        logits: filled batch by batch.
        left: rows that are still to be run.
    """

    rows: Sequence[Ids]
    most: int | None
    logits: Logits
    future: Future[Logits] = field(default_factory=Future)
    left: int = 0

    def __post_init__(self) -> None:
        self.left = len(self.rows)


Place = tuple[_Request, int]
"""A row of a request."""


class _Worker:
    """The thread's side. It knows nothing of the ``Classifier``, which can so be forgotten."""

    def __init__(
        self, session: Session, labels: int, pad_id: int, requests: queue.SimpleQueue[Any]
    ) -> None:
        self._session, self._labels, self._pad_id = session, labels, pad_id
        self._requests = requests
        self._groups: deque[deque[list[Place]]] = deque()
        """Batches of requests that came together; the groups take turns."""

    def work(self) -> None:
        """Run batches until there is a None among the requests and nothing is left to do."""
        closing = False
        while not closing or self._groups:
            arrived, ended = self._arrived(wait=not self._groups and not closing)
            closing |= ended
            if arrived:
                self._groups.append(deque(self._planned(arrived)))
            if self._groups:
                group = self._groups.popleft()
                if group:
                    self._run(group.popleft())
                if group:
                    self._groups.append(group)

    def _arrived(self, *, wait: bool) -> tuple[list[_Request], bool]:
        """What has been asked for meanwhile; whether that was the last."""
        found: list[_Request] = []
        while True:
            try:
                request = self._requests.get(block=wait and not found)
            except queue.Empty:
                return found, False
            if request is None:
                return found, True
            if request.future.set_running_or_notify_cancel():
                found.append(request)

    def _planned(self, requests: Sequence[_Request]) -> list[list[Place]]:
        """Batches over all rows of some requests."""
        together = [request for request in requests if request.most is None]
        alone = [[request] for request in requests if request.most is not None]
        batches = []
        for some in [together, *alone]:
            places = [(request, row) for request in some for row in range(len(request.rows))]
            lengths = [len(request.rows[row]) for request, row in places]
            most = some[0].most if some and some[0].most is not None else len(places)
            batches += [[places[i] for i in batch] for batch in buckets(lengths, rows=most)]
        return batches

    def _run(self, batch: list[Place]) -> None:
        batch = [place for place in batch if not place[0].future.done()]  # of one that failed
        if not batch:
            return
        try:
            ids, mask = pad([request.rows[row] for request, row in batch], self._pad_id)
            feeds = {"input_ids": ids, "attention_mask": mask}
            logits = self._session.run(feeds, ("logits",))["logits"]
            if logits.shape != (len(batch), self._labels):
                raise ModelError(
                    "the graph gives another number of labels than the model has",
                    where=str(self._session.path), value=logits.shape, fix="Export it again",
                )  # fmt: skip
        except Exception as error:  # handed over to those who asked
            for request in dict.fromkeys(request for request, _ in batch):
                request.future.set_exception(error)
            return
        for (request, row), values in zip(batch, logits, strict=True):
            request.logits[row] = values
            request.left -= 1
            if not request.left:
                request.future.set_result(request.logits)


def buckets(lengths: Sequence[int], *, rows: int, tokens: int = TOKENS) -> list[list[int]]:
    """Batches of row indices, the longest rows first, that waste little on padding.

    A row joins the batch of its longer neighbours unless the padding there would cost more than a
    run of its own. The order depends on the lengths alone. A single row may exceed ``tokens``.

    Args:
        lengths: tokens of each row.
        rows: rows of a batch, at most.
        tokens: rows times the longest row of a batch, at most.
    """
    batches: list[list[int]] = []
    longest = wasted = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        size = len(batches[-1]) if batches else rows
        full = size == rows or (size + 1) * longest > tokens
        if full or wasted + longest - length > RUN:
            batches.append([])
            longest, wasted = length, 0
        wasted += longest - length
        batches[-1].append(index)
    return batches
