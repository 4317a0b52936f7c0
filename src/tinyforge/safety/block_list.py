"""Words and phrases that the operator does not want, however they are dressed up.

Words are compared as ``folding.fold`` leaves them, so that case, accents, invisible characters and
look-alikes change nothing. Also found are digits and signs in the place of letters (``b4dw0rd``),
letters drawn out (``baaadword``) and letters set apart (``b a d w o r d``, ``b.a.d.w.o.r.d``). A
word is only ever found as a whole word: ``badword`` does not stand in ``badwords``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from tinyforge.errors import SettingError
from tinyforge.safety.folding import STAND_INS, fold, visible
from tinyforge.safety.rulings import Finding

_CHUNK = re.compile(r"\S+")
_WORD = re.compile(r"[^\W_]+")
_DRESSED = re.compile(r"(?:[^\W_]|[@$!|+])+")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_SAME = str.maketrans({**{sign: letters[0] for sign, letters in STAND_INS.items()}, "l": "i"})
"""To one form for all that may stand for each other; whether it does is looked at afterwards."""
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_NO_SPACES = re.compile(f"[{_UNSPACED}]")
"""Scripts that put no space between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_PIECE = re.compile(rf"[^\s{_UNSPACED}]+|[{_UNSPACED}]")
_EDGES = "-_.*,'\""
_LONGEST_WORD = 4_096
"""Characters of an unfinished word that a stream keeps back, at most."""

Words = tuple[str, ...]


class BlockList:
    """A list of words, phrases and regular expressions; a ``Rule``.

    Args:
        path: a UTF-8 file with an entry a line; ``/…/`` is a regular expression, matched without
            case against the text as it is seen; a line that begins with ``#`` says nothing.

    Raises:
        SettingError: it cannot be read, holds nothing, or an expression is wrong.
    """

    name = "block_list"

    def __init__(self, path: str) -> None:
        self._words: dict[Words, list[Words]] = {}
        self._parts: list[str] = []
        self._expressions: list[re.Pattern[str]] = []
        for number, line in enumerate(_lines(path), start=1):
            entry = line.strip()
            if entry and not entry.startswith("#"):
                self._add(entry, f"{path}:{number}")
        if not (self._words or self._parts or self._expressions):
            raise SettingError(
                "the block list holds no entry", where="safeguards.block_list", value=path,
                fix="Write a word or phrase a line",
            )  # fmt: skip
        self._most_words = max(map(len, self._words), default=0)
        self._first = {words[0] for words in self._words}
        self._joined: dict[str, list[str]] = {}
        for entries in self._words.values():
            for entry in map("".join, entries):
                self._joined.setdefault(_skeleton(entry), []).append(entry)
        self._lengths = sorted({len(joined) for joined in self._joined if len(joined) > 2})

    @property
    def has_expressions(self) -> bool:
        """Whether regular expressions are among the entries."""
        return bool(self._expressions)

    def look(self, texts: Sequence[str]) -> list[Finding]:
        """How many entries' places there are in each text."""
        return [Finding(self.count(text)) for text in texts]

    def count(self, text: str) -> int:
        """Places in a text where an entry stands."""
        seen = visible(text)
        found = sum(1 for pattern in self._expressions for _ in pattern.finditer(seen))
        if not (self._words or self._parts):
            return found
        folded = fold(text)
        found += sum(folded.count(part) for part in self._parts)
        chunks = _CHUNK.findall(folded)
        return found + self._in_order(chunks) + self._spelt_out(chunks)

    def _add(self, entry: str, where: str) -> None:
        if len(entry) > 2 and entry[0] == entry[-1] == "/":
            try:
                self._expressions.append(re.compile(entry[1:-1], re.IGNORECASE))
            except (re.error, RecursionError) as error:
                raise SettingError(
                    f"not a regular expression: {error}", where=where, value=entry
                ) from None
            return
        folded = fold(entry)
        words = tuple(_WORD.findall(folded))
        if _NO_SPACES.search(folded):
            self._parts.append("".join(words))
        elif words:
            self._words.setdefault(tuple(map(_skeleton, words)), []).append(words)
        else:
            raise SettingError(
                "no letter or digit stands in this entry", where=where, value=entry,
                fix="Write it as a regular expression: /…/",
            )  # fmt: skip

    def _in_order(self, chunks: Sequence[str]) -> int:
        """Entries whose words stand in a row; each place counts once."""
        if not self._most_words:
            return 0
        places = [place for chunk in chunks for place in _places(chunk)]
        found = sum(map(self._is_broken_up, chunks))
        for start, readings in enumerate(places):
            if not any(_skeleton(word) in self._first for word in readings):
                continue
            for length in range(1, min(self._most_words, len(places) - start) + 1):
                found += self._is_entry(places[start : start + length])
        return found

    def _is_entry(self, places: Sequence[Sequence[str]]) -> bool:
        """Whether an entry stands in these places, each of which may be read in some ways."""
        for words in _choices(places):
            for entry in self._words.get(tuple(map(_skeleton, words)), ()):
                if all(map(_stands_for, words, entry)):
                    return True
        return False

    def _is_broken_up(self, chunk: str) -> bool:
        """Whether an entry is left of something without spaces once its signs are gone."""
        words = _WORD.findall(chunk)
        if len(words) < 2:
            return False
        return any(self._is_joined(word, _skeleton(word)) for word in _readings("".join(words)))

    def _is_joined(self, letters: str, skeleton: str) -> bool:
        entries = self._joined.get(skeleton)
        return entries is not None and any(_stands_for(letters, entry) for entry in entries)

    def _spelt_out(self, chunks: Sequence[str]) -> int:
        """Entries whose letters are set apart by spaces."""
        found = 0
        for single, run in groupby(chunks, key=_is_letter):
            if not single:
                continue
            letters = "".join(chunk.strip(_EDGES) for chunk in run)
            skeleton = _skeleton(letters)
            for length in self._lengths:
                found += sum(
                    self._is_joined(letters[i : i + length], skeleton[i : i + length])
                    for i in range(len(letters) - length + 1)
                )
        return found

    def settled(self, text: str, hold_back: int) -> int:
        """Up to where no continuation of a text can make it hold another entry.

        Args:
            hold_back: characters in which a regular expression's place lies.
        """
        size = len(text)
        until = size - hold_back if self._expressions else size
        if self._parts:  # compatibility forms can be twice as long
            until = min(until, size - 2 * max(map(len, self._parts)) - 2)
        if self._words:
            pieces = list(_PIECE.finditer(text, max(0, size - 4 * _LONGEST_WORD)))
            ended = 1 if text[-1:].isspace() else 0
            first = max(0, len(pieces) - self._most_words + ended)
            while first > 0 and _can_be_spelt(pieces[first - 1][0]):
                first -= 1
            if first < len(pieces):
                until = min(until, max(pieces[first].start(), size - _LONGEST_WORD))
        return max(0, until)


