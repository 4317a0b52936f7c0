"""A server over models that answer at once, in the tests' own process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinyforge.config.serve import ServeSettings
from tinyforge.errors import DataError
from tinyforge.inference.inputs import to_example
from tinyforge.records.encoded import Encoded
from tinyforge.records.predictions import Piece, Prediction
from tinyforge.server.app import make_app
from tinyforge.server.keys import Keys
from tinyforge.server.models import Pool, Served
from tinyforge.server.queue import Queue


class Tokenizer:
    """A token for each word."""

    def __call__(self, texts: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[1] * len(text.split()) for text in texts]}


class Task:
    """Reads words."""

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, examples: Sequence[Any]) -> list[Encoded]:
        return [Encoded(np.ones(len(e.input.split()), np.int32), np.zeros(0, np.int32))
                for e in examples]  # fmt: skip


class Echo:
    """Answers with the words in reverse order; ``seconds`` for each call and each piece.

    Attributes:
        calls: how many inputs each call of ``predict`` had.
        writing: streams that are open now.
    """

    def __init__(self, task: str = "text2text", *, seconds: float = 0.0) -> None:
        self.task, self.tokenizer, self.seconds = Task(task), Tokenizer(), seconds
        self.hash, self.calls, self.writing = "abcdef012345", [], 0
        self.options: list[Mapping[str, Any]] = []
        self.closed = False

    def predict(self, given: list[Any], **options: Any) -> list[Prediction]:
        self.calls.append(len(given))
        self.options.append(options)
        time.sleep(self.seconds)
        return [self._answer(each) for each in given]

    def _answer(self, each: Any) -> Prediction:
        text = to_example(each).input
        if text == "refuse":
            raise DataError("this text is refused", fix="Give another")
        if text == "break":
            raise ZeroDivisionError("a secret of the server")
        words = " ".join(reversed(text.split()))
        if self.task.name == "classify":
            return Prediction("yes", 0.75, {"yes": 0.75, "no": 0.25}, ("yes",), text, self.hash)
        count = len(text.split())
        return Prediction(
            words, 0.5, input=text, model=self.hash, finish_reason="stop", prompt_tokens=count,
            tokens=count,
        )  # fmt: skip

    def stream_pieces(self, given: Any, **options: Any) -> Iterator[Piece]:
        self.options.append(options)
        self.writing += 1
        text = to_example(given).input
        if text == "refuse":
            raise DataError("this text is refused", fix="Give another")
        words = text.split()
        try:
            for word in reversed(words):
                time.sleep(self.seconds)
                yield Piece(word + " ")
            yield Piece("", finish_reason="stop", prompt_tokens=len(words), tokens=len(words))
        finally:
            self.writing -= 1

    def close(self) -> None:
        self.closed = True


class Models(Pool):
    """A pool of models that are there already."""

    def __init__(self, models: Mapping[str, Any], settings: ServeSettings) -> None:
        super().__init__(dict.fromkeys(models, ""), settings)
        for name, model in models.items():
            queue = Queue(
                model, waiting=settings.max_waiting, rows=settings.batch_rows,
                threads=settings.parallel_texts if hasattr(model, "begin") else 1,
            )  # fmt: skip
            self._served[name] = Served(name, "", model, queue, model.hash, 1_700_000_000)


def application(models: Mapping[str, Any] | None = None, keys: Keys | None = None, **more: Any):  # type: ignore[no-untyped-def]
    """An application over ``models``, by default one echo."""
    settings = ServeSettings(**more)
    return make_app(Models(models or {"echo": Echo()}, settings), settings, keys or Keys())


@contextlib.contextmanager
def listening(app: Any) -> Iterator[tuple[str, int]]:
    """The application behind a real socket, in a thread."""
    from tinyforge.server.run import Server, _config, listen

    settings = app.state.settings.model_copy(update={"port": 0})
    with listen(settings) as listener:

        async def begin(_: Server) -> None:
            app.loop = asyncio.get_running_loop()

        server = Server(_config(app, settings), app, begin)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until(lambda: server.started and hasattr(app, "loop"))
        try:
            yield "127.0.0.1", listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)
            app.state.pool.close()


def until(holds: Any, seconds: float = 10.0) -> None:
    """Wait for something; fail where it does not come."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("it did not happen")
        time.sleep(0.01)


def state_of(app: Any) -> SimpleNamespace:
    """The one model's queue and model."""
    served = app.state.pool.all()[0]
    return SimpleNamespace(queue=served.queue, model=served.model)
