"""Settings of what stands between a served model and the world."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tinyforge.config.base import Stage

Side = Literal["off", "input", "output", "both"]
PersonalDataKind = Literal["email", "phone", "card", "iban", "ip", "key", "national_id"]


class SafeguardSettings(Stage):
    """What is refused, masked or left unanswered, and what is watched."""

    refusal: str = Field(
        "This request cannot be answered here.",
        description="Text that stands in the place of what a safeguard refuses.",
    )
    personal_data: Side = Field(
        "off", description="Mask personal data in what is asked, in what is answered, or in both."
    )
    personal_data_kinds: tuple[PersonalDataKind, ...] = Field(
        ("email", "phone", "card", "iban", "ip", "key", "national_id"),
        description="Kinds of personal data that are masked.",
    )
    personal_data_label: str = Field(
        "<{kind}>", description="What stands for masked data; {kind} is its kind."
    )
    block_list: str | None = Field(
        None,
        description="File of words, phrases and /regular expressions/, one a line, that are "
        "refused.",
    )
    block_list_on: Literal["input", "output", "both"] = Field(
        "both", description="Where the block list holds."
    )
    toxicity_model: str | None = Field(
        None, description="Folder of a classifier that tells toxic text; what it finds is refused."
    )
    toxicity_on: Literal["input", "output", "both"] = Field(
        "both", description="Where the classifier of toxic text looks."
    )
    toxicity_labels: tuple[str, ...] = Field(
        (),
        description="Labels of that classifier that mean toxic; default: those of "
        "evaluate.alarm_labels when it was trained.",
    )
    toxicity_threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Probability of these labels above which a text is refused; default: what was "
        "chosen on validation rows when it was trained.",
    )
    jailbreak: bool = Field(
        False, description="Refuse what reads like a known way to talk a model out of its rules."
    )
    jailbreak_allowed: tuple[str, ...] = Field(
        (), description="Names of patterns of jailbreak that are let through."
    )
    abstain: bool = Field(
        False, description="Answer abstain_text where the model is not sure enough."
    )
    abstain_below: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Confidence below which it is not; default: what was chosen on validation "
        "rows when the served model was trained (evaluate.target_accuracy).",
    )
    abstain_text: str = Field(
        "I don't know.", description="The answer where the model is not sure enough."
    )
    hold_back: int = Field(
        200,
        ge=32,
        le=10_000,
        description="Characters of a streamed answer kept back for regular expressions of the "
        "block list, and the longest sentence that the toxicity classifier waits for.",
    )
    drift: bool = Field(
        True, description="Compare what is asked and answered with the training data, in /metrics."
    )
    drift_window: int = Field(
        1_000, ge=100, le=100_000, description="The latest texts that are compared."
    )
    drift_first: int = Field(
        500,
        ge=100,
        le=100_000,
        description="Texts that are taken as the reference where the model brings none.",
    )
    drift_line: float = Field(
        0.25,
        gt=0,
        description="Population stability index above which a figure raises its alarm.",
    )
