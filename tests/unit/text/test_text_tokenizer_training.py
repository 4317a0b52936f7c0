from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.errors import DataError, SettingError
from tinyforge.text.encoding import Encoder
from tinyforge.text.measuring import HOSTILE
from tinyforge.text.sampling import mended
from tinyforge.text.specials import SPECIALS
from tinyforge.text.tokenizer_training import (
    KINDS,
    default_vocab_size,
    gives_back,
    sample_texts,
    train_tokenizer,
)
from tinyforge.text.unigram import Lattice, learn_unigram

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


# Everything that Python calls text, lone surrogates and control characters among it, with the
# spellings of special and byte tokens mixed in.
SPELT = [t for spec in SPECIALS.values() for t in spec.tokens] + ["<0x41>", "<0x0A>", "▁", "Ġ"]
anything = st.lists(st.one_of(st.text(max_size=12), st.sampled_from([*SPELT, *TEXTS[:4], " "])))


@pytest.mark.parametrize("family", sorted(SPECIALS))
@pytest.mark.parametrize("kind", ["bpe", "unigram", "words", "characters"])
@given(parts=anything)
@settings(max_examples=80, deadline=None)
def test_anything_comes_back_byte_for_byte(kind, family, parts):
    """Through the encoder, for which a special token spelt out is text."""
    text = "".join(parts)
    tokenizer = made(kind, family)
    (ids,) = Encoder(tokenizer).encode([text])
    back = tokenizer.decode(ids.tolist(), skip_special_tokens=False)
    assert back.encode() == mended(text).encode()
    assert gives_back(kind) is None


@pytest.mark.parametrize("kind", ["unigram", "words", "characters"])
@given(text=plain)
@settings(max_examples=80, deadline=None)
def test_text_comes_back_as_it_was_the_plain_way(kind, text):
    assert text_of(made(kind, "encoder-decoder"), text) == text


def test_hard_texts_come_back():
    for kind in ("bpe", "unigram", "words", "characters"):
        tokenizer = made(kind, "decoder")
        for text, ids in zip(HOSTILE, Encoder(tokenizer).encode(HOSTILE), strict=True):
            assert tokenizer.decode(ids.tolist(), skip_special_tokens=False) == text


@pytest.mark.parametrize("kind", ["words", "characters", "wordpiece", "unigram"])
def test_without_bytes_what_is_unknown_is_the_unknown_token(kind):
    tokenizer = train_tokenizer(TEXTS, kind, 400, family="encoder", byte_fallback=False)
    ids = tokenizer("漢", add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id in ids
    assert "<0x41>" not in tokenizer.get_vocab()
    assert gives_back(kind, byte_fallback=False)


def test_what_does_not_come_back_is_said():
    assert "capital letters" in gives_back("bpe", lowercase=True)
    assert "spacing" in gives_back("wordpiece")
    tokenizer = train_tokenizer(TEXTS, "bpe", 400, lowercase=True)
    assert text_of(tokenizer, "The CAFÉ") == "the cafe"


def test_a_words_tokenizer_has_words():
    tokenizer = made("words", "decoder")
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("The cat sat on the cat.")["input_ids"])
    assert tokens == ["The", " cat", " sat", " on", " the", " cat", "."]
    spelt = tokenizer.convert_ids_to_tokens(tokenizer("zz")["input_ids"])
    assert spelt == ["<0x7A>", "<0x7A>"]


def test_sentinels_stand_at_the_end_the_first_one_last():
    tokenizer = train_tokenizer(TEXTS, "bpe", 350, family="encoder-decoder", sentinels=10)
    assert len(tokenizer) == 350
    assert tokenizer.convert_tokens_to_ids("<extra_id_0>") == 349
    assert tokenizer.convert_tokens_to_ids("<extra_id_9>") == 340
    assert "<extra_id_0>" in tokenizer.all_special_tokens


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
    assert max(b - a for a, b in pairwise(numbers)) <= 21
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
    assert len(pieces) == len(alphabet) + 2


def likeliest(word: str, scores: dict[str, float]) -> float:
    """By trying every way."""
    if not word:
        return 0.0
    ways = [
        scores[word[:end]] + likeliest(word[end:], scores)
        for end in range(1, len(word) + 1)
        if word[:end] in scores
    ]
    return max(ways, default=-math.inf)


@given(
    words=st.lists(st.text("abc", min_size=1, max_size=7), min_size=1, max_size=6, unique=True),
    pieces=st.dictionaries(
        st.text("abc", min_size=1, max_size=4), st.integers(-9, -1), min_size=1, max_size=9
    ),
)
@settings(max_examples=100, deadline=None)
def test_segmentation_is_the_likeliest(words, pieces):
    scores = np.array([float(s) for s in pieces.values()])
    lattice = Lattice(words, {piece: i for i, piece in enumerate(pieces)})
    assert lattice.best(scores).tolist() == [likeliest(word, pieces) for word in words]
    for number, word in enumerate(words):
        only = np.array([int(i == number) for i in range(len(words))])
        counts = lattice.count(scores, only)
        if math.isinf(likeliest(word, pieces)):
            assert counts.sum() == 0
            continue
        assert sum(len(p) * int(n) for p, n in zip(pieces, counts, strict=True)) == len(word)
        assert counts @ scores == likeliest(word, pieces)


def test_a_piece_may_have_to_be_made_of_others():
    pieces = {"a": -3.0, "b": -3.0, "ab": -4.0, "aba": -4.5, "c": -1.0}
    numbers = {piece: i for i, piece in enumerate(pieces)}
    scores = np.array(list(pieces.values()))
    assert Lattice(list(pieces), numbers).best(scores).tolist() == list(pieces.values())
    without = Lattice(list(pieces), numbers, themselves=False).best(scores)
    assert without.tolist() == [-math.inf, -math.inf, -6.0, -7.0, -math.inf]
