"""Safeguards on a text that comes in pieces.

Each gate keeps back the end of what it was given for as long as what follows can change its
judgement, so that a word, a number or a sentence is seen whole before any of it is shown. Behind
the last piece of a text that is harmless so far, little is kept: an unfinished word for a block
list of words, an unfinished sentence for the toxicity classifier.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable

from tinyforge.safety.block_list import BlockList
from tinyforge.safety.masks import PersonalData
from tinyforge.safety.rulings import Rule

_CONTEXT = 200
"""Characters that were shown and are still looked at: a word such as "phone" before a number."""
_SENTENCES = 400
"""Characters before a sentence that the classifier reads with it."""
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]]*\s|\n")

_SPACE = re.compile(r"\s")

Refuse = Callable[[Rule, int], Exception]
"""Makes what a gate raises where its rule found so many pieces."""


class Gate(ABC):
    """One rule that a stream goes through.

    Attributes:
        found: pieces that were changed so far.
    """

    def __init__(self, context: int) -> None:
        self._context, self._text, self._shown = context, "", 0
        self.found = 0

    def push(self, piece: str) -> str:
        """Take a piece; what may go on."""
        self._text += piece
        return self._let_through(self.settled(self._text, self._shown))

    def end(self) -> str:
        """What is left, once no more comes."""
        return self._let_through(len(self._text))

    @abstractmethod
    def settled(self, text: str, shown: int) -> int:
        """Up to where no continuation changes the judgement."""

    @abstractmethod
    def judge(self, text: str, start: int, stop: int) -> str:
        """``text[start:stop]`` as it may be shown; raises where it must not be."""

    def _let_through(self, stop: int) -> str:
        if stop <= self._shown:
            return ""
        part = self.judge(self._text, self._shown, stop)
        # What was shown is what is looked at again: masked data must not be found a second time.
        seen = self._text[: self._shown] + part
        kept = max(0, len(seen) - self._context)
        if kept and (space := _SPACE.search(seen, kept)):
            kept = space.end()  # the rest of a word would be another word
        self._text = seen[kept:] + self._text[stop:]
        self._shown = len(seen) - kept
        return part


class WordGate(Gate):
    """Stops at an entry of a block list."""

    def __init__(self, rule: BlockList, hold_back: int, refuse: Refuse) -> None:
        # No word of what was shown can belong to an entry; an expression may look back.
        super().__init__(hold_back if rule.has_expressions else 0)
        self._rule, self._hold_back, self._refuse = rule, hold_back, refuse

    def settled(self, text: str, shown: int) -> int:
        """As the rule says."""
        return self._rule.settled(text, self._hold_back)

    def judge(self, text: str, start: int, stop: int) -> str:
        """The part as it is."""
        if found := self._rule.count(text):
            raise self._refuse(self._rule, found)
        return text[start:stop]


class SentenceGate(Gate):
    """Lets whole sentences through that a classifier finds harmless, each with those before it."""

    def __init__(self, rule: Rule, longest: int, refuse: Refuse) -> None:
        super().__init__(_SENTENCES)
        self._rule, self._longest, self._refuse = rule, longest, refuse

    def settled(self, text: str, shown: int) -> int:
        """The end of the last sentence; of one that is too long, its last word's end."""
        until = shown
        for end in _SENTENCE_END.finditer(text, shown):
            until = end.end()
        if len(text) - until > self._longest:
            space = text.rfind(" ", until)
            until = space + 1 if space > until else len(text)
        return until

    def judge(self, text: str, start: int, stop: int) -> str:
        """The part as it is."""
        (finding,) = self._rule.look([text[:stop]])
        if finding.count:
            raise self._refuse(self._rule, finding.count)
        return text[start:stop]


class MaskGate(Gate):
    """Masks personal data."""

    def __init__(self, rule: PersonalData) -> None:
        super().__init__(_CONTEXT)
        self._rule = rule

    def settled(self, text: str, shown: int) -> int:
        """As the rule says."""
        return self._rule.settled(text, shown)

    def judge(self, text: str, start: int, stop: int) -> str:
        """The part, masked."""
        part, found = self._rule.part(text, start, stop)
        self.found += found
        return part
