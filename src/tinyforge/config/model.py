"""Settings of the model that is trained."""

from __future__ import annotations

from pydantic import Field

from tinyforge.config.base import Stage


class ModelSettings(Stage):
    """Which model, and how it is loaded."""

    name: str = Field("auto", description="Hub id, local folder, scratch:PRESET, or auto.")
    revision: str | None = Field(None, description="Branch, tag or commit of a hub model.")
    trust_remote_code: bool = Field(
        False, description="Run Python code that comes with the model. Off unless you trust it."
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="Dropout rate of all layers; default: the model's own."
    )
    vocab_size: int | None = Field(
        None, ge=64, description="Vocabulary of a tokenizer trained for a scratch model."
    )
    shape: dict[str, int] = Field(
        default_factory=dict,
        description="Sizes of a scratch model that differ from its preset, by the names of the "
        "Hugging Face config, for example {'num_layers': 3}.",
    )


class LoraSettings(Stage):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), by the package peft."""

    enabled: bool = Field(False, description="Train low-rank adapters only.")
    r: int = Field(16, ge=1, description="Rank of the adapters.")
    alpha: float = Field(32, gt=0, description="Scale of the adapters: alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapters.")
    target_modules: tuple[str, ...] | None = Field(
        None, description="Names of the layers to adapt; default: every linear layer but the head."
    )
