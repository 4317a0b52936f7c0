"""Settings of reading, checking and splitting the user's rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tinyforge.config.base import Stage


class DataSettings(Stage):
    """How rows are read and split. ``None`` means: found from the data."""

    input: str | None = Field(None, description="Column given to the model.")
    output: str | None = Field(None, description="Column to learn: answer, label or labels.")
    rejected: str | None = Field(
        None,
        description="Column of the worse answer (preference); data.output is then the better one.",
    )
    group: str | None = Field(
        None, description="Column whose equal values never stand on two sides of the split."
    )
    time: str | None = Field(
        None, description="Column to split by time: the newest rows become the test split."
    )
    format: Literal["jsonl", "json", "csv", "tsv", "parquet", "text"] | None = Field(
        None, description="File format, where the file name does not tell it."
    )
    licence: str | None = Field(
        None, description="Licence of the rows, for the model card, for example cc-by-4.0."
    )
    encoding: str | None = Field(
        None, description="Text encoding, where byte-order mark and UTF-8 do not tell it."
    )
    validation: str | None = Field(None, description="File of validation rows.")
    test: str | None = Field(None, description="File of test rows.")
    validation_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of rows for validation where no file is given; where it is not set, "
        "500 rows at most.",
    )
    test_share: float = Field(
        0.1, ge=0, lt=1, description="Share of rows for the test where no file is given."
    )
    multi_label: bool | None = Field(
        None, description="Whether a row may carry several labels; a list of labels means yes."
    )
    label_separator: str | None = Field(
        None, description="Splits a label cell into several labels, for example ','."
    )
    prefix: str | None = Field(
        None, description="Task prefix put before every input, for example 'translate: '."
    )
    system: str | None = Field(
        None, description="System message put before every chat that has none."
    )
    max_length: int | None = Field(
        None, ge=2, description="Input tokens kept; default: covers 99 % of rows."
    )
    max_output_length: int | None = Field(
        None, ge=2, description="Answer tokens kept (encoder-decoder); default: covers 99 %."
    )
    allow_cut: bool = Field(
        False,
        description="Train though more than 1 % of answers are cut, or a row teaches nothing.",
    )
    near_duplicate: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Jaccard similarity of 5-character shingles from which rows count as "
        "near-duplicates; 1 means exact duplicates only.",
    )
    keep_leaks: bool = Field(
        False, description="Keep training rows that repeat a row of the given test file."
    )
    max_rows: int | None = Field(None, ge=1, description="Read no more than this many rows.")
    max_row_bytes: int = Field(
        16_000_000, ge=1_000, description="A longer row is rejected (bytes)."
    )
    max_file_bytes: int | None = Field(
        None,
        ge=1,
        description="Stop a compressed file that unpacks to more than this (bytes); "
        "default: 200 times its size on disk, at least 1 GB.",
    )
    min_rows: int = Field(2, ge=1, description="Fewer usable rows stop the run.")
    max_rejected_share: float = Field(
        0.5, ge=0, le=1, description="A larger share of rejected rows stops the run."
    )