def _is_letter(chunk: str) -> bool:
    return len(chunk.strip(_EDGES)) == 1


def _can_be_spelt(piece: str) -> bool:
    return _is_letter(piece) and not _NO_SPACES.match(piece)


def _places(chunk: str) -> Iterator[list[str]]:
    """The words of a piece between spaces, in order, each in the ways in which it can be read."""
    words, dressed = _WORD.findall(chunk), _DRESSED.findall(chunk)
    if len(dressed) == 1:  # bad!, b@d: with its signs, and what stands between them
        yield _readings(dressed[0], *words)
        return
    for word in words:
        yield _readings(word)


def _readings(*words: str) -> list[str]:
    """Words as they stand, and with drawn-out letters as one and as two."""
    found = dict.fromkeys(words)
    for word in words:
        if _DRAWN_OUT.search(word):
            found[_DRAWN_OUT.sub(r"\1", word)] = None
            found[_DRAWN_OUT.sub(r"\1\1", word)] = None
    return list(found)


def _choices(places: Sequence[Sequence[str]]) -> Iterator[Words]:
    """Ways to read some places in a row; those of a phrase are read alike throughout."""
    for way in range(max(map(len, places))):
        yield tuple(readings[min(way, len(readings) - 1)] for readings in places)


def _skeleton(word: str) -> str:
    """A word in the form that all that may stand for it share; a number stands for itself."""
    return word.translate(_SAME) if any(c.isalpha() for c in word) else word


def _stands_for(word: str, entry: str) -> bool:
    """Whether each character is the entry's, or is written for it."""
    return len(word) == len(entry) and all(
        seen == meant or meant in STAND_INS.get(seen, "")
        for seen, meant in zip(word, entry, strict=True)
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingError(
            f"cannot read the block list: {reason}", where="safeguards.block_list", value=path
        ) from None
