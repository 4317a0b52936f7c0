from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.errors import DataError, SettingError
from tinyforge.text.tokenizer_training import (
    KINDS,
    SPECIALS,
    default_vocab_size,
    sample_texts,
    train_tokenizer,
)
from tinyforge.text.unigram import learn_unigram, segment

TEXTS = [
    "The cat sat on the mat, and the dog sat on the cat.",
    "How are you doing today? I am doing fine, thank you!",
    "Größe und Straße; naïve café — déjà vu…",
    "def add(a, b):\n\treturn a + b  # 12345",
] * 4

_made: dict[tuple[str, str], object] = {}


def made(kind: str, family: str, size: int = 400):
    if (kind, family) not in _made:
        _made[kind, family] = train_tokenizer(TEXTS, kind, size, family=family)
    return _made[kind, family]


def text_of(tokenizer, text: str) -> str:
    return tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)


# Text in which a special token is spelt out does not come back, and cannot.
plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).filter(
    lambda t: not any(s in t for spec in SPECIALS.values() for s in spec.tokens)
)


@pytest.mark.parametrize("family", ["encoder-decoder", "decoder"])
@given(text=plain)
@settings(max_examples=150, deadline=None)
def test_byte_level_text_comes_back_as_it_was(family, text):
    assert text_of(made("bpe", family), text) == text


@given(text=plain.filter(lambda t: "▁" not in t))
@settings(max_examples=150, deadline=None)
def test_unigram_text_comes_back_as_it_was(text):
    assert text_of(made("unigram", "encoder-decoder"), text) == text


@given(words=st.lists(st.sampled_from(["The", "cat", "sat", "on", "mat,", "and"]), max_size=8))
@settings(max_examples=50, deadline=None)
def test_known_words_and_characters_come_back(words):
    text = " ".join(words)
    assert text_of(made("word", "decoder"), text) == text
    assert text_of(made("char", "decoder"), text) == text


@pytest.mark.parametrize("kind", ["word", "char", "wordpiece"])
def test_what_is_unknown_is_the_unknown_token(kind):
    tokenizer = made(kind, "encoder")
    ids = tokenizer("漢", add_special_tokens=False)["input_ids"]
    assert ids == [tokenizer.unk_token_id]


def test_wordpiece_is_lower_cased_and_framed():
    tokenizer = train_tokenizer(TEXTS, "wordpiece", 400, family="encoder", lowercase=True)
    ids = tokenizer("The CAFÉ")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids)[:2] == ["[CLS]", "the"]
    assert ids[-1] == tokenizer.sep_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the cafe"
    pair = tokenizer.convert_ids_to_tokens(tokenizer("the", "cat")["input_ids"])
    assert pair == ["[CLS]", "the", "[SEP]", "cat", "[SEP]"]
    assert len(train_tokenizer(TEXTS, "wordpiece", 80, family="encoder")) <= 80


def test_t5_ends_and_pads_as_t5_expects():
    tokenizer = made("bpe", "encoder-decoder")
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1)
    assert tokenizer("cat")["input_ids"][-1] == 1
    # The first word has the token that it has elsewhere.
    first, second = tokenizer.tokenize("the"), tokenizer.tokenize("cat the")
    assert first[-1] == second[-1]


def test_gpt_has_an_end_that_is_not_padding():
    tokenizer = made("bpe", "decoder")
    assert tokenizer.eos_token == tokenizer.bos_token == "<|endoftext|>"
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer("cat")["input_ids"][-1] != tokenizer.eos_token_id
    assert tokenizer("cat<|endoftext|>")["input_ids"][-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("family", sorted(SPECIALS))
def test_every_kind_for_every_family(kind, family):
    tokenizer = made(kind, family)
    assert len(tokenizer) <= 400
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))
    for name, token in SPECIALS[family].names.items():
        assert getattr(tokenizer, name) == token
        assert tokenizer.convert_tokens_to_ids(token) == SPECIALS[family].tokens.index(token)
    ids = tokenizer(["the cat", ""], padding=True)["input_ids"]
    assert len(ids[0]) == len(ids[1])
    assert tokenizer.model_max_length == 1_000_000


def test_lone_surrogates_do_not_stop_training():
    assert len(train_tokenizer([*TEXTS, "bad \ud800 text"], "bpe", 300)) == 300


def test_mistakes():
    with pytest.raises(SettingError, match="Did you mean 'bpe'"):
        train_tokenizer(TEXTS, "bp", 400)
    with pytest.raises(SettingError, match="at least 259"):
        train_tokenizer(TEXTS, "bpe", 100)
    with pytest.raises(DataError, match="no text"):
        train_tokenizer(["", "  "], "bpe", 400)


PROGRAM = """
import sys
sys.path[:0] = {path!r}
from test_text_tokenizer_training import digest
print(digest())
"""


def digest() -> str:
    """A hash over all kinds of tokenizer."""
    parts = [
        train_tokenizer(TEXTS, kind, 400, family=family).backend_tokenizer.to_str()
        for kind in sorted(KINDS)
        for family in sorted(SPECIALS)
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def test_the_same_texts_give_the_same_tokenizer():
    """Within a process, in others, and with any number of threads."""
    program = PROGRAM.format(path=[str(Path(__file__).parent)])
    answers = {digest(), digest()}
    for threads, seed in (("1", "0"), ("4", "1")):
        env = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
        )
        answers.add(run.stdout.strip())
    assert len(answers) == 1


def test_sampling_is_even_and_stays_within_the_limit():
    rows = [f"row {i:05d}" for i in range(10_000)]
    sample, total = sample_texts(lambda: rows, limit=9_000)
    assert total == 90_000
    assert sum(map(len, sample)) <= 9_000
    assert abs(len(sample) - 1000) <= 1
    numbers = [int(row.split()[1]) for row in sample]
    assert max(b - a for a, b in pairwise(numbers)) <= 11
    assert sample_texts(lambda: rows, limit=10**9)[0] == rows


def test_one_huge_text_is_sampled_in_pieces():
    book = "word " * 100_000
    sample, total = sample_texts(lambda: [book], limit=100_000)
    assert total == 500_000
    assert 50_000 < sum(map(len, sample)) <= 100_000
    assert "".join(sample_texts(lambda: [book])[0]) == book


def test_the_vocabulary_grows_with_the_text():
    sizes = [default_vocab_size(n, 8192) for n in (0, 10_000, 100_000, 10**6)]
    assert sizes == [512, 512, 1536, 8192]


def test_unigram_finds_the_words_that_repeat():
    words = {"▁tiger": 50, "▁tigers": 30, "▁lion": 40, "▁lions": 20}
    alphabet = sorted(set("".join(words)))
    pieces = dict(learn_unigram(words, len(alphabet) + 2, alphabet))
    assert {"▁tiger", "▁lion"} <= set(pieces)
    assert set(alphabet) <= set(pieces)
    assert segment("▁tigers", pieces) == ["▁tiger", "s"]
    assert segment("▁xx", pieces) == []


def test_segmentation_is_the_likeliest():
    scores = {"a": -3.0, "b": -3.0, "ab": -4.0, "aba": -4.5}
    assert segment("abab", scores) == ["aba", "b"]
    assert segment("abab", scores, without="aba") == ["ab", "ab"]
