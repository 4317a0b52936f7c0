"""What one asks the engine for, and what one gets."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Literal

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.inference.detokenize import AnswerText
from tinyforge.inference.onnx.engine_rows import Row
from tinyforge.inference.sampling import Draw
from tinyforge.inference.writing import StopStrings

_END = object()


@dataclass(frozen=True, slots=True)
class Written:
    """An answer's tokens.

    Attributes:
        ids: the end token included where the model wrote one; behind a stop string nothing.
        logs: the natural-log probability of each under the model itself.
        finish_reason: ``stop`` (end token or stop string), ``length`` or ``cancelled``.
    """

    ids: list[int]
    logs: list[float]
    finish_reason: str


@dataclass(slots=True, eq=False)
class Stream(Row):
    """One answer in the engine.

    Attributes:
        draw: how its tokens are drawn; None: the likeliest is taken.
        text, stops: what finds a stop string that ends it, where there are any.
        logs: the log-probability of each token so far.
        state: where it stands.
        reason, failure: once it is over, why.
    """

    settings: GenerateSettings = field(default_factory=GenerateSettings)
    on_token: Callable[[int], object] | None = None
    draw: Draw | None = None
    text: AnswerText | None = None
    stops: StopStrings | None = None
    logs: list[float] = field(default_factory=list)
    state: Literal["waiting", "written", "searched", "over"] = "waiting"
    reason: str = ""
    failure: BaseException | None = None
    coming: SimpleQueue[Any] = field(default_factory=SimpleQueue)
    over: threading.Event = field(default_factory=threading.Event)

    def tell(self, token: int) -> None:
        """One more token was written."""
        self.coming.put(token)
        if self.on_token is not None:
            self.on_token(token)

    def end(self, reason: str, failure: BaseException | None) -> None:
        """Nothing more will come."""
        self.state, self.reason, self.failure = "over", reason, failure
        self.coming.put(_END)
        self.over.set()


class Ticket:
    """An answer that is being written. Iterate over it for its tokens as they come.

    Args:
        cancelled: where the engine looks for what nobody wants any more.
    """

    def __init__(self, stream: Stream, cancelled: deque[Stream]) -> None:
        self._stream, self._cancelled = stream, cancelled

    def __iter__(self) -> Iterator[int]:
        """The tokens that were not given yet, each when it is written.

        Raises:
            Exception: what went wrong in the engine.
        """
        stream = self._stream
        while (item := stream.coming.get()) is not _END:
            yield item
        stream.coming.put(_END)  # whoever iterates again gets nothing, and does not wait
        if stream.failure is not None:
            raise stream.failure

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self._stream.over.is_set()

    def cancel(self) -> None:
        """Nobody wants the rest: its place is free before the next step. It may be done already."""
        if not self.done:
            self._cancelled.append(self._stream)

    def result(self, timeout: float | None = None) -> Written:
        """The whole answer, once it is written.

        Args:
            timeout: seconds to wait at most; default: as long as it takes.

        Raises:
            TimeoutError: it is not written by then, and goes on.
            Exception: what went wrong in the engine.
        """
        stream = self._stream
        if not stream.over.wait(timeout):
            raise TimeoutError(f"the answer is not written after {timeout} s")
        if stream.failure is not None:
            raise stream.failure
        return Written(stream.written, stream.logs, stream.reason)
