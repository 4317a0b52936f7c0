"""Settings of removing what a corpus holds more than once."""

from __future__ import annotations

from pydantic import Field

from tinyforge.config.base import Stage


class DuplicateSettings(Stage):
    """Which documents, lines and passages count as repeats of others."""

    exact: bool = Field(
        True,
        description="Drop documents that are equal to an earlier one but for case, accents, "
        "punctuation and white space.",
    )
    similarity: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Jaccard similarity of character shingles from which a document counts as a "
        "near-duplicate and is dropped; 1 means exact duplicates only.",
    )
    shingle: int = Field(8, ge=2, le=64, description="Letters and digits of a shingle.")
    containment: float = Field(
        0.6,
        gt=0,
        le=1,
        description="Share of a long document's passages that stand in another document from which "
        "it counts as a part or another edition of it and is dropped; 1 means never.",
    )
    long_document: int = Field(
        20_000,
        ge=1_000,
        description="Characters from which a document is long, so that it is also compared by its "
        "passages.",
    )
    line_documents: int = Field(
        10,
        ge=0,
        description="A line that stands in at least so many documents is kept only where it "
        "stands first; 0 keeps every line.",
    )
    line_characters: int = Field(
        40, ge=1, description="Shorter lines are never dropped as repeats (characters)."
    )
    passage_words: int = Field(
        50,
        ge=0,
        description="A passage of at least so many words that stands in an earlier document is "
        "dropped; 0 keeps every passage.",
    )
    passage_documents: int = Field(
        2, ge=2, description="A repeated passage is dropped if so many documents hold it."
    )
    memory: int = Field(
        64,
        ge=16,
        description="Megabytes that sorting may take; what is more goes through the disk.",
    )
