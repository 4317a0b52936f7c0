"""Settings of cleaning raw text: mending, language, filters, personal data, contamination."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tinyforge.config.base import Stage

RecipeName = Literal["auto", "web", "books", "technical", "chat", "code", "none"]
"""Sets of filters that fit a kind of text; see the table in ``corpus/cleaning/recipes.py``."""

PersonalKind = Literal["email", "phone", "card", "iban", "ip", "key", "national_id"]
"""What rules can find; names need a model (``find_names``)."""


class CleanSettings(Stage):
    """What is mended, turned away and masked in each document, in this order."""

    missing_values: tuple[str, ...] = Field(
        ("null", "none", "nan", "n/a", "na", "nil", "undefined", "[deleted]", "[removed]"),
        description="Documents that hold nothing but one of these, in any case, have no text.",
    )
    missing_fill: str | None = Field(
        None, description="Text put where there is none; default: the document is dropped."
    )
    required_meta: tuple[str, ...] = Field(
        (), description="Names in a document's meta without which it is dropped."
    )
    mend: bool = Field(
        True, description="Undo wrong decodings (mojibake), HTML entities and ligatures (ftfy)."
    )
    normal_form: Literal["NFC", "NFKC", "none"] = Field(
        "NFC", description="Unicode normal form; NFKC also rewrites what only looks different."
    )
    recipe: RecipeName = Field(
        "auto",
        description="Set of filters; auto decides for each document from its format: web pages, "
        "books (plain text), technical (Markdown, reStructuredText, PDF, DOCX), chat (short rows) "
        "or code.",
    )
    with_filters: tuple[str, ...] = Field(
        (), description="Filters to use besides the recipe's, for example c4.terminal."
    )
    without_filters: tuple[str, ...] = Field(
        (), description="Filters of the recipe to leave out, for example c4.curly_brackets."
    )
    limits: dict[str, float] = Field(
        {}, description="Other limits of filters by name, for example {gopher.short: 20}."
    )
    bad_words: str | None = Field(
        None,
        description="File of words and phrases, one a line: a document that holds one is dropped "
        "(filter c4.bad_words).",
    )
    identify_language: bool = Field(
        True, description="Find the language of each document that does not name its own."
    )
    languages: tuple[str, ...] = Field(
        (), description="ISO 639-1 codes of the languages to keep; default: all."
    )
    language_confidence: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Probability of the wanted languages together from which a text is kept.",
    )
    language_sample: int = Field(
        900, ge=100, description="Characters by which the language is identified."
    )
    contamination: tuple[str, ...] = Field(
        (), description="Evaluation files whose text must not stand in the corpus."
    )
    contamination_words: int = Field(
        13, ge=4, le=64, description="Words in a row that count as evaluation text."
    )
    contamination_least_words: int = Field(
        8,
        ge=2,
        le=64,
        description="Shortest evaluation text that is looked for, as a whole; shorter ones are "
        "everyday language.",
    )
    contamination_action: Literal["cut", "drop"] = Field(
        "cut", description="Cut the passage and its surroundings out, or drop the document."
    )
    contamination_window: int = Field(
        200, ge=0, description="Characters cut out on each side of evaluation text."
    )
    contamination_places: int = Field(
        10, ge=1, description="A document with evaluation text in more places is dropped."
    )
    personal_data: Literal["mask", "fake", "drop", "keep"] = Field(
        "mask",
        description="Personal data is replaced by mask_label, or by invented data of the same "
        "kind; or the document is dropped; or nothing is done.",
    )
    personal_kinds: tuple[PersonalKind, ...] = Field(
        ("email", "phone", "card", "iban", "ip", "key", "national_id"),
        description="Kinds of personal data to look for.",
    )
    mask_label: str = Field(
        "<{kind}>", description="What stands for masked data; {kind} is its kind."
    )
    find_names: bool = Field(
        False, description="Look for people's names too (needs presidio-analyzer; slow)."
    )
    names_model: str = Field(
        "en_core_web_sm", description="spaCy model for names; it must be installed."
    )
    straight_quotes: bool = Field(False, description="Write curly quotation marks straight.")
    lower_case: bool = Field(False, description="Write everything in lower case.")
    remove_special: bool = Field(
        False,
        description="Remove all but letters, digits, white space and common punctuation.",
    )
