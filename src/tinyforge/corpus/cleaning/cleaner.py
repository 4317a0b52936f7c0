"""Clean one document: mend, judge, decontaminate, mask; say what was done or why it goes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from tinyforge.config.corpus_clean import CleanSettings
from tinyforge.corpus.cleaning.bad_words import BadWords
from tinyforge.corpus.cleaning.characters import WORD, classes_of
from tinyforge.corpus.cleaning.contamination import ContaminationIndex, without_hits
from tinyforge.corpus.cleaning.filters import BY_NAME, VALUES
from tinyforge.corpus.cleaning.language import LanguageFinder
from tinyforge.corpus.cleaning.lines import keep_lines
from tinyforge.corpus.cleaning.measure import Measured
from tinyforge.corpus.cleaning.mend import mend
from tinyforge.corpus.cleaning.normalise import normalise
from tinyforge.corpus.cleaning.recipes import Chosen, choose_filters, recipe_of
from tinyforge.records.documents import Document, Dropped
from tinyforge.safety.personal_data import check_names_model, mask

EXCERPT = 200
"""Characters of a dropped document that are shown, personal data masked."""

_LONGEST_MISSING = 40
_COMMON_MARKS = " \t\n.,;:!?'\"()-’‘“”–—…"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of a document.

    Attributes:
        result: the clean document, or why it is not used.
        changes: what was done and how often, for example ``{"mended": 1, "masked.email": 2,
            "lines.c4.javascript": 3}``; what applies to a text as a whole counts once.
    """

    result: Document | Dropped
    changes: dict[str, int] = field(default_factory=dict)


