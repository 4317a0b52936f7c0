"""Settings of preparing raw text: all stages of ``tinyforge prepare``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tinyforge.config.base import Stage
from tinyforge.config.corpus_clean import CleanSettings
from tinyforge.config.corpus_duplicates import DuplicateSettings
from tinyforge.config.corpus_read import ReadSettings


class SplitSettings(Stage):
    """How documents are held out. Near-duplicates never stand on two sides."""

    validation_share: float = Field(
        0.02, ge=0, lt=1, description="Share of each source that is held out for validation."
    )
    test_share: float = Field(
        0.02, ge=0, lt=1, description="Share of each source that is held out for the test."
    )
    by: Literal["characters", "documents"] = Field(
        "characters", description="What the shares are shares of."
    )


class PrepareSettings(Stage):
    """Everything that can be set for ``tinyforge prepare``."""

    read: ReadSettings = ReadSettings()
    clean: CleanSettings = CleanSettings()
    duplicates: DuplicateSettings = DuplicateSettings()
    split: SplitSettings = SplitSettings()
    weights: dict[str, float] = Field(
        {},
        description="How often a source is seen in training, by its name: 2 is twice as often as "
        "it is long, 0.5 half as often; recorded for the mix, default 1.",
    )
    shard_characters: int = Field(
        50_000_000, ge=1, description="Characters of text in one Parquet file, about."
    )
    keep_dropped: bool = Field(
        False,
        description="Keep the whole text of documents that cleaning turned away, unmasked, beside "
        "the reason; default: its first characters.",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the split.")
    workers: int | None = Field(
        None, ge=1, description="Worker processes; changes no result; default: one a core."
    )
    worker_memory: int | None = Field(
        None,
        ge=200_000_000,
        description="Memory one worker may take (bytes); a file that needs more is turned away; "
        "default: its share of what is free at the start.",
    )
    patience: float = Field(
        300.0,
        gt=0,
        description="Seconds that a worker may take over one document before its file is turned "
        "away.",
    )


NO_MATTER: Any = {
    "workers": True, "worker_memory": True, "patience": True, "duplicates": {"memory"},
}  # fmt: skip
"""Settings that a run may be resumed with other values of."""
