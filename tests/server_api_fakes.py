"""A model that writes at once, with an engine of its own, and safeguards that tests can set."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from server_fakes import Task, Tokenizer

from tinyforge.errors import DataError
from tinyforge.inference.inputs import to_example
from tinyforge.records.predictions import Piece, Prediction, TokenScore
from tinyforge.safety.rulings import Ruling, Stopped


def score(text: str, top: int = 0) -> TokenScore:
    """A token of probability one half, with alternatives that are less likely."""
    others = tuple(
        TokenScore(f"{text}{i}", f"{text}{i}".encode(), -float(i + 2)) for i in range(top)
    )
    return TokenScore(text, text.encode(), math.log(0.5), others)


class Writer:
    """Writes the input's words in reverse order; drawn answers end with their seed.

    With ``engine`` it has ``begin``, which writes in a thread of the engine's.

    Attributes:
        options: of every call.
        writing: answers that are being written now.
        cancelled: answers that nobody wanted any more.
        vectors: what ``embed`` gives for a text of so many characters.
    """

    def __init__(
        self, task: str = "instruct", *, engine: bool = True, seconds: float = 0.0,
        name: str = "abcdef012345",
    ) -> None:  # fmt: skip
        self.task, self.tokenizer, self.hash = Task(task), Tokenizer(), name
        self.seconds, self.max_positions = seconds, 64
        self.options: list[Mapping[str, Any]] = []
        self.writing, self.cancelled = 0, 0
        self.embedded: list[int] = []
        self.can_embed = True
        self._lock = threading.Lock()
        if engine:
            self.begin = self._begin

    def predict(self, given: list[Any], **options: Any) -> list[Prediction]:
        return [self._whole(each, options) for each in given]

    def stream_pieces(self, given: Any, **options: Any) -> Iterator[Piece]:
        self._note(options)
        with self._lock:
            self.writing += 1
        try:
            yield from self._pieces(given, options)
        finally:
            with self._lock:
                self.writing -= 1

    def _begin(
        self, given: Any, *, tell: Callable[[Piece | BaseException], None], **options: Any
    ) -> Callable[[], None]:
        self._note(options)
        pieces, over = self._pieces(given, options), threading.Event()
        with self._lock:
            self.writing += 1

        def work() -> None:
            try:
                for piece in pieces:
                    if over.is_set():
                        break
                    tell(piece)
            except Exception as error:
                tell(error)
            with self._lock:
                self.writing -= 1
                self.cancelled += over.is_set()

        threading.Thread(target=work, daemon=True).start()
        return over.set

    def embed(self, texts: Sequence[str], **_: Any) -> NDArray[np.float32]:
        self.embedded.append(len(texts))
        angles = np.array([len(text) / 10 for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def close(self) -> None:
        """Nothing to end."""

    def _note(self, options: Mapping[str, Any]) -> None:
        self.options.append(dict(options))

    def _whole(self, given: Any, options: Mapping[str, Any]) -> Prediction:
        self._note(options)
        parts = list(self._pieces(given, options))
        last = parts[-1]
        return Prediction(
            "".join(part.text for part in parts), last.confidence, model=self.hash,
            finish_reason=last.finish_reason or "stop", prompt_tokens=last.prompt_tokens,
            tokens=last.tokens, token_scores=tuple(s for part in parts for s in part.token_scores),
        )  # fmt: skip

    def _pieces(self, given: Any, options: Mapping[str, Any]) -> Iterator[Piece]:
        example = to_example(given)
        text = example.messages[-1].content if example.messages else example.input
        if text == "refuse":
            raise DataError("this text is refused", fix="Give another")
        words = [f"{word} " for word in reversed(text.split())]
        if options.get("json_schema") is not None:
            words = [json.dumps({"schema": options["json_schema"]})]
        elif options.get("temperature"):
            words.append(str(options.get("seed", "drawn")))
        most = options.get("max_new_tokens") or len(words)
        for word in words[:most]:
            time.sleep(self.seconds)
            if word == "break ":
                raise ZeroDivisionError("a secret of the server")
            logprobs = options.get("logprobs")
            yield Piece(word, () if logprobs is None else (score(word, logprobs),))
        yield Piece(
            "", finish_reason="length" if len(words) > most else "stop",
            prompt_tokens=len(text.split()), tokens=min(most, len(words)), confidence=0.5,
        )  # fmt: skip


class Rules:
    """Safeguards that refuse ``bad``, mask ``secret``, and keep a stream back by a word."""

    active = True

    def check_input(self, texts: Sequence[str]) -> list[Ruling]:
        return [self._of(text) for text in texts]

    def check_output(
        self, outputs: Sequence[str], confidences: Sequence[float | None], *, labels: bool
    ) -> list[Ruling]:
        return [Ruling("pass", output) if labels else self._of(output) for output in outputs]

    def counts(self) -> Mapping[tuple[str, str], int]:
        return {}

    def stream(self) -> Any:
        return _Guard(self._of)

    def _of(self, text: str) -> Ruling:
        if "bad" in text:
            return Ruling("refused", "I cannot say that.", "block_list", 1)
        if "secret" in text:
            return Ruling("changed", text.replace("secret", "***"), "personal_data", 1)
        return Ruling("pass", text)


class _Guard:
    """Lets whole words through, one late."""

    def __init__(self, rule: Callable[[str], Ruling]) -> None:
        self._rule, self._held = rule, ""

    def push(self, piece: str) -> str:
        before, self._held = self._held, piece
        return self._judged(before)

    def end(self) -> str:
        return self._judged(self._held)

    def _judged(self, text: str) -> str:
        ruling = self._rule(text)
        if ruling.action == "refused":
            raise Stopped(ruling)
        return ruling.text
