"""One answer while it is written, token by token: its text, its scores, and why it ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tinyforge.inference.detokenize import AnswerText
from tinyforge.inference.json_answers import Guide
from tinyforge.inference.sampling import Chances, mean_probability
from tinyforge.inference.stop_strings import StopStrings
from tinyforge.inference.token_texts import TokenTexts
from tinyforge.records.predictions import Piece, TokenScore


class Transcript:
    """Takes one answer down.

    Args:
        ends: tokens that end it; they are no part of its text.
        text: its text, to be filled.
        stops: what ends it besides.
        texts: what its tokens say.
        prompt_tokens: how many the model read before it.

    Attributes:
        count: tokens so far, an end token included.
        over: whether an end token or a stop string has come; tokens behind it do not count.
    """

    def __init__(
        self,
        ends: Collection[int],
        text: AnswerText,
        stops: StopStrings,
        texts: TokenTexts,
        prompt_tokens: int,
    ) -> None:
        self._ends, self._text, self._stops, self._texts = ends, text, stops, texts
        self._prompt_tokens = prompt_tokens
        self._ids: list[int] = []
        self._held: list[tuple[int, TokenScore]] = []
        self._ended = self._stopped = False

    @property
    def count(self) -> int:
        """Tokens so far, an end token included."""
        return len(self._ids) + self._ended

    @property
    def over(self) -> bool:
        """Whether an end token or a stop string has come."""
        return self._ended or self._stopped

    def push(self, token: int, chances: Chances | None = None) -> Piece | None:
        """The text and the scores that this token makes certain, where it does.

        Args:
            chances: how likely it was, where that is to be told.
        """
        if self.over:
            return None
        if token in self._ends:
            self._ended = True
            return None
        if chances is not None:
            self._held.append((self._text.length, self._texts.score(token, chances)))
        self._ids.append(token)
        said = self._text.push([token])
        self._stopped = self._text.stopped or self._stops.end(self._ids)
        scores = self._certain()
        return Piece(said, scores) if said or scores else None

    def finish(self, guide: Guide | None = None, logs: Sequence[float] = ()) -> Piece:
        """The last piece: what was held back, why no more comes, and how much it was.

        Args:
            guide: what followed the answer, where it had to be JSON.
            logs: the log-probability of each of its tokens, where its confidence is to be told.
        """
        said = self._text.finish()
        scores = self._certain()
        if not self._text.stopped:  # white space and bytes that never became a character
            scores += tuple(score for _, score in self._held)
        if self._stopped or self._text.stopped:
            reason = "stop"
        elif guide is not None:
            reason = guide.reason
        else:
            reason = "stop" if self._ended else "length"
        confidence = mean_probability(sum(logs[: self.count]), self.count) if logs else None
        return Piece(said, scores, reason, self._prompt_tokens, len(self._ids), confidence)

    def _certain(self) -> tuple[TokenScore, ...]:
        """Scores of tokens that begin in text that no stop string can take back any more."""
        certain = 0
        while certain < len(self._held) and self._held[certain][0] < self._text.certain:
            certain += 1
        found = tuple(score for _, score in self._held[:certain])
        del self._held[:certain]
        return found
