"""Models to pretrain: three architectures, each in sizes that one dial chooses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinyforge.errors import SettingError
from tinyforge.models import scratch
from tinyforge.models.dropout import set_dropout
from tinyforge.models.scratch import Preset

NAMES = ("nano", "tiny", "mini", "small", "medium", "large", "xl")
"""From the smallest to the largest."""


def _gpt(
    hidden: int, inner: int, heads: int, groups: int, layers: int, context: int, vocabulary: int
) -> Preset:
    """Qwen3's architecture (arXiv:2505.09388): rotary positions, RMS norm, a gated feed-forward
    part, grouped queries, and normed queries and keys, which let it learn at high rates."""
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "head_dim": hidden // heads,
        "num_hidden_layers": layers,
        "max_position_embeddings": context,
        "tie_word_embeddings": True,
    }
    return Preset("decoder", "Qwen3Config", sizes, "bpe", vocabulary, context)


def _t5(
    width: int, inner: int, heads: int, head: int, layers: int, context: int, vocabulary: int
) -> Preset:
    """T5 without dropout, reading windows of ``context`` tokens."""
    preset = scratch.t5(width, inner, heads, head, layers, 0.0, vocabulary)
    return replace(preset, max_length=context)


def _bert(hidden: int, layers: int, context: int, vocabulary: int) -> Preset:
    """BERT without dropout; from tiny to medium the sizes of Turc et al. 2019."""
    preset = scratch.bert(hidden, layers, vocabulary, context)
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return replace(preset, sizes=preset.sizes | none)


SIZES: dict[str, dict[str, Preset]] = {
    "gpt": {
        "nano": _gpt(64, 192, 2, 1, 3, 128, 2048),
        "tiny": _gpt(128, 384, 4, 2, 4, 256, 4096),
        "mini": _gpt(256, 704, 4, 2, 6, 256, 4096),
        "small": _gpt(384, 1024, 6, 2, 8, 512, 8192),
        "medium": _gpt(512, 1408, 8, 4, 12, 512, 16384),
        "large": _gpt(768, 2048, 12, 4, 16, 1024, 32768),
        "xl": _gpt(1024, 2816, 16, 4, 24, 1024, 32768),
    },
    "t5": {
        "nano": _t5(96, 384, 3, 32, 2, 128, 2048),
        "tiny": _t5(192, 768, 6, 32, 3, 256, 4096),
        "mini": _t5(256, 1024, 4, 64, 4, 256, 4096),
        "small": _t5(512, 2048, 8, 64, 6, 512, 8192),
        "medium": _t5(640, 2560, 10, 64, 8, 512, 16384),
        "large": _t5(768, 3072, 12, 64, 12, 512, 32768),
        "xl": _t5(1024, 4096, 16, 64, 24, 512, 32768),
    },
    "bert": {
        "nano": _bert(64, 2, 128, 2048),
        "tiny": _bert(128, 2, 128, 4096),
        "mini": _bert(256, 4, 256, 4096),
        "small": _bert(512, 4, 256, 8192),
        "medium": _bert(512, 8, 512, 16384),
        "large": _bert(768, 12, 512, 32768),
        "xl": _bert(1024, 24, 512, 32768),
    },
}
"""Architecture to size to model."""


def preset_of(architecture: str, size: str, context: int | None = None) -> Preset:
    """The model of a size, with another context where one is given."""
    preset = SIZES[architecture][size]
    if context is None or context == preset.max_length:
        return preset
    sizes = dict(preset.sizes)
    if "max_position_embeddings" in sizes:
        sizes["max_position_embeddings"] = context
    return replace(preset, sizes=sizes, max_length=context)


def new_config(preset: Preset, shape: dict[str, int], tokenizer: Any, *, dropout: float) -> Any:
    """The Hugging Face config of a model to pretrain.

    Raises:
        SettingError: a size that the architecture does not have, or that does not fit.
    """
    if "hidden_size" in shape or "num_attention_heads" in shape:
        # A head's width is the share of one head, unless the user says otherwise.
        sizes = {**preset.sizes, **shape}
        if "head_dim" in preset.sizes and "head_dim" not in shape:
            width = sizes["hidden_size"] // max(1, sizes["num_attention_heads"])
            preset = replace(preset, sizes={**preset.sizes, "head_dim": width})
    if "max_position_embeddings" in shape:
        raise SettingError(
            "the context has a setting of its own", where="model.shape.max_position_embeddings",
            value=shape["max_position_embeddings"], fix="Set pretrain.context instead",
        )  # fmt: skip
    config = scratch.config_of(preset, shape, tokenizer, name="the model")
    if dropout:
        set_dropout(config, dropout)
    return config


def new_model(architecture: str, config: Any, *, seed: int) -> Any:
    """A float32 model with weights drawn from ``seed``."""
    import transformers

    classes = {
        "gpt": transformers.AutoModelForCausalLM,
        "t5": transformers.AutoModelForSeq2SeqLM,
        "bert": transformers.AutoModelForMaskedLM,
    }
    return scratch.build_model(classes[architecture], config, seed=seed)
