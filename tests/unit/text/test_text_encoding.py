"""The quick way gives the ids of the package, to the last one."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

from tinyforge.text import encoding, sampling
from tinyforge.text.encoding import Encoder
from tinyforge.text.sampling import mended
from tinyforge.text.splitting import EXPRESSIONS, SETTLED, SPACED, WORDS, count_characters
from tinyforge.text.tokenizer_training import train_tokenizer

TEXTS = [
    "The cat sat on the mat, and the dog sat on the cat.",
    "How're you doing today? I'm doing fine; don't worry, we'll see… “Really?” she said — yes!",
    "Größe und Straße; naïve café — déjà vu… Война и мир. Ἰλιάς? Ελλάδα 1821.",
    "def add(a, b):\n\treturn a + b  # 12345\n\n\n\r\n  x_1 = [3.14, 1e-5]\n",
] * 4
QUICK = [
    ("bpe", "decoder"), ("bpe", "encoder-decoder"), ("unigram", "decoder"), ("words", "decoder"),
    ("characters", "decoder"), ("wordpiece", "encoder"),
]  # fmt: skip
_made: dict[Any, Any] = {}


def made(kind: str, family: Any) -> Any:
    if (kind, family) not in _made:
        name, lowercase = ("wordpiece", True) if kind == "uncased" else (kind, False)
        _made[kind, family] = train_tokenizer(TEXTS, name, 420, family=family, lowercase=lowercase)
    return _made[kind, family]


def plainly(tokenizer: Any, text: str) -> list[int]:
    """The package called as its users call it, special tokens being text."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.encode_special_tokens = True
    ids: list[int] = backend.encode(mended(text), add_special_tokens=False).ids
    return ids


SPLITTERS = {
    "byte-level": pre_tokenizers.ByteLevel(add_prefix_space=False),
    WORDS: pre_tokenizers.Split(Regex(WORDS), "isolated"),
    SPACED: pre_tokenizers.Split(Regex(SPACED), "isolated"),
}


@pytest.mark.parametrize("name", list(SPLITTERS))
def test_every_settled_character_is_split_as_the_package_splits_it(name: str) -> None:
    ours = re.compile(EXPRESSIONS[name])
    for character in SETTLED:
        c = character
        text = f"a{c}b {c}c1{c}2 {c}{c} .{c}. {c}\n{c} x{c}  y{c}{c}"
        offsets = [span for _, span in SPLITTERS[name].pre_tokenize_str(text)]
        assert [match.span() for match in ours.finditer(text)] == offsets, repr(c)


@pytest.mark.parametrize("name", list(SPLITTERS))
@given(text=st.text(st.sampled_from([*SETTLED[:256], "а", "Ж", "—", "’", "Σ", " ", "'", "s"])))
@settings(max_examples=200, deadline=None)
def test_splits_are_those_of_the_package(name: str, text: str) -> None:
    offsets = [span for _, span in SPLITTERS[name].pre_tokenize_str(text)]
    found = [match.span() for match in re.finditer(EXPRESSIONS[name], text)]
    assert found == offsets


@pytest.mark.parametrize(("kind", "family"), QUICK)
@given(
    parts=st.lists(st.one_of(st.text(max_size=30), st.sampled_from([*TEXTS[:4], "</s>", "<0x"])))
)
@settings(max_examples=100, deadline=None)
def test_ids_are_those_of_the_package(kind: str, family: str, parts: list[str]) -> None:
    tokenizer = made(kind, family)
    text = " ".join(parts)
    encoder = Encoder(tokenizer)
    assert encoder.splits
    (ids,) = encoder.encode([text])
    assert ids.tolist() == plainly(tokenizer, text)


@pytest.mark.parametrize(("kind", "family"), QUICK)
def test_long_texts_are_encoded_in_pieces_without_a_trace(
    kind: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "PIECE_CHARACTERS", 7)
    tokenizer = made(kind, family)
    text = "\n".join(TEXTS) + " 漢字 and words " * 5 + "  two  spaces   here"
    (ids,) = Encoder(tokenizer).encode([text])
    assert ids.tolist() == plainly(tokenizer, text)


def test_words_are_forgotten_and_learnt_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MOST_WORDS", 5)
    tokenizer = made("bpe", "decoder")
    encoder = Encoder(tokenizer)
    for _ in range(3):
        for text, ids in zip(TEXTS, encoder.encode(TEXTS), strict=True):
            assert ids.tolist() == plainly(tokenizer, text)


@given(text=st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_uncased_bert_is_split_at_spaces(text: str) -> None:
    tokenizer = made("uncased", "encoder")
    encoder = Encoder(tokenizer)
    assert encoder.splits
    for whole in (text, f"The CAFÉ [MASK]\x0b{text}… 漢字\xa0“{text}”\n"):
        assert encoder.encode([whole])[0].tolist() == plainly(tokenizer, whole)


def test_tokenizers_that_are_not_known_are_left_to_the_package() -> None:
    tokenizer = train_tokenizer(TEXTS, "words", 300, lowercase=True)
    encoder = Encoder(tokenizer)
    assert not encoder.splits
    texts = ["The CAFÉ <|endoftext|>", ""]
    ids = encoder.encode(texts)
    assert [row.tolist() for row in ids] == [plainly(tokenizer, text) for text in texts]
    assert tokenizer.eos_token_id not in ids[0].tolist()


def test_an_added_token_is_left_to_the_package() -> None:
    tokenizer = train_tokenizer(TEXTS, "bpe", 300)
    tokenizer.add_tokens(["cat sat"])
    encoder = Encoder(tokenizer)
    assert not encoder.splits
    assert encoder.encode(["the cat sat"])[0][-1] == 300


def test_the_type_is_as_narrow_as_the_vocabulary_allows() -> None:
    assert Encoder(made("bpe", "decoder")).dtype is np.uint16
    tokenizer = train_tokenizer(TEXTS, "bpe", 300)
    tokenizer.add_tokens([f"token{i}" for i in range(1 << 16)])
    assert Encoder(tokenizer).dtype is np.uint32


def test_the_tokenizer_is_left_as_it_is() -> None:
    tokenizer = made("bpe", "encoder-decoder")
    before = tokenizer.backend_tokenizer.to_str()
    Encoder(tokenizer).encode(["a"])
    assert tokenizer.backend_tokenizer.to_str() == before
    assert tokenizer("</s>", add_special_tokens=False)["input_ids"] == [tokenizer.eos_token_id]


def test_gpt2_and_a_llama_on_real_text(shared_folder: Path) -> None:
    from transformers import AutoTokenizer

    text = (shared_folder / "data" / "raw" / "tinyshakespeare.txt").read_text("utf-8")[:200_000]
    found = 0
    for folder in sorted((shared_folder / "models").iterdir()):
        if not (folder / "tokenizer.json").is_file():
            continue
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert Encoder(tokenizer).encode([text])[0].tolist() == plainly(tokenizer, text)
        found += 1
    assert found


@given(st.lists(st.text(max_size=20)))
def test_characters_are_counted_as_they_are(texts: list[str]) -> None:
    clean = [mended(text) for text in texts]
    assert count_characters(clean) == Counter("".join(clean))


@given(st.lists(st.text(max_size=20)))
@settings(deadline=None)
def test_normalised_characters_are_counted_one_by_one(texts: list[str]) -> None:
    clean = [mended(text) for text in texts]
    for lowercase in (True, False):
        normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        expected = Counter(c for text in clean for c in normalizer.normalize_str(text))
        assert count_characters(clean, normalizer) == expected
