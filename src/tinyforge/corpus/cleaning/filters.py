"""The filters: what each one measures, its limit, and where it comes from. This table is the truth.

A document filter turns a document away; a line filter takes lines out. Which of them are used is
told by the recipes (``recipes.py``) and by the settings ``clean.with_filters``,
``clean.without_filters`` and ``clean.limits``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tinyforge.corpus.cleaning.measure import Measured

_GOPHER = "Gopher (Rae et al. 2021, A1.1)"
_C4 = "C4 (Raffel et al. 2020, 2.2)"
_FINEWEB = "FineWeb (Penedo et al. 2024, 3.6)"
_CODEX = "Codex (Chen et al. 2021, 3.1)"


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter.

    Attributes:
        name: also the reason that a dropped document is given.
        meaning: what is measured, in words.
        side: the limit is the ``least`` or the ``most`` that is kept.
        limit: the default; None where the rule has no number.
        source: project and paper.
        scope: ``document`` or ``line``.
        needs: ``spaces`` between words, or ``english``; without them the filter does not speak.
    """

    name: str
    meaning: str
    side: Literal["least", "most"]
    limit: float | None
    source: str
    scope: Literal["document", "line"] = "document"
    needs: Literal["", "spaces", "english"] = ""

    def keeps(self, value: float, limit: float) -> bool:
        """Whether a document with this value stays."""
        return value >= limit if self.side == "least" else value <= limit


def _gopher(name: str, meaning: str, side: Literal["least", "most"], limit: float) -> Filter:
    return Filter(f"gopher.{name}", meaning, side, limit, _GOPHER, needs="spaces")


FILTERS: tuple[Filter, ...] = (
    # Lines, taken out before documents are judged.
    Filter("c4.citations", "citation marks such as [1] within lines", "most", None, _C4, "line"),
    Filter("c4.few_words", "words of a line", "least", 3, _C4, "line", "spaces"),
    Filter("c4.terminal", "lines that end without punctuation", "most", None, _C4, "line"),
    Filter("c4.long_words", "characters of a line's longest word", "most", 1000, _C4, "line"),
    Filter("c4.javascript", "lines that name JavaScript", "most", None, _C4, "line"),
    Filter("c4.policy", "lines on cookies, privacy or terms of use", "most", None, _C4, "line"),
    # Documents: the cheap ones first.
    _gopher("short", "words", "least", 50),
    _gopher("long", "words", "most", 100_000),
    Filter("c4.curly_brackets", "curly brackets", "most", 0, _C4),
    Filter("c4.lorem_ipsum", "places of 'lorem ipsum'", "most", 0, _C4),
    Filter("c4.bad_words", "words of the list clean.bad_words", "most", 0, _C4),
    _gopher("short_words", "mean characters of a word", "least", 3),
    _gopher("long_words", "mean characters of a word", "most", 10),
    _gopher("hash_marks", "# for each word", "most", 0.1),
    _gopher("ellipses", "ellipses for each word", "most", 0.1),
    _gopher("letters", "share of words with a letter", "least", 0.8),
    Filter("gopher.stop_words", "different stop words of English", "least", 2, _GOPHER,
           needs="english"),
    _gopher("bullets", "share of lines that start with a bullet", "most", 0.9),
    _gopher("ellipsis_lines", "share of lines that end with an ellipsis", "most", 0.3),
    Filter("c4.sentences", "sentences", "least", 3, _C4),
    Filter("fineweb.punctuation", "share of lines that end with punctuation", "least", 0.12,
           _FINEWEB),
    Filter("fineweb.short_lines", "share of lines of 30 characters or fewer", "most", 0.67,
           _FINEWEB, needs="spaces"),
    Filter("fineweb.duplicate_lines", "share of characters in repeated lines", "most", 0.1,
           _FINEWEB),
    Filter("codex.mean_line", "mean characters of a line", "most", 100, _CODEX),
    Filter("codex.longest_line", "characters of the longest line", "most", 1000, _CODEX),
    Filter("codex.alphanumeric", "share of letters and digits", "least", 0.25, _CODEX),
    _gopher("duplicate_lines", "share of lines that are repeated", "most", 0.3),
    _gopher("duplicate_line_characters", "share of characters in repeated lines", "most", 0.2),
    _gopher("duplicate_paragraphs", "share of paragraphs that are repeated", "most", 0.3),
    _gopher("duplicate_paragraph_characters", "share of characters in repeated paragraphs",
            "most", 0.2),
    _gopher("top_2_grams", "share of characters in the most frequent 2-gram", "most", 0.2),
    _gopher("top_3_grams", "share of characters in the most frequent 3-gram", "most", 0.18),
    _gopher("top_4_grams", "share of characters in the most frequent 4-gram", "most", 0.16),
    _gopher("duplicate_5_grams", "share of characters in repeated 5-grams", "most", 0.15),
    _gopher("duplicate_6_grams", "share of characters in repeated 6-grams", "most", 0.14),
    _gopher("duplicate_7_grams", "share of characters in repeated 7-grams", "most", 0.13),
    _gopher("duplicate_8_grams", "share of characters in repeated 8-grams", "most", 0.12),
    _gopher("duplicate_9_grams", "share of characters in repeated 9-grams", "most", 0.11),
    _gopher("duplicate_10_grams", "share of characters in repeated 10-grams", "most", 0.1),
)  # fmt: skip

BY_NAME = {filter_.name: filter_ for filter_ in FILTERS}

_SHORT_LINE = 30


def _ngram_share(length: int) -> Callable[[Measured], float]:
    return lambda text: text.ngram_shares[length]


VALUES: dict[str, Callable[[Measured], float]] = {
    "gopher.short": lambda text: text.word_count,
    "gopher.long": lambda text: text.word_count,
    "gopher.short_words": lambda text: text.mean_word,
    "gopher.long_words": lambda text: text.mean_word,
    "gopher.hash_marks": lambda text: text.hash_marks,
    "gopher.ellipses": lambda text: text.ellipses,
    "gopher.letters": lambda text: text.lettered_words,
    "gopher.stop_words": lambda text: text.stop_words,
    "gopher.bullets": lambda text: text.bullet_lines,
    "gopher.ellipsis_lines": lambda text: text.ellipsis_lines,
    "gopher.duplicate_lines": lambda text: text.copied_lines[0],
    "gopher.duplicate_line_characters": lambda text: text.copied_lines[1],
    "gopher.duplicate_paragraphs": lambda text: text.copied_paragraphs[0],
    "gopher.duplicate_paragraph_characters": lambda text: text.copied_paragraphs[1],
    **{
        f"gopher.{'top' if length < 5 else 'duplicate'}_{length}_grams": _ngram_share(length)
        for length in range(2, 11)
    },
    "c4.sentences": lambda text: text.sentences,
    "c4.curly_brackets": lambda text: text.text.count("{"),
    "c4.lorem_ipsum": lambda text: text.lorem_ipsum,
    "fineweb.punctuation": lambda text: text.punctuated_lines,
    "fineweb.short_lines": lambda text: text.lines_up_to(_SHORT_LINE),
    "fineweb.duplicate_lines": lambda text: text.copied_lines[1],
    "codex.mean_line": lambda text: text.mean_line,
    "codex.longest_line": lambda text: text.longest_line,
    "codex.alphanumeric": lambda text: text.alphanumeric,
}
"""How each document filter measures; ``c4.bad_words`` needs the user's list (``bad_words.py``)."""
