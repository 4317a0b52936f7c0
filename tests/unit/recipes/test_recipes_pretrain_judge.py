"""The judgement of a pretrained model: passages, baselines, and what is compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pretraining_fakes import sentences, tiny, tokenizer

from tinyforge.config.pretrain import PretrainRunSettings
from tinyforge.corpus.parts import EndsHeldOut
from tinyforge.evaluate.verdict import FEWEST_GROUPS
from tinyforge.recipes.pretrain_judge import Filler, Unigram, judge_text, unseen_passages
from tinyforge.records.documents import Document
from tinyforge.records.examples import Example


class Corpus:
    """Some documents in each part."""

    fingerprint = "abc"
    sources: dict[str, Any] = {"a": None}  # noqa: RUF012

    def __init__(self, documents: int) -> None:
        self.count = documents

    def documents(self, part: str, source: str | None = None) -> Iterator[Document]:
        for number in range(self.count):
            text = " ".join(sentences(8, seed=hash((part == "test", number)) % 1000))
            yield Document(f"{part} {number}", text, "a")


class Store:
    """Tokens of the sentences."""

    def __init__(self, architecture: str) -> None:
        made = tokenizer(architecture)
        texts = " ".join(sentences(200))
        self.ids = np.array(made(texts, add_special_tokens=False)["input_ids"], dtype=np.uint16)
        self.sources, self.vocab_size = ("a",), len(made)

    def tokens(self, source: str) -> int:
        return len(self.ids)

    def bytes(self, source: str) -> int:
        return 10_000

    def stretch(self, source: str, start: int, stop: int) -> Any:
        return self.ids[start:stop], np.zeros(1, dtype=np.int64)


@pytest.mark.parametrize("architecture", ["gpt", "t5", "bert"])
def test_a_model_that_knows_nothing_is_not_better(architecture: str) -> None:
    model, task = tiny(architecture, context=64)
    store: Any = Store(architecture)
    judged = judge_text(
        model, task, Corpus(20), store, PretrainRunSettings(), window=32, held_out="whole documents"
    )
    assert judged.verdict.word == "not better"
    assert judged.evaluation is not None
    assert judged.evaluation.headline is not None
    name = "byte_ngram" if architecture == "gpt" else "token_unigram"
    theirs = judged.baselines[name].headline
    assert theirs is not None
    assert theirs.value < judged.evaluation.headline.value
    assert any("unseen" in note for note in judged.evaluation.notes)
    if architecture != "gpt":
        assert any("hidden" in note for note in judged.evaluation.notes)


def test_few_documents_are_said_and_many_are_groups() -> None:
    few: Any = Corpus(3)
    many: Any = Corpus(15)
    examples, notes = unseen_passages(few, 10_000)
    assert {example.group for example in examples} == {None}
    assert "3 documents only" in notes[0]
    examples, notes = unseen_passages(many, 10_000)
    assert len({example.group for example in examples}) == 15
    assert not notes


class OneText:
    """A corpus that is one text."""

    fingerprint = "abc"
    sources: dict[str, Any] = {"a": None}  # noqa: RUF012

    def __init__(self, characters: int) -> None:
        self.text = "\n".join(sentences(characters // 40, seed=3))[:characters]

    def documents(self, part: str, source: str | None = None) -> Iterator[Document]:
        if part == "train":
            yield Document("text", self.text, "a")


def judged_text(characters: int, share: float | None = None) -> Any:
    """What a model that knows nothing comes to on one text's end."""
    model, task = tiny("bert", context=64)
    store: Any = Store("bert")
    corpus: Any = EndsHeldOut(OneText(characters), share)
    settings = PretrainRunSettings()
    return judge_text(model, task, corpus, store, settings, window=32, held_out="the end")


def test_one_text_that_is_long_enough_gets_a_verdict() -> None:
    found = judged_text(40_000)
    assert found.verdict.word == "not better"
    assert found.evaluation.sample.groups >= FEWEST_GROUPS
    assert found.advice == ""


def test_one_short_text_is_told_why_it_gets_none() -> None:
    found = judged_text(8_000)
    assert found.verdict.word == "cannot tell"
    held, passages = re.search(
        r"held out to judge on has ([\d,]+) characters: (\d) passages", found.verdict.sentence
    ).groups()  # type: ignore[union-attr]
    assert 1_200 < int(held.replace(",", "")) < 2_000
    assert int(passages) == found.evaluation.sample.groups
    assert "a text of about 32,000 characters (this one has 8,000)" in found.advice
    assert "held_share" not in found.advice
    found = judged_text(40_000, share=0.02)
    assert "--set pretrain.held_share=0.2" in found.advice


def test_text_that_only_repeats_itself_leaves_nothing_to_judge_on() -> None:
    model, task = tiny("bert", context=64)
    store: Any = Store("bert")
    whole = OneText(4_000)
    whole.text *= 10
    found = judge_text(
        model, task, EndsHeldOut(whole, None), store, PretrainRunSettings(), window=32,
        held_out="the end",
    )  # fmt: skip
    assert found.evaluation is None
    assert "no text is left that was not learnt from too" in found.verdict.sentence
    assert found.advice


@pytest.mark.parametrize("architecture", ["t5", "bert"])
def test_model_and_baseline_are_asked_for_the_same_tokens(architecture: str) -> None:
    model, task = tiny(architecture, context=64)
    store: Any = Store(architecture)
    examples = [Example(output=text * 3) for text in sentences(6, seed=5)]
    unigram = Unigram(task, 32, np.bincount(store.ids, minlength=store.vocab_size))
    ours, theirs = (
        predictor.log_likelihoods(examples) for predictor in (Filler(model, task, 32), unigram)
    )
    assert [(row.tokens, row.bytes) for row in ours] == [(row.tokens, row.bytes) for row in theirs]
    assert all(row.tokens > 0 and row.nll > 0 for row in theirs)
    assert 0 < unigram.commonest_share(examples) < 0.5


def test_a_unigram_that_knows_the_words_is_better_than_one_that_does_not() -> None:
    _, task = tiny("bert", context=64)
    store: Any = Store("bert")
    counts = np.bincount(store.ids, minlength=store.vocab_size)
    examples = [Example(output=text) for text in sentences(20, seed=6)]
    known, unknown = (
        sum(row.nll for row in Unigram(task, 32, each).log_likelihoods(examples))
        for each in (counts, np.zeros_like(counts))
    )
    assert known < unknown
