"""What one window gives to learn, in each architecture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pretraining_fakes import ARCHITECTURES, FakeWindows, tiny, tokenizer

from tinyforge.records.encoded import IGNORED
from tinyforge.tasks.pretraining.base import cut_at, joined, token_bytes
from tinyforge.tasks.pretraining.masked_words import inside_words
from tinyforge.tasks.pretraining.span_corruption import add_sentinels, sentinel, spans

NONE = np.zeros(0, dtype=np.int64)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def ids_of(architecture: str, text: str) -> Any:
    found = tokenizer(architecture)(text, add_special_tokens=False)["input_ids"]
    return np.array(found, dtype=np.uint16)


def test_a_window_is_cut_where_documents_begin() -> None:
    tokens = np.arange(10, dtype=np.uint16)
    parts = [part.tolist() for part in cut_at(tokens, np.array([0, 4, 9]))]
    assert parts == [[0, 1, 2, 3], [4, 5, 6, 7, 8], [9]]
    assert [part.tolist() for part in cut_at(tokens, NONE)] == [list(range(10))]


def test_joined_rows_tell_their_sequences_apart() -> None:
    bins = [[np.array([5, 6]), np.array([7])], [np.array([8])]]
    ids, segments, positions, plain = joined(bins, 0)
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert segments.tolist() == [[0, 0, 1], [0, -1, -1]]
    assert positions.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert not plain
    assert joined([[np.array([1, 2])], [np.array([3, 4])]], 0)[3]


@given(
    length=st.integers(0, 400), share=st.floats(0.05, 0.9), mean=st.floats(1, 10),
    most=st.integers(0, 100), seed=st.integers(0, 100),
)  # fmt: skip
@settings(deadline=None, max_examples=200)
def test_spans_fill_a_text_and_hide_the_share(
    length: int, share: float, mean: float, most: int, seed: int
) -> None:
    found = spans(length, share, mean, most, random(seed))
    assert len(found) <= most
    assert all(kept >= 1 and gone >= 1 for kept, gone in found)
    assert sum(kept + gone for kept, gone in found) <= length
    if found:
        assert sum(gone for _, gone in found) == min(max(round(length * share), 1), length - 1)
        again = spans(length, share, mean, most, random(seed + 1))
        assert len(again) == len(found), "rows of one length whatever was drawn"


def test_a_t5_can_put_its_input_together_again() -> None:
    _, task = tiny("t5", share=0.4)
    ids = ids_of("t5", "the cat sat on a mat and looked at the old dog that slept")
    (item,) = task.examples(ids, NONE, random())
    marks = [tokenizer("t5").convert_tokens_to_ids(sentinel(n)) for n in range(100)]
    written: dict[int, list[int]] = {}
    for token in item.labels[:-1].tolist():
        if token in marks:
            place = written.setdefault(token, [])
        else:
            place.append(token)
    again: list[int] = []
    for token in item.input_ids[:-1].tolist():
        again += written[token] if token in marks else [token]
    assert again == ids.tolist()
    assert item.labels[-1] == item.input_ids[-1] == tokenizer("t5").eos_token_id
    hidden = [token for tokens in written.values() for token in tokens]
    assert len(hidden) == round(0.4 * len(ids))
    assert task.hidden(item).tolist() == hidden
    assert list(written) == marks[: len(written)], "sentinels in their order"


def test_sentinels_are_added_once() -> None:
    made = tokenizer("t5")
    size = len(made)
    add_sentinels(made)
    assert len(made) == size
    assert made(sentinel(3), add_special_tokens=False)["input_ids"] == [
        made.convert_tokens_to_ids(sentinel(3))
    ]


@pytest.mark.parametrize("whole_words", [False, True])
def test_a_bert_is_to_tell_what_was_hidden(whole_words: bool) -> None:
    made = tokenizer("bert")
    _, task = tiny("bert", share=0.3, whole_words=whole_words)
    ids = ids_of("bert", "the cat sat on a mat and looked at the old dog that slept " * 20)
    (item,) = task.examples(ids, NONE, random())
    assert item.input_ids[0] == made.cls_token_id
    assert item.input_ids[-1] == made.sep_token_id
    read, labels = item.input_ids[1:-1], item.labels[1:-1]
    gap = labels != IGNORED
    assert np.array_equal(labels[gap], ids[gap])
    assert np.array_equal(read[~gap], ids[~gap])
    masked = (read[gap] == made.mask_token_id).mean()
    same = (read[gap] == ids[gap]).mean()
    assert 0.65 < masked < 0.95
    assert 0.01 < same < 0.25
    if whole_words:
        inside = inside_words(made)[ids]
        words = np.cumsum(~inside)
        assert all(len(set(gap[words == word].tolist())) == 1 for word in set(words.tolist()))
    else:
        assert gap.sum() == round(0.3 * len(ids))


def test_whole_words_are_found_in_both_ways_of_marking() -> None:
    pieces = tokenizer("bert")
    assert inside_words(pieces)[pieces.get_vocab()["##a"]]
    marked = tokenizer("gpt")
    inside = inside_words(marked)
    assert not inside[marked.get_vocab()["Ġ"]]
    assert not inside[marked.eos_token_id]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_draw_gives_the_same_examples(architecture: str) -> None:
    _, task = tiny(architecture)
    window = FakeWindows(architecture, 48).window(2)
    first = task.examples(window.tokens, window.starts, random(5))
    again = task.examples(window.tokens, window.starts, random(5))
    assert len(first) == len(window.starts)
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.input_ids, other.input_ids)
        assert np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_losses_of_examples_are_those_of_the_batch(architecture: str) -> None:
    """The sum over examples is the training loss, but for T5's sentinels and end."""
    model, task = tiny(architecture)
    windows = FakeWindows(architecture, 24)
    items = [
        item
        for number in range(3)
        for item in task.examples(windows.window(number).tokens, NONE, random(number))
    ]
    losses = task.losses(model, items)
    batch = task.collate_packed([[item] for item in items])
    with torch.no_grad():
        whole = float(task.loss(model, batch))
    if architecture == "t5":
        assert 0 < sum(nats for nats, _, _ in losses) < whole
        assert [tokens for _, tokens, _ in losses] == [len(task.hidden(item)) for item in items]
    else:
        assert sum(nats for nats, _, _ in losses) == pytest.approx(whole, rel=1e-4)
        assert sum(tokens for _, tokens, _ in losses) == task.units(items)
    assert all(size > 0 for _, _, size in losses)


def test_bytes_of_tokens_add_up_to_the_text() -> None:
    text = "the wind moved the greén leaves"
    for architecture in ("gpt", "t5"):
        ids = ids_of(architecture, text)
        extra = 1 if architecture == "t5" else 0  # the space that T5's tokenizer puts in front
        assert token_bytes(tokenizer(architecture))[ids].sum() == len(text.encode()) + extra
    spaced = token_bytes(tokenizer("bert"))[ids_of("bert", "the wind moved")].sum()
    assert spaced == len("thewindmoved")
    assert token_bytes(tokenizer("gpt"))[tokenizer("gpt").eos_token_id] == 0


def test_a_bert_without_a_mask_token_is_refused() -> None:
    from tinyforge.errors import ModelError
    from tinyforge.tasks.pretraining.masked_words import MaskedWords

    with pytest.raises(ModelError, match="no mask token"):
        MaskedWords(tokenizer("gpt"), None)
