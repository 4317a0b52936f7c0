"""What one asks the engine for, and what one gets."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Literal, Protocol

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.inference.detokenize import AnswerText
from tinyforge.inference.json_answers import Guide
from tinyforge.inference.onnx.engine_rows import Row
from tinyforge.inference.sampling import Chances, Draw
from tinyforge.inference.stop_strings import StopStrings

_END = object()


@dataclass(frozen=True, slots=True)
class Stats:
    """What an engine is doing.

    Attributes:
        running: answers being written, or their prompts being read.
        waiting: answers that wait for memory, or for their turn.
        tokens: tokens written since the engine was made.
        reused: tokens of prompts that did not have to be read, since others begin like them.
        bytes_held: memory for keys and values, taken or promised.
    """

    running: int
    waiting: int
    tokens: int
    reused: int
    bytes_held: int


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


class Watch(Protocol):
    """Who is told of an answer in the engine's thread. Its functions have to return at once."""

    def token(self, token: int, chances: Chances | None) -> None:
        """One more token was written. What this raises ends the answer."""
        ...

    def over(
        self,
        reason: str,
        failure: BaseException | None,
        guide: Guide | None,
        logs: Sequence[float],
    ) -> None:
        """Nothing more will come: as ``Written``, and what went wrong if anything."""
        ...


@dataclass(slots=True, eq=False)
class Stream(Row):
    """One answer in the engine.

    Attributes:
        on_token, watch: who is told of its tokens, and of its end.
        draw: how its tokens are drawn; None: the likeliest is taken.
        guide: what keeps it to a JSON schema; None: nothing does.
        text, stops: what finds a stop string that ends it, where there are any.
        logs: the log-probability of each token so far.
        chances: of each token so far, where they are to be told.
        state: where it stands.
        reason, failure: once it is over, why.
    """

    settings: GenerateSettings = field(default_factory=GenerateSettings)
    on_token: Callable[[int], object] | None = None
    watch: Watch | None = None
    draw: Draw | None = None
    guide: Guide | None = None
    text: AnswerText | None = None
    stops: StopStrings | None = None
    logs: list[float] = field(default_factory=list)
    chances: list[Chances] = field(default_factory=list)
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
        if self.watch is not None:
            self.watch.token(token, self.chances[-1] if self.chances else None)

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
    def chances(self) -> list[Chances]:
        """How likely each token so far was, where that was asked for; empty otherwise."""
        return self._stream.chances

    @property
    def guide(self) -> Guide | None:
        """What kept the answer to a JSON schema, where there was one."""
        return self._stream.guide

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
