"""What a GGUF file says of an architecture, and which architectures it can say all of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.errors import ModelError

ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "GemmaForCausalLM": "gemma",
    "GPT2LMHeadModel": "gpt2",
}
"""Hugging Face class to llama.cpp's name; those whose sizes are all written below."""

ACTIVATIONS = {
    "llama": ("silu", "swish"),
    "qwen2": ("silu", "swish"),
    "qwen3": ("silu", "swish"),
    "gemma": ("gelu_pytorch_tanh", "gelu_new"),
    "gpt2": ("gelu_new", "gelu_pytorch_tanh"),
}


def architecture_of(model: Any) -> str:
    """llama.cpp's name for the architecture.

    Raises:
        ModelError: it has none, or computes something else than this model.
    """
    arch = ARCHITECTURES.get(type(model).__name__)
    if arch is None:
        raise ModelError(
            "GGUF is written for Llama, Mistral, Qwen2, Qwen3, Gemma and GPT-2 models",
            value=type(model).__name__, fix="Export it with --format onnx or safetensors",
        )  # fmt: skip
    config = model.config
    act = getattr(config, "activation_function", None) or getattr(config, "hidden_act", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    wrong = {
        "its activation": act not in ACTIVATIONS[arch],
        "windows in some of its layers only": len(kinds) > 1,
        "its way to scale attention": not getattr(config, "scale_attn_weights", True)
        or getattr(config, "scale_attn_by_inverse_layer_idx", False),
        "its biases": arch in ("qwen3", "gemma") and getattr(config, "attention_bias", False),
        "its rotary positions": not _rope_is_known(model, arch),
    }
    for what, differs in wrong.items():
        if differs:
            raise ModelError(
                f"llama.cpp has another {arch} model than this: {what}",
                value=act if what == "its activation" else None,
                fix="Export it with --format onnx or safetensors",
            )
    return arch


def add_sizes(writer: Any, model: Any, arch: str) -> None:
    """Sizes and constants, under the architecture's name."""
    config = model.config
    heads = config.num_attention_heads
    writer.add_vocab_size(int(model.get_input_embeddings().weight.shape[0]))
    writer.add_context_length(_context(config))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(heads)
    if arch == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(size)
    rope = config.rope_parameters
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    if rope.get("rope_type", "default") == "linear":
        import gguf

        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))


def rope_factors(model: Any) -> NDArray[np.float32] | None:
    """What each rotary frequency is divided by, beyond the usual, where the model does that."""
    rope = getattr(model.config, "rope_parameters", None)
    if rope is None or rope.get("rope_type", "default") != "llama3":
        return None
    actual = model.model.rotary_emb.inv_freq.double().cpu().numpy()
    steps = np.arange(len(actual)) / len(actual)
    factors: NDArray[np.float64] = float(rope["rope_theta"]) ** -steps / actual
    return factors.astype(np.float32)


def _context(config: Any) -> int:
    """Tokens up to which llama.cpp computes what the model does: it has no windows for these."""
    window = getattr(config, "sliding_window", None)
    used = getattr(config, "use_sliding_window", True)
    longest = int(config.max_position_embeddings)
    return min(longest, int(window)) if window and used else longest


def _rope_is_known(model: Any, arch: str) -> bool:
    rope = getattr(model.config, "rope_parameters", None)
    if arch == "gpt2":
        return True
    kind = (rope or {}).get("rope_type", "default")
    whole = float((rope or {}).get("partial_rotary_factor", 1.0)) == 1.0
    return whole and (kind in ("default", "linear") or (kind == "llama3" and arch == "llama"))
