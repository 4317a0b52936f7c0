"""Settings of tokenizers: defaults of each family, and mistakes in one line."""

from __future__ import annotations

import pytest

from tinyforge.config.tokenizer import TokenizerSettings, read_settings
from tinyforge.errors import SettingError


def test_defaults_follow_the_family() -> None:
    assert read_settings().learnt_kind == "bpe"
    assert read_settings(family="encoder").learnt_kind == "wordpiece"
    assert read_settings(family="encoder", kind="bpe").learnt_kind == "bpe"
    assert read_settings(family="encoder-decoder").sentinel_count == 100
    assert read_settings(family="encoder-decoder", sentinels=0).sentinel_count == 0
    assert read_settings(family=None, vocab_size="512").vocab_size == 512
    assert read_settings().vocab_size == "auto"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"vocab_size": "many"}, "tokenizer.vocab_size: must be auto or a whole number"),
        ({"vocab_size": 3}, "tokenizer.vocab_size: must be auto or a whole number"),
        ({"kind": "bpee"}, "tokenizer.kind: input should be 'bpe', 'unigram'"),
        ({"byte_fallback": False}, "tokenizer.byte_fallback: has no effect on bpe"),
        ({"sentinels": 5}, "tokenizer.sentinels: has no effect on the family decoder"),
        ({"sample_bytes": 1}, "tokenizer.sample_bytes"),
        ({"lower": True}, "Did you mean 'lowercase'"),
    ],
)
def test_mistakes_are_one_line(given: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings(**given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_setting_is_described() -> None:
    for name, field in TokenizerSettings.model_fields.items():
        assert field.description, name
