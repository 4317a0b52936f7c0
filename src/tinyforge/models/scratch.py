"""Models trained from nothing: small tables of sizes, a tokenizer from the data, seeded weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tinyforge.config.model import ModelSettings
from tinyforge.errors import SettingError
from tinyforge.models.quiet import quiet
from tinyforge.registry import suggest


@dataclass(frozen=True)
class Preset:
    """An architecture in one size.

    Attributes:
        family: ``encoder``, ``encoder-decoder`` or ``decoder``.
        config: the name of the Hugging Face config class.
        sizes: its fields that differ from the class's defaults.
        tokenizer: the kind of tokenizer trained for it.
        vocab_size: entries of that tokenizer at most; fewer where the text is small.
        max_length: tokens a text may have; None where the architecture sets no bound.
    """

    family: str
    config: str
    sizes: dict[str, Any]
    tokenizer: str
    vocab_size: int
    max_length: int | None


def bert(hidden: int, layers: int, vocab_size: int, context: int = 512) -> Preset:
    """BERT as in Devlin et al. 2018 (arXiv:1810.04805), heads 64 wide where there are two."""
    sizes = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": max(2, hidden // 64),
        "intermediate_size": 4 * hidden,
        "max_position_embeddings": context,
    }
    return Preset("encoder", "BertConfig", sizes, "wordpiece", vocab_size, context)


def t5(width: int, inner: int, heads: int, head: int, layers: int, drop: float, v: int) -> Preset:
    """T5 as in Raffel et al. 2020 (arXiv:1910.10683)."""
    sizes = {
        "d_model": width,
        "d_ff": inner,
        "num_heads": heads,
        "d_kv": head,
        "num_layers": layers,
        "dropout_rate": drop,
    }
    return Preset("encoder-decoder", "T5Config", sizes, "bpe", v, None)


def _gpt(
    hidden: int, inner: int, heads: int, groups: int, layers: int, length: int, v: int
) -> Preset:
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "num_hidden_layers": layers,
        "max_position_embeddings": length,
        "tie_word_embeddings": True,
    }
    return Preset("decoder", "LlamaConfig", sizes, "bpe", v, length)


PRESETS: dict[str, Preset] = {
    # BERT-tiny and BERT-small of Turc et al. 2019 (arXiv:1908.08962).
    "bert-tiny": bert(128, 2, 4096),
    "bert-small": bert(512, 4, 8192),
    # t5-small has the sizes of Raffel et al. 2020 (arXiv:1910.10683).
    "t5-tiny": t5(192, 768, 6, 32, 3, 0.05, 4096),
    "t5-small": t5(512, 2048, 8, 64, 6, 0.1, 8192),
    # Llama's architecture: rotary positions, RMS norm, gated feed-forward, grouped queries.
    "gpt-tiny": _gpt(128, 352, 4, 2, 4, 512, 4096),
    "gpt-small": _gpt(384, 1024, 6, 2, 6, 1024, 8192),
    "gpt-medium": _gpt(512, 1408, 8, 4, 8, 1024, 16384),
}
"""Names after ``scratch:``."""

_NOT_SIZES = ("_token_id", "vocab_size", "chunk_size_feed_forward", "pretraining_tp")


def build_tokenizer(
    name: str, settings: ModelSettings, texts: Callable[[], Iterable[str]]
) -> tuple[Any, list[str]]:
    """The tokenizer of a preset, learnt from the texts, and notes for the user."""
    from tinyforge.text.tokenizer_training import (
        default_vocab_size,
        sample_texts,
        train_tokenizer,
    )

    preset = PRESETS[name]
    sample, total = sample_texts(texts)
    wanted = settings.vocab_size or default_vocab_size(total, preset.vocab_size)
    longest = max_positions(name, settings)
    tokenizer = train_tokenizer(
        sample,
        preset.tokenizer,
        wanted,
        family=preset.family,  # type: ignore[arg-type]
        lowercase=preset.family == "encoder",
        max_length=longest or 1_000_000,
    )
    notes = []
    if settings.vocab_size and len(tokenizer) < settings.vocab_size:
        notes.append(
            f"the text fills a vocabulary of {len(tokenizer)}, not the {settings.vocab_size} asked"
        )
    return tokenizer, notes


def max_positions(name: str, settings: ModelSettings) -> int | None:
    """Tokens a text may have in this preset, with the user's sizes; None: no bound."""
    longest = settings.shape.get("max_position_embeddings", PRESETS[name].max_length)
    return longest if PRESETS[name].max_length is not None else None


def build_config(name: str, settings: ModelSettings, tokenizer: Any) -> Any:
    """The Hugging Face config of a preset, with the user's sizes and the tokenizer's ids.

    Raises:
        SettingError: as ``config_of``.
    """
    return config_of(PRESETS[name], settings.shape, tokenizer, name=f"scratch:{name}")


def config_of(preset: Preset, shape: dict[str, int], tokenizer: Any, *, name: str) -> Any:
    """The Hugging Face config of a preset in other sizes.

    Args:
        name: what the user calls the model.

    Raises:
        SettingError: ``model.shape`` names a size that the architecture does not have, or sizes
            that do not fit together.
    """
    import transformers

    config_class = getattr(transformers, preset.config)
    sizes = {**preset.sizes, **_checked_shape(shape, config_class, name)}
    ids = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    if preset.family == "encoder-decoder":
        ids["decoder_start_token_id"] = tokenizer.pad_token_id
    _check_heads(sizes, name)
    with quiet():
        return config_class(**sizes, **ids)


def _checked_shape(shape: dict[str, int], config_class: Any, name: str) -> dict[str, int]:
    defaults = config_class()
    known = {
        key
        for key, value in defaults.to_dict().items()
        if isinstance(value, int) and not isinstance(value, bool) and not key.endswith(_NOT_SIZES)
    }
    aliases = dict(config_class.attribute_map)
    shown = {}
    for key, value in shape.items():
        field = aliases.get(key, key)
        if field not in known:
            fix = suggest(key, known)
            if key == "vocab_size":
                fix = "Set model.vocab_size instead"
            raise SettingError(
                f"{name} has no such size", where=f"model.shape.{key}", value=key, fix=fix
            )
        if value < 1:
            raise SettingError("a size must be at least 1", where=f"model.shape.{key}", value=value)
        shown[field] = value
    return shown


def _check_heads(sizes: dict[str, Any], name: str) -> None:
    heads = sizes.get("num_attention_heads")
    if heads is None:  # T5's heads have a width of their own
        return
    hidden, groups = sizes["hidden_size"], sizes.get("num_key_value_heads", heads)
    if "head_dim" not in sizes and hidden % heads:
        raise SettingError(
            f"hidden_size {hidden} is not a multiple of num_attention_heads {heads}",
            where="model.shape",
            value=name,
        )
    if heads % groups:
        raise SettingError(
            f"num_attention_heads {heads} is not a multiple of num_key_value_heads {groups}",
            where="model.shape",
            value=name,
        )
    if "num_key_value_heads" in sizes and sizes.get("head_dim", hidden // heads) % 2:
        raise SettingError(
            "rotary positions need an even width of each head",
            where="model.shape",
            value=sizes.get("head_dim", hidden // heads),
        )


def build_model(auto_class: Any, config: Any, *, seed: int) -> Any:
    """A float32 model with weights drawn from ``seed``, PyTorch's own generator left alone."""
    import torch

    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return auto_class.from_config(config, dtype=torch.float32)
