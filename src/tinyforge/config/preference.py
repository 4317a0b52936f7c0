"""Settings of learning from preferences."""

from __future__ import annotations

from pydantic import Field

from tinyforge.config.base import Stage


class PreferenceSettings(Stage):
    """Direct preference optimisation (DPO, Rafailov et al. 2023, arXiv:2305.18290)."""

    beta: float = Field(
        0.1,
        gt=0,
        description="How strongly the model is held to what it was before: small lets it move far "
        "from there, large hardly at all.",
    )
