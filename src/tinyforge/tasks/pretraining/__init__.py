"""What a model from nothing learns of raw text: one objective for each architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tinyforge.registry import Registry

if TYPE_CHECKING:
    from tinyforge.tasks.pretraining.base import Objective

OBJECTIVES = Registry(
    "architecture",
    {
        "gpt": "tinyforge.tasks.pretraining.next_token:NextToken",
        "t5": "tinyforge.tasks.pretraining.span_corruption:SpanCorruption",
        "bert": "tinyforge.tasks.pretraining.masked_words:MaskedWords",
    },
)
"""Architecture to class."""

FAMILIES = {"gpt": "decoder", "t5": "encoder-decoder", "bert": "encoder"}
"""Architecture to the family of its models."""


def build_objective(architecture: str, tokenizer: Any, config: Any, **options: Any) -> Objective:
    """The objective of an architecture.

    Args:
        config: the model's Hugging Face config.
        **options: of the objective: ``share``, ``mean_span``, ``whole_words``.
    """
    return cast("Objective", OBJECTIVES.get(architecture)(tokenizer, config, **options))
