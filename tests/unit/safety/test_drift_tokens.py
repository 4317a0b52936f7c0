"""Unknown tokens, and what stands for them where a tokenizer can spell everything."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tinyforge.config.safeguards import SafeguardSettings
from tinyforge.recipes.reference import reference_of_run
from tinyforge.records.predictions import Prediction
from tinyforge.safety.drift import Drift
from tinyforge.safety.drift_reference import make_reference, observe
from tinyforge.safety.drift_tokens import Tokens
from tinyforge.text.fast_tokenizer import FastTokenizer

KNOWN = ["the", "cat", "sat", "on", "a", "mat", "while", "birds", "sang", "in", "old", "trees"]
STRANGE = ["qwyx", "zvjk", "xqzw", "jjvk"]
SETTINGS = SafeguardSettings(drift_window=400, drift_first=200)


def texts(seed: int, count: int, words: list[str]) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(words, random.integers(3, 20))) for _ in range(count)]


def whole_words() -> Any:
    """Knows the words that it was trained on."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(["[UNK]", *KNOWN])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return FastTokenizer(backend, {"unk_token": "[UNK]"})


def byte_level() -> Any:
    """Spells everything; that it names an unknown token, as many do, means nothing."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator(texts(0, 200, KNOWN), trainer)
    return FastTokenizer(backend, {"unk_token": "<|endoftext|>"})


def figures(drift: Drift, name: str) -> dict[str, float]:
    return {labels["of"]: value for each, labels, value in drift.figures() if each == name}


def watched(tokenizer: Any, words: list[str], *, first: list[str] = KNOWN) -> Drift:
    """Drift of texts of these words against others."""
    tokens = Tokens(tokenizer)
    seen = [observe(text, 0.9, ("yes",), None, tokens) for text in texts(1, 1_000, first)]
    reference = make_reference(seen, None, source="training")
    drift = Drift.from_reference(reference, SETTINGS, tokens)
    for text in texts(2, 400, words):
        drift.observe([text], [Prediction("yes", 0.9, labels=("yes",))])
    return drift


def test_the_share_of_unknown_tokens() -> None:
    tokens = Tokens(whole_words())
    assert tokens.unknown == 0
    assert tokens.of("the cat qwyx a") == (0.25, 14 / 4)
    assert tokens.of("the cat") == (0.0, 7 / 2)
    assert tokens.of(" ") == (None, None)


def test_what_can_be_spelt_is_not_unknown() -> None:
    tokens = Tokens(byte_level())
    assert tokens.unknown is None
    unknown, length = tokens.of("the cat")
    _, strange = tokens.of("qwyx zvjk")
    assert unknown is None
    assert length is not None
    assert strange is not None
    assert length > 1.5 * strange


def test_half_a_character_is_no_mistake() -> None:
    assert Tokens(whole_words()).of("the \ud800 cat")[0] == pytest.approx(1 / 3)


def test_unknown_tokens_raise_their_alarm() -> None:
    same = watched(whole_words(), KNOWN)
    assert not any(figures(same, "drift_alarm").values())
    assert figures(same, "drift_mean")["unknown_tokens"] == 0
    new = watched(whole_words(), [*KNOWN, *STRANGE])
    assert figures(new, "drift_alarm")["unknown_tokens"] == 1
    assert figures(new, "drift_mean")["unknown_tokens"] == pytest.approx(0.25, abs=0.03)


def test_short_tokens_raise_the_alarm_of_a_tokenizer_that_knows_all() -> None:
    same = watched(byte_level(), KNOWN)
    assert not any(figures(same, "drift_alarm").values())
    assert "unknown_tokens" not in figures(same, "drift_alarm")
    new = watched(byte_level(), [*KNOWN, *STRANGE])
    assert figures(new, "drift_alarm")["token_length"] == 1
    lengths = [figures(each, "drift_mean")["token_length"] for each in (same, new)]
    assert lengths[1] < 0.8 * lengths[0]


def test_a_reference_that_was_made_before_says_nothing_of_tokens() -> None:
    words = frozenset([1])
    seen = [observe(text, 0.9, ("yes",), words) for text in texts(1, 300, KNOWN)]
    reference = make_reference(seen, words, source="training")
    del reference["unknown_tokens"], reference["token_length"]
    drift = Drift.from_reference(reference, SETTINGS, Tokens(whole_words()))
    for text in texts(2, 200, STRANGE):
        drift.observe([text], [Prediction("yes", 0.9, labels=("yes",))])
    assert {"input_length", "unknown_words"} <= set(figures(drift, "drift_alarm"))
    assert not {"unknown_tokens", "token_length"} & set(figures(drift, "drift_alarm"))


def test_the_first_texts_are_a_reference_of_tokens_too() -> None:
    drift = Drift.from_reference(None, SETTINGS, Tokens(whole_words()))
    for text in [*texts(1, 200, KNOWN), *texts(2, 200, STRANGE)]:
        drift.observe([text], [Prediction("yes", 0.9, labels=("yes",))])
    assert figures(drift, "drift_alarm")["unknown_tokens"] == 1


@pytest.mark.parametrize("judged", [False, True])
def test_a_runs_reference_holds_them(judged: bool) -> None:
    rows = [SimpleNamespace(input=text) for text in texts(1, 50, [*KNOWN, *STRANGE])]
    every = np.arange(len(rows))
    dataset: Any = SimpleNamespace(
        task="classify", store=rows, train=every, test=every,
        report=SimpleNamespace(labels={"train": {"yes": 50}}),
    )  # fmt: skip
    evaluation: Any = SimpleNamespace(rows=every, predictions=())
    found = reference_of_run(dataset, evaluation if judged else None, whole_words())
    assert found is not None
    for name in ("unknown_tokens", "token_length"):
        assert sum(cast("Any", found[name])["counts"]) == 50
