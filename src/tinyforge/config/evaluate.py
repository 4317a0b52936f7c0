"""Settings of judging, and of generating answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from tinyforge.config.base import Stage


class EvaluateSettings(Stage):
    """How a model is judged."""

    bootstrap_samples: int = Field(2000, ge=100, description="Resamples behind the 95 % intervals.")
    max_rows: int | None = Field(
        None,
        ge=1,
        description="Judge on no more than this many test rows; default: all, and "
        "1,000 where answers are generated.",
    )
    metrics: tuple[Literal["ter", "sari"], ...] = Field(
        (),
        description="Metrics of written answers to measure where the rows do not call for them: "
        "ter (long texts take long), sari.",
    )
    join_references: bool = Field(
        False,
        description="Rows with the same input are one row with several references (written "
        "answers).",
    )
    window: int | None = Field(
        None,
        ge=2,
        description="Tokens a decoder reads at once where the likelihood of a long text is "
        "measured; default: all that the model can read.",
    )
    stride: int | None = Field(
        None,
        ge=1,
        description="Tokens by which that window moves on: each is measured after at least "
        "window - stride others; default: half the window.",
    )
    baselines: bool = Field(True, description="Compare with simple baselines.")
    baseline_models: tuple[str, ...] = Field(
        (), description="Other models to compare with, scored on the same rows."
    )
    few_shot: int = Field(
        4,
        ge=0,
        description="Training rows that the model before training is shown, the most similar "
        "ones to each question, as a baseline; 0: no such baseline.",
    )
    prompt_rows: int = Field(
        500,
        ge=1,
        description="Test rows, chosen at random, that a prompted baseline is judged on, at most.",
    )
    prompt_seconds: float = Field(
        60.0,
        gt=0,
        description="A prompted baseline that would take longer than this is left out, with a "
        "note.",
    )
    target_accuracy: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Accuracy wanted of the answers that are given; chooses, on the validation "
        "rows, the confidence below which the model should not answer.",
    )
    alarm_labels: tuple[str, ...] = Field(
        (),
        description="Labels that raise an alarm, toxic for example: the probability from which on "
        "they do is chosen on the validation rows.",
    )
    alarm_rate: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="False alarms allowed, as a share of the rows with other labels.",
    )
    out_of_scope: str | None = Field(
        None, description="File of rows that no label fits, to see whether the model can tell."
    )
    training_rows: str | None = Field(
        None,
        description="File of the rows that the model learnt from, to count the judged rows among "
        "them; default: the run's own, where they are still there.",
    )
    label_errors: bool | None = Field(
        None,
        description="Look for wrong labels among the rows: five quick models learn them, with the "
        "help of a pretrained encoder; default: without that help, and where it takes seconds.",
    )
    learning_curve: bool = Field(
        False,
        description="Train also on 1/8, 1/4 and 1/2 of the rows, to see whether more would help.",
    )


class GenerateSettings(Stage):
    """How text is generated. The defaults are greedy."""

    max_new_tokens: int | None = Field(
        None, ge=1, description="Tokens written, at most; default: what training answers need."
    )
    temperature: float = Field(0.0, ge=0, description="0 is greedy; higher is more random.")
    top_k: int = Field(0, ge=0, description="Sample among the k likeliest tokens; 0: all.")
    top_p: float = Field(1.0, gt=0, le=1, description="Sample within this probability mass.")
    num_beams: int = Field(1, ge=1, description="Beams of beam search; 1 is none.")
    stop: tuple[str, ...] = Field((), description="Strings that end the answer.")
    seed: int | None = Field(None, ge=0, description="Seed of sampling.")
    batch_size: int = Field(32, ge=1, description="Rows answered together.")
    logprobs: int | None = Field(
        None,
        ge=0,
        le=20,
        description="Tell each written token's log-probability, and those of so many likeliest "
        "tokens at its place; default: none are told.",
    )
    json_schema: Mapping[str, Any] | None = Field(
        None,
        description="The answer is JSON that this schema admits (JSON Schema); {}: any JSON "
        "object. Default: any text.",
    )
