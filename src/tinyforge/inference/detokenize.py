"""Tokens to text as they arrive, and where a stop string ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CONTEXT = 16
"""Tokens of a prompt that decide how the first token after it is written."""

INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
"""What the bytes of a character decode to while some are still to come."""


class Detokenizer:
    """Text of token ids, piece by piece; the pieces together are the text of all ids.

    A token's text depends on its neighbours: characters can span tokens, and many tokenizers drop
    the space before a text's first word. So a short stretch that is known already is decoded
    again with the new tokens, and what comes beyond it is new (as text-generation-inference and
    vLLM do).

    Args:
        before: ids that the text continues; their text is not part of it.
    """

    def __init__(self, tokenizer: Any, before: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._ids = [int(i) for i in before][-CONTEXT:]
        self._start, self._read = 0, len(self._ids)

    def push(self, ids: Sequence[int]) -> str:
        """The text that these further ids complete; maybe none yet."""
        self._ids += ids
        return self._new(final=False)

    def finish(self) -> str:
        """What was held back because its last character is incomplete."""
        return self._new(final=True)

    def _new(self, *, final: bool) -> str:
        known = self._decode(self._ids[self._start : self._read])
        text = self._decode(self._ids[self._start :])
        if len(text) <= len(known) or (text.endswith(INCOMPLETE) and not final):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return text[len(known) :]

    def _decode(self, ids: Sequence[int]) -> str:
        return decode(self._tokenizer, ids)


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Plain text without special tokens; spaces are left as the tokens have them."""
    text: str = tokenizer.decode(
        list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text


class AnswerText:
    """One answer's text while it is written; ``predict`` and ``stream`` both read from it.

    Text that could turn out to be part of a stop string is held back, and so is white space at
    the end of an answer that stands alone.

    Args:
        before: ids of the prompt where the answer continues its text, white space and all; None
            where the answer stands alone: white space around it is dropped.
        stops: strings of which the first to appear ends the answer, itself not included.

    Attributes:
        stopped: whether a stop string has appeared.
        certain: characters from the beginning, white space included, that it can no longer take
            back.
    """

    def __init__(
        self, tokenizer: Any, before: Sequence[int] | None, stops: Sequence[str] = ()
    ) -> None:
        self._detokenizer = Detokenizer(tokenizer, before or ())
        self._alone = before is None
        self._stops = tuple(stops)
        self._text = ""
        self._given = 0
        self.stopped = False
        self.certain = 0

    @property
    def length(self) -> int:
        """Characters so far, white space included and a stop string not."""
        return len(self._text)

    def push(self, ids: Sequence[int]) -> str:
        """The text that is certain after these further ids, without what was given before."""
        if self.stopped:
            return ""
        self._add(self._detokenizer.push(ids))
        self.certain = len(self._text) if self.stopped else self._certain()
        return self._give(self._text[: self.certain])

    def finish(self) -> str:
        """The rest of the text."""
        if not self.stopped:
            self._add(self._detokenizer.finish())
        self.certain = len(self._text)
        return self._give(self._text)

    def _add(self, piece: str) -> None:
        self._text += piece
        found = [at for stop in self._stops if (at := self._text.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._text = self._text[: min(found)]

    def _give(self, text: str) -> str:
        text = text.strip() if self._alone else text
        new = text[self._given :]
        self._given += len(new)
        return new

    def _certain(self) -> int:
        """Characters that no stop string can reach back to."""
        longest = max((len(stop) for stop in self._stops), default=0)
        for length in range(min(longest - 1, len(self._text)), 0, -1):
            tail = self._text[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return len(self._text) - length
        return len(self._text)
