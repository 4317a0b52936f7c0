"""Raw text: whole, in pieces, and continued."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_models import CONFIGS, gpt_tokenizer

from tinyforge.config.settings import Settings
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example
from tinyforge.tasks import build_task
from tinyforge.tasks.language_model import LanguageModel

TEXT = "the cat sat on the mat and the dog lay by the door"


def task_for(*, start: bool = False) -> LanguageModel:
    task = build_task(
        "language-model", tokenizer=gpt_tokenizer(start=start), config=CONFIGS["llama"](),
        settings=Settings(),
    )  # fmt: skip
    assert isinstance(task, LanguageModel)
    return task


@pytest.mark.parametrize("start", [True, False])
def test_all_but_the_first_token_is_learnt(start: bool) -> None:
    task = task_for(start=start)
    encoded = task.encode([Example(output=TEXT)])[0]
    assert encoded.labels.tolist() == [IGNORED, *encoded.input_ids[1:].tolist()]
    begin = "<start>" if start else ""
    assert task.tokenizer.decode(encoded.input_ids) == f"{begin}{TEXT}<end>"


def test_a_given_beginning_is_not_learnt_and_is_the_prompt_as_it_stands() -> None:
    task = task_for(start=True)
    example = Example(input="the cat", output=" sat")
    encoded = task.encode([example])[0]
    assert task.prompt(example) == "the cat"
    learnt = encoded.labels != IGNORED
    assert task.tokenizer.decode(encoded.input_ids[learnt]) == " sat<end>"
    assert task.prompt_ids(example).tolist() == encoded.input_ids[~learnt].tolist()


@given(length=st.integers(1, 60), max_length=st.integers(2, 20))
def test_pieces_learn_every_token_once(length: int, max_length: int) -> None:
    task = _task
    ids = np.arange(length, dtype=np.int32)
    labels = ids.copy()
    labels[0] = IGNORED
    whole = Encoded(ids, labels)
    pieces = task.pieces(whole, max_length)
    assert all(0 < len(p.input_ids) <= max_length for p in pieces)
    assert all(len(p.input_ids) > 1 for p in pieces) or length == 1
    assert all(p.labels[0] == IGNORED for p in pieces)
    learnt = np.concatenate([p.labels[p.labels != IGNORED] for p in pieces])
    assert learnt.tolist() == list(range(1, length))
    assert task.units(pieces) == task.units([whole])
    for before, after in itertools.pairwise(pieces):
        assert before.input_ids[-1] == after.input_ids[0]


def test_a_document_is_cut_to_its_first_piece_and_a_prompt_from_its_left() -> None:
    task = task_for(start=True)
    document = task.encode([Example(output=TEXT)])[0]
    cut = task.cut(document, 6, 0)
    assert cut.input_ids.tolist() == document.input_ids[:6].tolist()
    assert (cut.cut_input, cut.cut_output) == (0, len(document.input_ids) - 6)
    prompt = task.encode([Example(input=TEXT)])[0]
    cut = task.cut(prompt, 6, 0)
    assert cut.input_ids.tolist() == [2, *prompt.input_ids[-5:].tolist()]
    assert (cut.cut_input, cut.cut_output) == (len(prompt.input_ids) - 6, 0)


_task: Any = task_for()
