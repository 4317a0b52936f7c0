"""Counted operations against numbers worked out by hand."""

from __future__ import annotations

import pytest
from benchmarks.speed.operations import Matrix, causal_pairs, mean_operations, row_operations

LLAMA = {
    "model_type": "llama",
    "hidden_size": 4,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 10,
}
T5 = {
    "model_type": "t5",
    "d_model": 4,
    "d_kv": 3,
    "num_heads": 2,
    "d_ff": 8,
    "num_layers": 1,
    "num_decoder_layers": 2,
    "vocab_size": 10,
    "feed_forward_proj": "relu",
}


def test_a_trained_matrix_takes_six_and_a_frozen_one_four() -> None:
    matrix = Matrix(3, 5, count=2, positions=7)
    assert matrix.operations(None) == 6 * 2 * 7 * 15
    assert matrix.operations(rank=2) == 4 * 2 * 7 * 15 + 6 * 2 * 7 * 2 * (3 + 5)
    frozen = Matrix(3, 5, count=1, positions=1, adapted=False)
    assert frozen.operations(rank=2) == 4 * 15


def test_llama_by_hand() -> None:
    # A layer: queries and output 4x4, keys and values 4x2, three of 4x8: 32 + 16 + 96 = 144.
    body = 2 * 144 * 5
    head = 4 * 10 * 3
    attention = 2 * 4 * 2 * 15  # two products, width 4, two layers, 15 causal pairs of 5 tokens
    assert row_operations(LLAMA, 5, 3) == 6 * (body + head + attention)


def test_t5_by_hand() -> None:
    encoder = (4 * 4 * 6 + 2 * 4 * 8) * 5
    decoder = 2 * (4 * 4 * 6 + 2 * 4 * 6 + 2 * 4 * 8) * 3 + 2 * (2 * 4 * 6) * 5
    head = 4 * 10 * 3
    pairs = 25 + 2 * (6 + 3 * 5)
    assert row_operations(T5, 5, 3) == 6 * (encoder + decoder + head + 2 * 6 * pairs)


def test_encoders_by_hand() -> None:
    bert = {
        "model_type": "bert",
        "hidden_size": 4,
        "intermediate_size": 8,
        "num_hidden_layers": 2,
    }
    other = {"model_type": "distilbert", "dim": 4, "hidden_dim": 8, "n_layers": 2}
    body = 2 * (4 * 16 + 2 * 32) * 5
    by_hand = 6 * (body + 16 + 4 * 3 + 2 * 4 * 2 * 25)
    assert row_operations(bert, 5, 0, labels=3) == by_hand
    assert row_operations(other, 5, 0, labels=3) == by_hand


def test_gpt2_has_four_times_its_width_inside() -> None:
    config = {"model_type": "gpt2", "n_embd": 4, "n_layer": 1, "n_inner": None, "vocab_size": 7}
    body = (4 * 16 + 2 * 4 * 16) * 3
    assert row_operations(config, 3, 3) == 6 * (body + 4 * 7 * 3 + 2 * 4 * causal_pairs(3))


def test_adapters_cost_less_than_full_training_but_more_than_two_thirds() -> None:
    wide = {**LLAMA, "hidden_size": 256, "intermediate_size": 512}
    full = row_operations(wide, 50, 30)
    lora = row_operations(wide, 50, 30, rank=1)
    assert 4 / 6 * full < lora < full


def test_the_mean_is_over_rows() -> None:
    each = [row_operations(LLAMA, 2, 1), row_operations(LLAMA, 9, 4)]
    assert mean_operations(LLAMA, [(2, 1), (9, 4)]) == pytest.approx(sum(each) / 2)
