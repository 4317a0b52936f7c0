"""Settings of making a model smaller: what is cut, how it recovers, what is measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tinyforge.config.base import Stage
from tinyforge.config.data import DataSettings
from tinyforge.config.evaluate import EvaluateSettings, GenerateSettings
from tinyforge.config.train import TrainSettings


class PruneSettings(Stage):
    """What is cut."""

    share: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of every layer's feed-forward units that goes, and of its attention "
        "heads where the architecture can miss some; default: 0.25 where nothing else is cut.",
    )
    heads: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of the attention heads that goes; default: prune.share where the "
        "architecture can miss some.",
    )
    layers: int | None = Field(
        None, ge=1, description="Layers that stay, of encoder and decoder each; default: all."
    )
    vocabulary: bool = Field(
        False, description="Cut the tokens that the rows outside the test do not use."
    )
    rows: int = Field(
        512, ge=1, description="Training rows on which it is measured what matters, at most."
    )
    passes: int = Field(
        4,
        ge=1,
        description="Passes in which units and heads go; what is left is measured anew between "
        "them.",
    )


class RecoverSettings(Stage):
    """The short training after the cut, in which the whole model teaches the smaller one."""

    steps: int | None = Field(
        None,
        ge=0,
        description="Optimizer steps; 0: none; default: two passes over the rows, from 100 to "
        "1,000 steps.",
    )
    teacher_share: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Share of the loss that is what the whole model says; the rest is the right "
        "answer.",
    )
    softness: float = Field(
        2.0,
        gt=0,
        description="Temperature of that part: above 1 the less likely answers count for more.",
    )


class ParetoSettings(Stage):
    """What is measured for the page to choose from."""

    precisions: tuple[Literal["fp32", "bf16", "fp16", "int8", "int4"], ...] = Field(
        ("fp32", "int8", "int4"),
        description="Exports of every model that are measured, by the precision of their weights; "
        "none: only the models themselves.",
    )
    shares: tuple[float, ...] = Field(
        (),
        description="Further values of prune.share that are tried for the page; their models are "
        "measured and not kept.",
    )
    rounds: int = Field(
        5, ge=1, description="Times that every speed is measured, all variants in turn."
    )
    seconds: float = Field(2.0, gt=0, description="How long a variant answers in a round, about.")
    max_drop: float = Field(
        0.5,
        ge=0,
        description="Drop of the headline metric that is still taken for as good, in percent of "
        "its scale (percentage points of a share).",
    )
    calibration_rows: int = Field(
        128, ge=1, description="Training rows that quantizing may look at, at most."
    )


class CompressModelSettings(Stage):
    """How the model is loaded."""

    trust_remote_code: bool = Field(
        False, description="Run Python code that comes with the model. Off unless you trust it."
    )


class CompressSettings(Stage):
    """Everything that can be set for ``tinyforge compress``."""

    prune: PruneSettings = PruneSettings()
    recover: RecoverSettings = RecoverSettings()
    pareto: ParetoSettings = ParetoSettings()
    model: CompressModelSettings = CompressModelSettings()
    data: DataSettings = DataSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    generate: GenerateSettings = GenerateSettings()
