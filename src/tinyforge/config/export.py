"""Settings of exporting: what is made, and what it has to hold."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tinyforge.config.base import Stage
from tinyforge.config.data import DataSettings
from tinyforge.config.evaluate import EvaluateSettings, GenerateSettings
from tinyforge.config.settings import Settings
from tinyforge.errors import SettingError

Format = Literal["onnx", "safetensors", "gguf"]
AskedPrecision = Literal["fp32", "bf16", "fp16", "int8", "int4", "auto"]

PRECISIONS: dict[str, tuple[str, ...]] = {
    "onnx": ("fp32", "bf16", "fp16", "int8", "int4", "auto"),
    "safetensors": ("fp32", "bf16", "fp16"),
    "gguf": ("fp32", "bf16", "fp16", "int8", "int4"),
}
"""Format to what its weights can be stored in."""

LARGEST_DROP = 0.1


class ExportSettings(Stage):
    """What is written, and how the gate judges it."""

    format: Format = Field(
        "onnx",
        description="onnx: answers without torch; safetensors: a plain Hugging Face folder; gguf: "
        "for llama.cpp and Ollama.",
    )
    precision: AskedPrecision = Field(
        "fp32",
        description="How the weights are stored; auto: the smallest that holds.",
    )
    max_drop: float = Field(
        0.005,
        ge=0,
        le=LARGEST_DROP,
        description="How much of the headline metric may be lost: 0.005 is half a point of "
        "accuracy, F1, BLEU or chrF, and half a per cent of bits per byte or perplexity.",
    )
    strict: bool = Field(
        False,
        description="Refuse also where the test rows are too few to rule a larger drop out.",
    )
    compared_rows: int = Field(
        32, ge=1, description="Rows on which the logits are compared with the source's."
    )
    compared_tokens: int = Field(
        24, ge=1, description="Tokens of each answer whose logits are compared, at most."
    )
    golden_rows: int = Field(
        16,
        ge=0,
        description="Test rows that are stored in the folder with their answers, for verify to "
        "ask again; 0: only made-up texts, where rows must not leave the house.",
    )
    calibration_rows: int = Field(
        128, ge=1, description="Training rows that a smaller model is adjusted to, at most."
    )
    left_out: int = Field(
        8,
        ge=0,
        description="Layers that stay in full precision, at most, where making them smaller does "
        "harm.",
    )
    seed: int = Field(0, ge=0, description="Seed of the choice of rows and of the resamples.")


class ExportRunSettings(Stage):
    """Everything that can be set for ``tinyforge export``."""

    export: ExportSettings = ExportSettings()
    data: DataSettings = DataSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    generate: GenerateSettings = GenerateSettings()

    def judging(self) -> Settings:
        """The same in the words of ``tinyforge evaluate``."""
        return Settings.model_validate(
            {
                "data": self.data, "evaluate": self.evaluate, "generate": self.generate,
                "train": {"seed": self.export.seed},
            }
        )  # fmt: skip


def check_export(settings: ExportRunSettings) -> None:
    """Refuse a precision that the format does not have.

    Raises:
        SettingError: with what the format has.
    """
    chosen = settings.export
    if chosen.precision not in PRECISIONS[chosen.format]:
        raise SettingError(
            f"{chosen.format} cannot be written so", where="export.precision",
            value=chosen.precision, fix=f"Choose one of: {', '.join(PRECISIONS[chosen.format])}",
        )  # fmt: skip


def share(value: Any, where: str = "--max-drop") -> float:
    """A share as people write it: ``0.5%`` or 0.005.

    Raises:
        SettingError: it is no number, or larger than any drop worth shipping, as 0.5 is where
            somebody meant half a per cent.
    """
    text = str(value).strip()
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not 0 <= found <= LARGEST_DROP:
        raise SettingError(
            f"must be a share from 0 to {LARGEST_DROP:.0%}", where=where, value=value,
            fix="Write for example 0.5%, which is 0.005",
        )  # fmt: skip
    return found