class _Fault(Exception):  # noqa: N818 - it carries a reason up to Cleaner.clean
    def __init__(self, step: str, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.step, self.reason, self.detail = step, reason, detail


class Cleaner:
    """Cleans documents one by one; built once in each process.

    Args:
        settings: see ``CleanSettings``.
        contamination: the table that ``build_contamination_index`` wrote.

    Raises:
        SettingError: a filter, language or list of words is unknown.
        MissingPackageError: a package that the settings need is not installed.
    """

    def __init__(self, settings: CleanSettings, contamination: Path | None = None) -> None:
        self._settings = settings
        self._recipes = choose_filters(settings)
        self._bad_words = BadWords(settings.bad_words) if settings.bad_words else None
        self._missing = frozenset(value.strip().lower() for value in settings.missing_values)
        finds = settings.identify_language or bool(settings.languages)
        self._language = (
            LanguageFinder(settings.languages, settings.language_sample) if finds else None
        )
        self._index = ContaminationIndex(contamination) if contamination else None
        if settings.find_names:
            check_names_model(settings.names_model)

    def clean(self, document: Document) -> Cleaned:
        """A document's clean form, or the reason why it is turned away; never raises for either."""
        changes: dict[str, int] = {}
        recipe = self._recipes[recipe_of(document, self._settings)]
        try:
            text = self._whole(document, recipe, changes)
            measured = Measured(text)
            measured = self._with_good_lines(measured, recipe, changes)
            language = self._language_of(document, measured)
            self._judge(measured, recipe, language)
            text = self._decontaminated(measured.text, changes)
            text = self._without_personal_data(text, changes)
            text = self._rewritten(text, changes)
            if not text:
                raise _Fault("clean", "empty", "nothing is left after cleaning")
        except _Fault as fault:
            return Cleaned(self._dropped(document, fault), changes)
        kept = Document(document.id, text, document.source, language, document.meta)
        return Cleaned(kept, changes)

    def _whole(self, document: Document, recipe: Chosen, changes: dict[str, int]) -> str:
        """The text, mended and in normal form."""
        settings = self._settings
        for name in settings.required_meta:
            value = document.meta.get(name)
            if value is None or str(value).strip().lower() in ("", *self._missing):
                raise _Fault("clean", "missing field", f"its meta has no {name}")
        text = document.text
        mended = mend(text, entities=recipe.entities) if settings.mend else text
        if mended != text:
            changes["mended"] = 1
        text = normalise(mended, settings.normal_form)
        if text != mended:
            changes["normalised"] = 1
        if len(text) <= _LONGEST_MISSING and text.strip().lower() in ("", *self._missing):
            if not settings.missing_fill:
                raise _Fault("clean", "missing text" if text else "empty", text)
            changes["filled"] = 1
            text = settings.missing_fill
        return text

    def _with_good_lines(
        self, measured: Measured, recipe: Chosen, changes: dict[str, int]
    ) -> Measured:
        rules = recipe.lines
        if measured.unspaced:
            rules = tuple(name for name in rules if BY_NAME[name].needs != "spaces")
        text, removed = keep_lines(measured.text, rules, recipe.limits)
        for name, count in removed.items():
            changes[f"lines.{name}"] = count
        if not removed:
            return measured
        if not text.strip():
            raise _Fault("clean", "empty", "no line is left after the line filters")
        return Measured(text)

    def _language_of(self, document: Document, measured: Measured) -> str:
        finder, wanted = self._language, self._settings.languages
        if finder is None:
            return document.language
        if document.language:
            language = document.language.lower().partition("-")[0]
            probability = float(finder.wants(language))
        else:
            language, probability = finder.find(measured)
        if probability < self._settings.language_confidence:
            least = self._settings.language_confidence
            raise _Fault(
                "clean",
                "language",
                f"{language or 'no language'}; probability of {' or '.join(wanted)}: "
                f"{probability:.2f}, at least {least:g}",
            )
        return language

    def _judge(self, measured: Measured, recipe: Chosen, language: str) -> None:
        """Raise the fault of the first filter that turns the text away."""
        for name in recipe.documents:
            rule, limit = BY_NAME[name], recipe.limits[name]
            if rule.needs == "spaces" and measured.unspaced:
                continue
            if rule.needs == "english" and language != "en":
                continue
            if name == "c4.bad_words":
                word = self._bad_words.first(measured.text) if self._bad_words else ""
                if word:
                    raise _Fault("clean", name, f"holds {word!r}")
                continue
            value = VALUES[name](measured)
            if not rule.keeps(value, limit):
                side = "at least" if rule.side == "least" else "at most"
                raise _Fault("clean", name, f"{rule.meaning}: {value:.4g}, {side} {limit:g}")

    def _decontaminated(self, text: str, changes: dict[str, int]) -> str:
        hits = self._index.find(text) if self._index else []
        if not hits:
            return text
        settings = self._settings
        where = f"{hits[0].file}:{hits[0].row}"
        excerpt = " ".join(text[hits[0].start : hits[0].end].split())[:EXCERPT]
        detail = f"{where}: {excerpt!r} ({len(hits)} {'place' if len(hits) == 1 else 'places'})"
        if settings.contamination_action == "drop" or len(hits) > settings.contamination_places:
            raise _Fault("contamination", "evaluation text", detail)
        window = settings.contamination_window
        text = without_hits(text, hits, window, least=window)
        if not text:
            raise _Fault("contamination", "evaluation text", detail)
        for hit in hits:
            name = f"contamination.{hit.file}"
            changes[name] = changes.get(name, 0) + 1
        return text

    def _without_personal_data(self, text: str, changes: dict[str, int]) -> str:
        settings = self._settings
        if settings.personal_data == "keep":
            return text
        masked, counts = self._mask(text)
        if counts and settings.personal_data == "drop":
            found = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            raise _Fault("clean", "personal data", found)
        for kind, count in counts.items():
            changes[f"masked.{kind}"] = count
        return masked

    def _mask(self, text: str) -> tuple[str, dict[str, int]]:
        settings = self._settings
        return mask(
            text,
            settings.personal_kinds,
            label=None if settings.personal_data == "fake" else settings.mask_label,
            names_model=settings.names_model if settings.find_names else None,
        )

    def _rewritten(self, text: str, changes: dict[str, int]) -> str:
        """The text after the options that change how everything is written."""
        settings, before = self._settings, text
        if settings.straight_quotes:
            text = text.translate(_straight())
        if settings.lower_case:
            text = text.lower()
        if settings.remove_special:
            text = _special().sub("", text)
        if text == before:
            return text
        changes["rewritten"] = 1
        return normalise(text, settings.normal_form)

    def _dropped(self, document: Document, fault: _Fault) -> Dropped:
        # What is masked in kept documents must not come to light in the list of dropped ones.
        excerpt = document.text[: 2 * EXCERPT]
        detail = fault.detail
        if self._settings.personal_data != "keep":
            excerpt, detail = self._mask(excerpt)[0], self._mask(detail)[0]
        excerpt = normalise(excerpt)[:EXCERPT]
        return Dropped(
            document.id, document.source, fault.step, fault.reason, detail, excerpt,
            len(document.text),
        )  # fmt: skip


@cache
def _straight() -> dict[int, str]:
    """Curly quotation marks to straight ones."""
    return str.maketrans({**dict.fromkeys("‘’‚‛ʼ", "'"), **dict.fromkeys("“”„‟", '"')})


@cache
def _special() -> re.Pattern[str]:
    """What is no letter, mark, digit, white space or common punctuation."""
    plane = np.arange(1 << 16, dtype=np.uint32)
    kept = (classes_of(plane) & WORD) != 0
    edges = np.flatnonzero(np.diff(kept, prepend=False, append=False)).tolist()
    ranges = [f"\\u{a:04x}-\\u{b - 1:04x}" for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return re.compile(f"[^{''.join(ranges)}\\U00010400-\\U0001bcff\\U00020000-\\U0003ffff"
                      f"{re.escape(_COMMON_MARKS)}]")  # fmt: skip
