"""Settings of a search for settings."""

from __future__ import annotations

from pydantic import Field

from tinyforge.config.base import Stage
from tinyforge.config.settings import Settings


class TuneSettings(Stage):
    """What is searched, and for how long."""

    trials: int | None = Field(
        None,
        ge=2,
        description="Trials, that of the default settings counted; default: 10, or with "
        "tune.max_minutes as many as fit.",
    )
    max_minutes: float | None = Field(
        None,
        gt=0,
        description="Minutes for all trials together; judging the winner comes on top.",
    )
    search: dict[str, str] = Field(
        default_factory=dict,
        description="Settings to search, each by its name: LOW..HIGH, or values with commas "
        "between them, for example {train.learning_rate: 1e-5..1e-3}.",
    )
    usual: bool = Field(
        True,
        description="Search also over what is usual for the model and the rows; false: over "
        "tune.search alone.",
    )
    prune: bool = Field(
        True,
        description="Stop a trial that, at a quarter, half or three quarters of its way, is worse "
        "than the median of the finished ones was there.",
    )


class TuneRunSettings(Settings):
    """Everything that can be set for ``tinyforge tune``: all of a training run, and the search."""

    tune: TuneSettings = TuneSettings()
