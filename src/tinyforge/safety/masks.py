"""Personal data masked in whole texts, and in texts that come in pieces."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from tinyforge.safety.personal_data import find, mask, replace_spans
from tinyforge.safety.rulings import Finding

_ROUNDS = 3  # as ``mask``: two numbers that run into each other show only once one is gone
_NUMBER = 96
"""Characters of the longest number that a rule knows, with the spaces and signs in it."""
_NUMBERS, _BESIDE = 480, 24
"""Characters of several numbers side by side, and between two of them."""
_AFTER_NUMBER = 32
"""Characters without a digit after which no rule takes a number for unfinished: the letters at the
end of a Maltese IBAN, in groups, or the word behind a phone number that says that it is one."""
_LOCAL = 66
_ADDRESS = 340
_LONGEST_WORD = 4_096
_LONGEST_BLOCK = 20_480
_UNFINISHED_WORD = re.compile(r"\S+\Z")
_BEGIN, _END = "-----BEGIN ", "-----END "
_DIGIT = re.compile(r"[0-9]")


class PersonalData:
    """Personal data, masked; a ``Rule`` that changes texts.

    Args:
        kinds: those to look for.
        label: what stands for the data, with ``{kind}`` in it.
    """

    name = "personal_data"

    def __init__(self, kinds: Collection[str], label: str) -> None:
        self._kinds, self._label = tuple(kinds), label

    def look(self, texts: Sequence[str]) -> list[Finding]:
        """Each text without personal data, and how many pieces there were."""
        masked = [mask(text, self._kinds, label=self._label) for text in texts]
        return [Finding(sum(counts.values()), text) for text, counts in masked]

    def part(self, text: str, start: int, stop: int) -> tuple[str, int]:
        """``text[start:stop]`` masked, seen with what stands around it.

        Args:
            stop: as ``settled`` gives it, or the text's end.

        Returns:
            The part, and how many pieces were masked.
        """
        part, found, _ = self._masked(text, start, stop)
        return part, found

    def settled(self, text: str, shown: int = 0) -> int:
        """Up to where a text can be shown: what follows cannot make it personal data.

        Held back are an unfinished word, a number that may go on with those close to it, a key
        block that has begun, and what is already found but not shown whole.

        Args:
            shown: up to where it is shown already.
        """
        until = min(_unfinished_word(text), _unfinished_number(text), _unfinished_block(text))
        if until <= shown:
            return shown
        for span in find(text, self._kinds):
            if span.start < until < span.end:
                until = span.start
        cut = until > shown and self._masked(text, shown, until)[2]
        return shown if cut else until

    def _masked(self, text: str, start: int, stop: int) -> tuple[str, int, bool]:
        """``text[start:stop]`` masked, the pieces that were, and whether one lies across its end.

        What stands behind it is masked too, since a number may show only once the next is gone.
        """
        found, cut = 0, False
        for _ in range(_ROUNDS):
            spans = [span for span in find(text, self._kinds) if span.start >= start]
            if not spans:
                break
            inside = [span for span in spans if span.end <= stop]
            cut = cut or any(span.start < stop < span.end for span in spans)
            before = replace_spans(text[:stop], inside, self._label)[0]
            text = replace_spans(text, spans, self._label)[0]
            stop, found = len(before), found + len(inside)
        return text[start:stop], found, cut


def _unfinished_word(text: str) -> int:
    """Where a word at the end begins that may become an address or a key."""
    word = _UNFINISHED_WORD.search(text, max(0, len(text) - _LONGEST_WORD))
    if word is None:
        return len(text)
    start = word.start()
    if word[0].isascii():
        return start
    # In scripts without spaces a whole page can be one word: an address reaches less far.
    at = text.rfind("@", start)
    if at >= 0 and len(text) - at <= _ADDRESS:
        return max(start, at - _LOCAL)
    plain = re.search(r"[!-~]+\Z", word[0])
    longest = _LOCAL if plain is None else max(_LOCAL, len(plain[0]))
    return max(start, len(text) - longest)


def _unfinished_number(text: str) -> int:
    """Where a number that may go on begins, with what may stand before its first digit."""
    size = len(text)
    if not _DIGIT.search(text, max(0, size - _AFTER_NUMBER)):
        return size
    first = _DIGIT.search(text, max(0, size - _NUMBER))
    if first is None:
        return size
    start = first.start()
    while start > 0 and not text[start - 1].isspace() and first.start() - start < _LOCAL:
        start -= 1
    # Numbers side by side are judged together: one may hide the other.
    while start > size - _NUMBERS and (near := _DIGIT.search(text, max(0, start - _BESIDE), start)):
        start = near.start()
    return max(0, start)


def _unfinished_block(text: str) -> int:
    """Where a private key begins whose end has not come."""
    begin = text.rfind(_BEGIN)
    if begin >= 0 and len(text) - begin <= _LONGEST_BLOCK:
        end = text.find(_END, begin)
        if end < 0 or text.find("-----", end + len(_END)) < 0:
            return begin
    dashes = re.search(r"-[-A-Z ]{0,40}\Z", text)
    return len(text) if dashes is None else dashes.start()
