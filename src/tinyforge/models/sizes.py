"""How large a model is, and how long a text it can read."""

from __future__ import annotations

from typing import Any

import torch


def max_positions(model: Any) -> int | None:
    """Tokens that a model's positions reach to; None where nothing bounds them."""
    config = model.config.get_text_config()
    if getattr(config, "relative_attention_num_buckets", None) and hasattr(config, "d_kv"):
        return None  # T5: only relative positions; its n_positions is not a limit
    bound = getattr(config, "max_position_embeddings", None)
    for name, module in model.named_modules():
        table = isinstance(module, torch.nn.Embedding) and name.endswith("position_embeddings")
        if table and module.padding_idx is not None:  # RoBERTa counts from padding_idx + 1
            bound = int(module.num_embeddings) - int(module.padding_idx) - 1
    return int(bound) if bound and bound > 0 else None


def parameters(model: Any) -> int:
    """How many numbers the model has; shared ones count once."""
    return sum(p.numel() for p in model.parameters())
