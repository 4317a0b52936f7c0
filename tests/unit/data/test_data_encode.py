"""Encoded examples on disk, and the lengths they are cut to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyforge.config.data import DataSettings
from tinyforge.data.encode import check_lengths, choose_lengths, encode
from tinyforge.data.store import ExampleStore
from tinyforge.errors import DataError, SettingError
from tinyforge.records.encoded import IGNORED
from tinyforge.records.examples import Example, Message
from tinyforge.records.rows import Source

EXAMPLES = [
    Example(input="a", output="b", source=Source("f", 1)),
    Example(
        input="é日\n", output="", labels=("x", "y"), group="g", time="1", source=Source("g", 2)
    ),
    Example(messages=(Message("user", "q"), Message("assistant", "r")), output="r"),
]


def test_store_gives_back_what_was_put_in(tmp_path: Path) -> None:
    store = ExampleStore.of(EXAMPLES, tmp_path / "examples.bin")
    assert list(store) == EXAMPLES
    assert [store[i] for i in (0, 1, 2, -1)] == [*EXAMPLES, EXAMPLES[2]]
    assert store.select([2, 0]) == [EXAMPLES[2], EXAMPLES[0]]
    with pytest.raises(IndexError):
        store[3]


def test_encoded_like_the_task_does(tmp_path: Path, fake_task: Any) -> None:
    task = fake_task()
    store = ExampleStore.of([*EXAMPLES[:2]] * 400, tmp_path / "examples.bin")
    indices = np.arange(1, 799)
    encoded = encode(store, indices, task, work=tmp_path, name="part")
    assert len(encoded) == 798
    for row in (0, 1, 511, 512, 797):
        expected = task.encode([store[int(indices[row])]])[0]
        assert encoded[row].input_ids.tolist() == expected.input_ids.tolist()
        assert encoded[row].labels.tolist() == expected.labels.tolist()
        assert encoded.input_lengths[row] == len(expected.input_ids)
        assert encoded.label_lengths[row] == len(expected.labels)
    assert encoded.source(0) == EXAMPLES[1].source


def test_chosen_lengths_cover_99_percent(fake_task: Any, encoded_store: Any) -> None:
    task = fake_task()
    store = encoded_store([9] * 990 + [300] * 10, task, answer=4)
    lengths = choose_lengths([store], task, DataSettings(), None)
    assert (lengths.max_length, lengths.max_output_length) == (16, 8)
    assert (lengths.rows, lengths.cut_inputs, lengths.cut_outputs) == (1000, 10, 0)
    assert (lengths.longest_input, lengths.longest_output) == (301, 5)
    check_lengths(lengths, DataSettings())
    store = encoded_store([9] * 980 + [300] * 20, task)
    assert choose_lengths([store], task, DataSettings(), None).max_length == 304
    assert choose_lengths([store], task, DataSettings(), 128).max_length == 128
    with pytest.raises(SettingError, match=r"data\.max_length: the model has 128 positions"):
        choose_lengths([store], task, DataSettings(max_length=200), 128)


def test_cut_answers_stop_the_run(fake_task: Any, encoded_store: Any) -> None:
    task = fake_task()
    store = encoded_store([5] * 50, task, answer=20)
    lengths = choose_lengths([store], task, DataSettings(max_output_length=8), None)
    assert lengths.cut_outputs == 50
    with pytest.raises(DataError, match=r"50 of 50 rows \(100\.0%\).*data\.max_output_length"):
        check_lengths(lengths, DataSettings())
    check_lengths(lengths, DataSettings(allow_cut=True))


def test_rows_with_nothing_to_learn_stop_the_run(fake_task: Any, encoded_store: Any) -> None:
    task = fake_task(family="decoder")
    task.cut = lambda encoded, longest, _: type(encoded)(
        encoded.input_ids[:longest], encoded.labels[:longest], 0, 0
    )
    store = encoded_store([5] * 300 + [40], task)
    lengths = choose_lengths([store], task, DataSettings(max_length=16), None)
    assert lengths.nothing_rows == 1
    with pytest.raises(DataError, match=r"1 of 301 rows have no token to learn from"):
        check_lengths(lengths, DataSettings())
    assert lengths.nothing_to_learn == [store.source(300)]


def test_limits_are_applied_when_read(fake_task: Any, encoded_store: Any) -> None:
    task = fake_task()
    store = encoded_store([3, 30], task, answer=12)
    limited = store.limit(task, 10, 6)
    assert limited.input_lengths.tolist() == [4, 10]
    assert limited.label_lengths.tolist() == [6, 6]
    assert [len(item.input_ids) for item in limited] == [4, 10]
    assert [(i.cut_input, i.cut_output) for i in limited] == [(0, 7), (21, 7)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lengths=st.lists(st.integers(0, 60), min_size=1, max_size=8), size=st.integers(2, 20))
def test_documents_in_pieces_lose_nothing(
    fake_task: Any, encoded_store: Any, lengths: list[int], size: int
) -> None:
    task = fake_task("language-model", "decoder")
    whole = encoded_store(lengths, task)
    pieces = whole.limit(task, size, size)
    learnt: list[int] = []
    for row in range(len(pieces)):
        piece = pieces[row]
        assert len(piece.input_ids) == pieces.input_lengths[row] <= size
        learnt += [int(label) for label in piece.labels if label != IGNORED]
    expected: list[int] = []
    for item in whole:  # a document's first token has nothing to be told from
        labels = item.labels[1:] if len(item.labels) > size else item.labels
        expected += [int(label) for label in labels if label != IGNORED]
    assert learnt == expected
    assert choose_lengths([whole], task, DataSettings(max_length=size), None).cut_outputs == 0


@pytest.mark.parametrize("size", [2, 3, 7, 16, 40])
def test_pieces_are_those_of_the_language_model_task(
    fake_task: Any, encoded_store: Any, size: int
) -> None:
    from tinyforge.tasks.language_model import LanguageModel

    whole = encoded_store([0, 1, 5, 6, 12, 13, 38], fake_task("language-model", "decoder"))
    task = LanguageModel.__new__(LanguageModel)
    expected = [piece for item in whole for piece in task.pieces(item, size)]
    found = list(whole.limit(task, size, size))
    assert [p.input_ids.tolist() for p in found] == [p.input_ids.tolist() for p in expected]
    assert [p.labels.tolist() for p in found] == [p.labels.tolist() for p in expected]
