"""A job whose answers an engine writes beside others, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from tinyforge.records.predictions import Piece, Prediction
from tinyforge.server.jobs import Job

Begin = Callable[..., Callable[[], object]]
"""``model.begin``: hands one input to the engine, and returns what ends it."""


class Begun:
    """One job in an engine: what is told of its answers goes to whoever asked.

    Args:
        ended: called once, when nothing of it is written any more, with the job.
    """

    def __init__(self, job: Job, ended: Callable[[Job], object]) -> None:
        self._job, self._ended = job, ended
        self._parts: list[list[Piece]] = [[] for _ in job.given]
        self._unfinished = len(job.given)
        self._cancels: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._over = False

    def start(self, begin: Begin) -> None:
        """Hand all inputs to the engine; what it refuses is told."""
        job = self._job
        try:
            for place, each in enumerate(job.given):
                if job.left.is_set():
                    self.cancel()
                if self._over:
                    return
                self._keep(begin(each, tell=partial(self._told, place), **job.options))
        except BaseException as error:  # of any kind: whoever waits must hear of it
            self._end(error)

    def cancel(self) -> None:
        """Nobody wants the answers any more: their places in the engine are free at once."""
        self._end(None)

    def _keep(self, cancel: Callable[[], object]) -> None:
        with self._lock:
            if not self._over:
                self._cancels.append(cancel)
                return
        cancel()

    def _told(self, place: int, what: Piece | BaseException) -> None:
        """Called by the engine, in its thread."""
        if self._over:
            return
        if isinstance(what, BaseException):
            self._end(what)
            return
        last = what.finish_reason is not None
        if self._job.kind == "stream":
            self._job.tell(what)
        else:
            self._parts[place].append(what)
        if last:
            with self._lock:
                self._unfinished -= 1
                left = self._unfinished
            if not left:
                self._end([self._prediction(parts) for parts in self._parts if parts])

    def _end(self, what: Any) -> None:
        """The end, whatever brings it; only the first one counts."""
        with self._lock:
            if self._over:
                return
            self._over = True
            cancels, self._cancels = self._cancels, []
        if not isinstance(what, list):
            for cancel in cancels:
                cancel()
        if isinstance(what, BaseException) or (what and self._job.kind != "stream"):
            self._job.tell(what)
        self._ended(self._job)

    def _prediction(self, parts: list[Piece]) -> Prediction:
        last = parts[-1]
        return Prediction(
            "".join(part.text for part in parts),
            confidence=last.confidence,
            model=self._job.version,
            finish_reason=last.finish_reason or "stop",
            prompt_tokens=last.prompt_tokens,
            tokens=last.tokens,
            token_scores=tuple(score for part in parts for score in part.token_scores),
        )
