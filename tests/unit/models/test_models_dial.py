"""Sizes to pretrain: what they are, and what the user may change."""

from __future__ import annotations

import pytest
from pretraining_fakes import tokenizer

from tinyforge.errors import SettingError
from tinyforge.models.dial import NAMES, SIZES, new_config, new_model, preset_of
from tinyforge.models.sizes import parameters


@pytest.mark.parametrize("architecture", list(SIZES))
def test_sizes_grow(architecture: str) -> None:
    assert tuple(SIZES[architecture]) == NAMES
    counts = [
        parameters(new_model(architecture, config, seed=0))
        for config in (
            new_config(preset_of(architecture, size), {}, tokenizer(architecture), dropout=0.0)
            for size in NAMES[:3]
        )
    ]
    assert counts == sorted(counts)
    assert counts[0] < 1e6


def test_every_config_is_one_that_transformers_takes() -> None:
    for architecture, sizes in SIZES.items():
        for size in sizes:
            new_config(preset_of(architecture, size), {}, tokenizer(architecture), dropout=0.1)


def test_the_context_can_be_chosen() -> None:
    config = new_config(preset_of("gpt", "nano", 48), {}, tokenizer("gpt"), dropout=0.0)
    assert config.max_position_embeddings == 48
    assert preset_of("t5", "nano", 48).max_length == 48
    with pytest.raises(SettingError, match="setting of its own"):
        new_config(
            preset_of("gpt", "nano"), {"max_position_embeddings": 9}, tokenizer("gpt"), dropout=0.0
        )


def test_other_sizes_keep_heads_that_fit() -> None:
    shape = {"hidden_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = new_config(preset_of("gpt", "nano"), shape, tokenizer("gpt"), dropout=0.0)
    assert (config.hidden_size, config.head_dim) == (96, 24)
    with pytest.raises(SettingError, match="no such size"):
        new_config(preset_of("gpt", "nano"), {"d_model": 9}, tokenizer("gpt"), dropout=0.0)


def test_the_seed_decides_the_weights() -> None:
    config = new_config(preset_of("gpt", "nano"), {}, tokenizer("gpt"), dropout=0.0)
    first, again, other = (
        new_model("gpt", config, seed=seed).get_input_embeddings().weight.sum()
        for seed in (0, 0, 1)
    )
    assert first == again != other
