"""What writing an answer is, whatever computes the logits: where it begins, ends, and its text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.inference.detokenize import INCOMPLETE, AnswerText, decode
from tinyforge.inference.limits import MAX_NEW_TOKENS, UNBOUNDED_LENGTH
from tinyforge.records.encoded import IGNORED, Encoded


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written.

    Attributes:
        confidence: the geometric mean of its tokens' probabilities under the model itself (no
            temperature, top-k or top-p), the end token included where the model wrote one; None
            where the model's numbers are not finite.
        finish_reason: ``stop`` (end token or stop string) or ``length``.
    """

    text: str
    confidence: float | None
    finish_reason: str


class Writing:
    """How one model and task read prompts and end answers.

    Args:
        max_positions: tokens that the model's positions reach to; None where nothing bounds them.
        ends: tokens at which answers end beside the task's own.

    Attributes:
        ends: all of them, the task's first.
    """

    def __init__(
        self, tokenizer: Any, task: Any, max_positions: int | None, ends: Iterable[Any] = ()
    ) -> None:
        self.tokenizer, self.task = tokenizer, task
        self.max_positions = max_positions
        self.decoder = task.family == "decoder"
        more = [int(i) for i in ends if i is not None]
        self.ends: tuple[int, ...] = tuple(dict.fromkeys([*task.end_ids, *more]))

    def fit(self, prompts: Sequence[Encoded], settings: GenerateSettings) -> list[Encoded]:
        """Prompts cut to what the model can read, with room left for the answer.

        A decoder's answer follows its prompt: as many positions as it may have tokens are kept
        free, half of the context at most, and the prompt's beginning goes first.
        """
        limit = self.max_positions or max(UNBOUNDED_LENGTH, self.task.max_length or 0)
        if self.decoder:
            limit -= min(self._longest(settings), limit // 2)
        cut = [self.task.cut(prompt, limit, limit) for prompt in prompts]
        return [prompt if len(prompt.input_ids) else self._start(prompt) for prompt in cut]

    def room(self, prompt: Encoded, settings: GenerateSettings) -> int:
        """Tokens that the answer to a fitted prompt may have."""
        longest = self._longest(settings)
        if self.max_positions is None:
            return longest
        taken = len(prompt.input_ids) if self.decoder else 1
        return max(1, min(longest, self.max_positions - taken))

    def text(self, prompt: Encoded, settings: GenerateSettings) -> AnswerText:
        """The text of an answer to the prompt, to be filled."""
        continues = self.task.name == "language-model"
        before = prompt.input_ids.tolist() if continues else None
        return AnswerText(self.tokenizer, before, settings.stop)

    def pieces(
        self, prompt: Encoded, settings: GenerateSettings, tokens: Iterable[int]
    ) -> Iterator[str]:
        """An answer's text as its tokens come."""
        text = self.text(prompt, settings)
        for token in tokens:
            if token in self.ends:
                break
            if piece := text.push([token]):
                yield piece
            if text.stopped:
                break
        if rest := text.finish():
            yield rest

    def read(
        self, prompt: Encoded, ids: Sequence[int], settings: GenerateSettings
    ) -> tuple[str, int, str]:
        """An answer's text, how many tokens it took, and why it ended.

        Args:
            ids: new tokens; what follows an end token or a stop string does not count.
        """
        end = next((at for at, token in enumerate(ids) if token in self.ends), None)
        body = ids if end is None else ids[:end]
        if not settings.stop:
            text = self.text(prompt, settings)
            said = text.push(body) + text.finish()
            if INCOMPLETE not in said:
                return said, *_ending(ids, end)
        # Token by token, as streamed: the first stop string to be complete ends the answer, and
        # bytes that are no character must not change what was said before them.
        text, said = self.text(prompt, settings), ""
        stops = StopStrings(self.tokenizer, settings.stop)
        for count, token in enumerate(body, start=1):
            said += text.push([token])
            if text.stopped or stops.end(body[:count]):
                return said + text.finish(), count, "stop"
        said += text.finish()
        return (said, len(body), "stop") if text.stopped else (said, *_ending(ids, end))

    def _longest(self, settings: GenerateSettings) -> int:
        return settings.max_new_tokens or self.task.max_new_tokens or MAX_NEW_TOKENS

    def _start(self, prompt: Encoded) -> Encoded:
        """A decoder has to read something before it writes: its start token, else its end token."""
        first = self.tokenizer.bos_token_id
        ids = np.array([self.ends[0] if first is None else first], dtype=np.int32)
        return Encoded(ids, np.full(1, IGNORED, dtype=np.int32), prompt.cut_input)


class StopStrings:
    """Whether an answer's last tokens hold a stop string; it keeps nothing between answers."""

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:
        self._tokenizer, self._stops = tokenizer, tuple(stops)
        longest = max((len(stop.encode("utf-8", "surrogatepass")) for stop in stops), default=0)
        self._window = longest + 4  # a byte is a token at the least

    def __bool__(self) -> bool:
        return bool(self._stops)

    def end(self, ids: Sequence[int]) -> bool:
        """Whether the text of these new tokens holds one near its end."""
        if not self._stops:
            return False
        # The last tokens by themselves may read otherwise than after those before them: bytes that
        # make up no text do so as a whole.
        return self._hold(ids[-self._window :]) and self._hold(ids)

    def _hold(self, ids: Sequence[int]) -> bool:
        text = decode(self._tokenizer, ids)
        return any(stop in text for stop in self._stops)


def mean_probability(total: float, count: int) -> float | None:
    """The geometric mean of probabilities from the sum of their logarithms."""
    if not count:
        return None
    return math.exp(min(0.0, total / count)) if math.isfinite(total) else None


def _ending(ids: Sequence[int], end: int | None) -> tuple[int, str]:
    """How many tokens were written, an end token included, and why no more."""
    return (len(ids), "length") if end is None else (end + 1, "stop")
