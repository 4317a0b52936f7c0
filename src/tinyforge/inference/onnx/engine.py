"""Continuous batching: answers join and leave a running batch between two steps.

One thread does all the work, and there is one only while there is work. In each turn it takes in
what waits, reads a bounded piece of the prompts that are not read yet, and makes one step for all
answers that are being written (Yu et al. 2022, "Orca"; prompts in pieces: Agrawal et al. 2023,
"Sarathi", arXiv:2308.16369). Up to rounding, an answer does not depend on those beside it.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.errors import ModelError, SettingError, TinyForgeError
from tinyforge.inference.onnx.beams import Beams, Branches, Search
from tinyforge.inference.onnx.engine_rows import Floats, Lanes
from tinyforge.inference.onnx.engine_tickets import Stats, Stream, Ticket, Watch
from tinyforge.inference.onnx.writer_rules import Rules
from tinyforge.inference.sampling import Draw, chances, log_probability, source_of_noise
from tinyforge.inference.stop_strings import StopStrings
from tinyforge.inference.writing import Writing
from tinyforge.records.encoded import Encoded

BUSY, MOST, IDLE = 128, 256, 512
"""Tokens of prompts read in one turn: for each of them and for all, while answers are being
written, which wait that long for their next token; and while none is."""

BEAMS = 128
"""Beams of all answers that are searched for together, at most."""

_live: weakref.WeakSet[Engine] = weakref.WeakSet()


class Engine:
    """Writes any number of answers at once, within a budget of memory.

    Args:
        lanes: the rows, and the memory for them.
        branches: the same for beams, which are searched for in batches of their own; and bytes
            that an answer with so many beams takes.
        writing: how prompts and answers begin and end.
        rules: what the model's own settings force and forbid.
        memory_bytes: the budget.
    """

    def __init__(
        self,
        lanes: Lanes,
        branches: Branches,
        beam_bytes: Callable[[Stream, int], int],
        writing: Writing,
        rules: Rules,
        *,
        memory_bytes: int,
    ) -> None:
        self._lanes, self._branches, self._beam_bytes = lanes, branches, beam_bytes
        self._writing, self._rules, self._budget = writing, rules, memory_bytes
        self._lock = threading.Lock()
        self._inbox: deque[Stream] = deque()
        self._waiting: deque[Stream] = deque()
        self._cancelled: deque[Stream] = deque()
        self._ended: deque[Stream] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._beams: Beams | None = None
        self._beam_streams: list[Stream] = []
        self._tokens = 0
        self._scratch = np.zeros(0, dtype=np.float32)
        _live.add(self)

    def submit(
        self,
        prompt: Encoded,
        settings: GenerateSettings,
        *,
        on_token: Callable[[int], object] | None = None,
        watch: Watch | None = None,
    ) -> Ticket:
        """Begin an answer as soon as there is room for it, in order of arrival.

        Args:
            prompt: fitted (``Writing.fit``).
            settings: as long as ``batch_size`` others are being written, this one waits.
            on_token: called in the engine's thread with each token; it has to return at once.
                What it raises ends this answer.
            watch: the same, and told of the answer's end.

        Raises:
            SettingError: the answer does not fit into the memory that may be used, or its JSON
                schema cannot be followed.
            ModelError: the engine is closed.
        """
        return self._taken([self._stream(prompt, settings, on_token, watch)])[0]

    def submit_all(self, prompts: Sequence[Encoded], settings: GenerateSettings) -> list[Ticket]:
        """``submit`` for several prompts that begin together, or not at all."""
        return self._taken([self._stream(prompt, settings) for prompt in prompts])

    def stats(self) -> Stats:
        """What it is doing now."""
        lanes = self._lanes
        return Stats(
            running=len(lanes.running) + len(lanes.unread) + len(self._beam_streams),
            waiting=len(self._waiting) + len(self._inbox),
            tokens=self._tokens,
            reused=lanes.reused,
            bytes_held=lanes.bytes_held + self._beams_held(),
        )

    def close(self) -> None:
        """End all answers with ``cancelled``, and the thread; nothing more is taken in."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is threading.current_thread():
            return  # it ends with this turn
        if thread is not None:
            thread.join()
        self._lanes.clear()
        self._branches.clear()

    def _stream(
        self,
        prompt: Encoded,
        settings: GenerateSettings,
        on_token: Callable[[int], object] | None = None,
        watch: Watch | None = None,
    ) -> Stream:
        stream = Stream(
            prompt.input_ids.astype(np.int64), self._writing.room(prompt, settings),
            settings=settings, on_token=on_token, watch=watch,
            guide=self._writing.guide(settings),
        )  # fmt: skip
        if settings.temperature > 0:
            stream.draw = Draw(settings, source_of_noise(prompt.input_ids, settings.seed))
        if settings.stop and settings.num_beams == 1:
            stream.text = self._writing.text(prompt, settings)
            stream.stops = StopStrings(self._writing.tokenizer, settings.stop)
        return stream

    def _taken(self, streams: Sequence[Stream]) -> list[Ticket]:
        for stream in streams:
            beams = stream.settings.num_beams
            least = self._beam_bytes(stream, beams) if beams > 1 else self._lanes.least(stream)
            if least > self._budget:
                raise SettingError(
                    f"the keys and values of this answer take {_megabytes(least)}, more than may "
                    "be used", where="memory_bytes", value=self._budget,
                    fix="Allow more memory, or give a shorter text or max_new_tokens",
                )  # fmt: skip
        with self._lock:
            if self._closed:
                raise ModelError("this model was closed", fix="Load it again")
            self._inbox += streams
            if streams and self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="tinyforge-engine", daemon=True
                )
                self._thread.start()
        return [Ticket(stream, self._cancelled) for stream in streams]

    def _work(self) -> None:
        # Numbers of a damaged model are told by a missing confidence, not by numpy's warnings.
        with np.errstate(all="ignore"):
            try:
                while self._more():
                    self._turn()
                    self._tell_ended()
            except BaseException as error:
                self._fail(error)
            self._tell_ended()

    def _more(self) -> bool:
        """Take in what was submitted, let go of what was cancelled; False, and the thread ends,
        where there is nothing to do."""
        busy = self._lanes.running or self._lanes.unread or self._beams
        if busy and not self._asked:
            return True
        with self._lock:
            self._take_in()
            if self._waiting or self._lanes.running or self._lanes.unread or self._beams:
                return True
            self._thread = None
            return False

    @property
    def _asked(self) -> bool:
        """Whether somebody wants something of the thread."""
        return bool(self._inbox or self._cancelled or self._closed)

    def _take_in(self) -> None:
        """With the lock: what was submitted now waits, what was cancelled leaves."""
        self._waiting += self._inbox
        self._inbox.clear()
        if self._closed:
            self._cancelled += self._streams()
        while self._cancelled:
            self._end(self._cancelled.popleft(), "cancelled")

    def _turn(self) -> None:
        self._admit()
        lanes = self._lanes
        self._read()
        if lanes.running:
            found = lanes.step()
            for row, place in [(row, row.place) for row in lanes.running]:
                self._choose(row, found[place])  # type: ignore[arg-type]
        if self._beams is not None:
            self._search(self._beams)

    def _read(self) -> None:
        """Read prompts on, run by run. What comes meanwhile takes part: a first token is waited
        for, where the answers being written go on a little later."""
        lanes = self._lanes
        left = BUSY * len(lanes.unread)
        total = MOST if lanes.running else IDLE
        while lanes.unread and min(left, total) > 0:
            tokens, found = lanes.read(min(left, total, BUSY) if lanes.running else total)
            left, total = left - tokens, total - tokens
            for row, logits in found:
                self._choose(row, logits)  # type: ignore[arg-type]
            if self._asked:
                before = len(lanes.unread)
                with self._lock:
                    self._take_in()
                self._admit()
                left += BUSY * max(0, len(lanes.unread) - before)

    def _admit(self) -> None:
        """Whoever waits longest comes in first, and waits until there is memory for it."""
        while self._waiting:
            stream = self._waiting[0]
            if stream.settings.num_beams > 1:
                if self._beams is None:
                    self._begin_beams(stream.settings.num_beams)
                return
            lanes = self._lanes
            together = len(lanes.running) + len(lanes.unread)
            lanes.budget = self._budget - self._beams_held()
            if together >= stream.settings.batch_size or not lanes.admit(stream):
                return
            stream.state = "written"
            self._waiting.popleft()

    def _begin_beams(self, width: int) -> None:
        """Search together for what waits one after the other and fits."""
        lanes = self._lanes
        if not (lanes.running or lanes.unread):
            lanes.clear()
        left = self._budget - lanes.bytes_held
        chosen: list[Stream] = []
        while self._waiting and self._waiting[0].settings.num_beams == width:
            trial = [*chosen, self._waiting[0]]
            most = min(BEAMS // width, *(stream.settings.batch_size for stream in trial))
            largest = max(self._beam_bytes(stream, width) for stream in trial)
            if len(trial) * largest > left or len(trial) > max(1, most):
                break
            chosen.append(self._waiting.popleft())
        if chosen:
            tokenizer = self._writing.tokenizer
            searches = [
                Search(s, width, self._rules, StopStrings(tokenizer, s.settings.stop))
                for s in chosen
            ]
            for stream in chosen:
                stream.state = "searched"
            self._beam_streams = chosen
            self._beams = Beams(self._branches, searches, width)

    def _search(self, beams: Beams) -> None:
        for search in beams.step():
            stream: Any = search.row
            stream.written, stream.logs = search.ids, search.logs
            ended = search.ids[-1] in self._rules.ends or len(search.ids) < stream.room
            for token in search.ids:
                self._tell(stream, token)
            self._end(stream, "stop" if ended else "length")
        if not beams.alive:
            self._end_beams()

    def _end_beams(self) -> None:
        self._beams = None
        self._beam_streams = []
        self._branches.clear()

    def _beams_held(self) -> int:
        streams = self._beam_streams
        most = [self._beam_bytes(stream, stream.settings.num_beams) for stream in streams]
        return len(streams) * max(most, default=0)

    def _choose(self, stream: Stream, logits: Floats) -> None:
        """The stream's next token, and what follows from it."""
        written = stream.written
        if not self._rules.plain:
            logits = self._rules.apply(logits, len(written), stream.room)
        guide, admitted = stream.guide, logits
        if guide is not None:
            try:
                admitted = guide.admitted(logits)
            except TinyForgeError as error:  # this schema's own affair
                self._end(stream, "cancelled", error)
                return
        token = int(admitted.argmax()) if stream.draw is None else stream.draw(admitted)
        self._measure(stream, logits, token)
        written.append(token)
        stream.token = token
        if guide is not None:
            guide.push(token)
        self._tell(stream, token)
        if token in self._rules.ends:
            self._end(stream, "stop" if guide is None else guide.reason)
        elif stream.text is not None and _stopped(stream, token):
            self._end(stream, "stop")
        elif guide is not None and guide.over:
            self._end(stream, guide.reason)
        elif len(written) >= stream.room:
            self._end(stream, "length")

    def _measure(self, stream: Stream, logits: Floats, token: int) -> None:
        """How likely the model itself finds the token, and which it finds the likeliest."""
        if len(self._scratch) != len(logits):
            self._scratch = np.empty(len(logits), dtype=np.float32)
        count = stream.settings.logprobs
        if count is None:
            stream.logs.append(log_probability(logits, token, self._scratch))
            return
        found = chances(logits, token, count, self._scratch)
        stream.logs.append(found.log_probability)
        stream.chances.append(found)

    def _tell(self, stream: Stream, token: int) -> None:
        if stream.state == "over":
            return
        self._tokens += 1
        try:
            stream.tell(token)
        except Exception as error:  # whatever the caller's function does is its own affair
            self._end(stream, "cancelled", error)

    def _end(self, stream: Stream, reason: str, failure: BaseException | None = None) -> None:
        """The stream leaves, wherever it stands, and then is told; nothing happens where it has
        left already."""
        if stream.state == "over":
            return
        if stream.state == "waiting":
            self._waiting.remove(stream)
        elif stream.state == "written":
            self._lanes.leave(stream)
        else:
            self._beam_streams.remove(stream)
            if self._beams is not None:
                self._beams.leave(stream)
            if not self._beam_streams:
                self._end_beams()
        self._over(stream, reason, failure)

    def _over(self, stream: Stream, reason: str, failure: BaseException | None) -> None:
        stream.end(reason, failure)
        if stream.watch is not None:
            self._ended.append(stream)

    def _tell_ended(self) -> None:
        """Outside the lock: whoever is told may ask for the next answer at once."""
        while self._ended:
            with contextlib.suppress(Exception):  # IndexError: another thread was quicker
                stream: Any = self._ended.popleft()
                stream.watch.over(stream.reason, stream.failure, stream.guide, stream.logs)

    def _streams(self) -> list[Stream]:
        lanes: Iterable[Any] = [*self._lanes.running, *self._lanes.unread]
        return [*lanes, *self._beam_streams, *self._waiting]

    def _fail(self, error: BaseException) -> None:
        """Something went wrong in the thread: whoever waits for an answer is told."""
        with self._lock:
            for stream in [*self._streams(), *self._inbox]:
                self._over(stream, "cancelled", error)
            self._inbox.clear()
            self._waiting.clear()
            self._thread = None
            self._end_beams()
            self._lanes.clear()


def _stopped(stream: Stream, token: int) -> bool:
    """Whether a stop string is complete: in the answer's text, or, as in the PyTorch backend,
    among the last tokens, whose bytes may not make up a text as yet."""
    text, stops = stream.text, stream.stops
    if text is None or stops is None:
        return False
    text.push([token])
    return text.stopped or stops.end(stream.written)


def _megabytes(size: int) -> str:
    return f"{-(-size // 10**6):,} MB"


@atexit.register
def _close_all() -> None:
    """No thread is inside ONNX Runtime while the interpreter is taken down."""
    for engine in list(_live):
        engine.close()
