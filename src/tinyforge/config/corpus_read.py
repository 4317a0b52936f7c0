"""Settings of reading raw text: what counts as one document, and the limits of hostile files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tinyforge.config.base import Stage


class ReadSettings(Stage):
    """How files, archives, tables and data sets become documents."""

    encoding: str | None = Field(
        None,
        description="Encoding of plain text, mark-up, code and tables without a byte-order mark; "
        "default: UTF-8 where it is valid, else found from the bytes.",
    )
    lines: bool = Field(
        False, description="Each line of a plain text file is one document, not the whole file."
    )
    markup: Literal["keep", "text"] = Field(
        "keep",
        description="Markdown and reStructuredText: keep the source as its author wrote it, or "
        "only its readable text.",
    )
    html: Literal["article", "page"] = Field(
        "article",
        description="Web pages: only the article, without menus and advertisements, or all text.",
    )
    generated_code: bool = Field(
        False, description="Read vendored, generated and minified source code too."
    )
    text_column: str | None = Field(
        None,
        description="Column of the text in rows; default: known by its name (text, content, "
        "document and the like).",
    )
    meta_columns: tuple[str, ...] | None = Field(
        None,
        description="Columns kept beside the text; default: those called url, title, date, "
        "author, licence, language or id.",
    )
    max_characters: int = Field(
        10_000_000, ge=1_000, description="A longer text is one document no more (characters)."
    )
    long_text: Literal["cut", "reject"] = Field(
        "cut",
        description="A longer text is cut between paragraphs into documents, or rejected.",
    )
    max_row_bytes: int = Field(
        16_000_000, ge=1_000, description="A longer row or line is rejected (bytes)."
    )
    max_file_bytes: int = Field(
        100_000_000,
        ge=1_000,
        description="Larger files of a kind that is read as a whole (PDF, DOCX, HTML, code, "
        "mark-up turned to text; also records of a WARC) are rejected (bytes).",
    )
    max_unpacked_bytes: int | None = Field(
        None,
        ge=1_000,
        description="Stop a compressed file or archive that unpacks to more than this (bytes); "
        "default: 200 times its size on disk, at least 1 GB.",
    )
    max_depth: int = Field(
        4, ge=0, description="Archives and packings inside each other; deeper ones are rejected."
    )
    max_members: int = Field(
        1_000_000, ge=1, description="A ZIP file with more members is rejected."
    )
    parser_seconds: int = Field(
        60,
        ge=1,
        description="Processor seconds for one PDF, DOCX, HTML or reStructuredText document.",
    )
    parser_bytes: int = Field(
        1_500_000_000,
        ge=200_000_000,
        description="Memory for parsing one such document (bytes); without effect on Windows.",
    )
