from __future__ import annotations

import pytest
import torch

from tinyforge.config.model import LoraSettings, ModelSettings
from tinyforge.errors import ModelError, SettingError
from tinyforge.models.load import family_of, load_for_training
from tinyforge.models.scratch import PRESETS

TASK = {"encoder": "classify", "encoder-decoder": "text2text", "decoder": "instruct"}
FAST = {
    "encoder": {"num_hidden_layers": 1},
    "encoder-decoder": {"num_layers": 1},
    "decoder": {"num_hidden_layers": 1},
}


def load(preset, texts, *, seed=0, task=None, **options):
    return load_for_training(
        ModelSettings(name=f"scratch:{preset}", **options),
        task=task or TASK[PRESETS[preset].family],
        labels=("a", "b"),
        multi_label=False,
        texts=texts,
        seed=seed,
        lora=LoraSettings(),
    )


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_is_built(texts, logits, preset):
    family = PRESETS[preset].family
    loaded = load(preset, texts, shape=FAST[family])
    assert loaded.family == family == family_of(ModelSettings(name=f"scratch:{preset}"))
    assert not loaded.pretrained
    assert loaded.path is None
    assert loaded.max_positions == PRESETS[preset].max_length
    assert loaded.model.config.vocab_size == len(loaded.tokenizer)
    assert logits(loaded.model, family).isfinite().all()
    assert any("all weights are new" in note for note in loaded.notes)
    tokenizer = loaded.tokenizer
    assert tokenizer.pad_token_id == 0
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    if loaded.max_positions:
        assert tokenizer.model_max_length == loaded.max_positions


def test_t5_small_has_the_sizes_of_the_real_one():
    sizes = PRESETS["t5-small"].sizes
    real = {"d_model": 512, "d_ff": 2048, "d_kv": 64, "num_heads": 8, "num_layers": 6}
    assert {k: sizes[k] for k in real} == real


def test_weights_and_tokenizer_depend_on_seed_and_texts_alone(texts):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = load("t5-tiny", texts, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second, third = load("t5-tiny", texts, seed=3), load("t5-tiny", texts, seed=4)
    weights = first.model.state_dict()
    assert all(torch.equal(w, second.model.state_dict()[k]) for k, w in weights.items())
    assert not torch.equal(weights["shared.weight"], third.model.state_dict()["shared.weight"])
    assert first.tokenizer.get_vocab() == second.tokenizer.get_vocab()


def test_sizes_are_overridden_by_their_config_names(texts):
    config = load("t5-tiny", texts, shape={"num_layers": 1, "num_heads": 2}).model.config
    assert (config.num_layers, config.num_decoder_layers, config.num_heads) == (1, 1, 2)
    config = load("gpt-tiny", texts, shape={"max_position_embeddings": 32}).model.config
    assert config.max_position_embeddings == 32
    # Hugging Face's general names work as well.
    assert load("t5-tiny", texts, shape={"hidden_size": 64}).model.config.d_model == 64


def test_settings_of_size_dropout_and_vocabulary(texts):
    loaded = load("t5-tiny", texts, vocab_size=300, dropout=0.3)
    assert len(loaded.tokenizer) == loaded.model.config.vocab_size == 300
    assert loaded.model.config.dropout_rate == 0.3
    loaded = load("gpt-tiny", texts, vocab_size=5000)
    assert any("not the 5000 asked" in note for note in loaded.notes)


@pytest.mark.parametrize(
    ("preset", "shape", "advice"),
    [
        ("t5-tiny", {"num_layer": 2}, "Did you mean 'num_layers'"),
        ("gpt-tiny", {"vocab_size": 500}, r"model\.vocab_size"),
        ("gpt-tiny", {"pad_token_id": 5}, "no such size"),
        ("bert-tiny", {"num_attention_heads": 3}, "multiple of num_attention_heads 3"),
        ("gpt-tiny", {"num_key_value_heads": 3}, "multiple of num_key_value_heads 3"),
        ("gpt-tiny", {"hidden_size": 12}, "even width"),
        ("gpt-tiny", {"hidden_size": 0}, "at least 1"),
    ],
)
def test_wrong_sizes(texts, preset, shape, advice):
    with pytest.raises(SettingError, match=advice):
        load(preset, texts, shape=shape)


def test_a_preset_that_does_not_fit_the_task(texts):
    with pytest.raises(ModelError, match="encoder-decoder model"):
        load("t5-tiny", texts, task="classify")


def test_the_first_loss_is_that_of_a_uniform_guess(texts):
    """Weights of a sane size: a new model neither knows nor is sure of anything."""
    for preset in ("gpt-tiny", "t5-tiny"):
        loaded = load(preset, texts)
        ids = loaded.tokenizer("the quick brown fox jumps", return_tensors="pt")["input_ids"]
        with torch.no_grad():
            loss = loaded.model(input_ids=ids, labels=ids).loss
        uniform = torch.log(torch.tensor(float(len(loaded.tokenizer))))
        assert abs(loss - uniform) < 2
