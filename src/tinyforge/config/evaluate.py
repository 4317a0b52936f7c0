"""Settings of judging, and of generating answers."""

from __future__ import annotations

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
    baselines: bool = Field(True, description="Compare with simple baselines.")


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
