"""What an exported model needs of its task: the same from plain numbers, without a model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from task_models import CONFIGS, bert_tokenizer, gpt_tokenizer, t5_tokenizer

from tinyforge.config.settings import Settings
from tinyforge.errors import FolderError
from tinyforge.records.examples import Example, Message
from tinyforge.tasks import build_task, task_from_state
from tinyforge.text.fast_tokenizer import FastTokenizer

LABELS = ("bad", "good", "so-so")
PLAIN = SimpleNamespace(
    model_type="any", num_labels=3, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0
)
"""As much of a config as an export's record keeps."""


def classifier(*, multi_label: bool = False, threshold: float = 0.5) -> Any:
    state = {
        "name": "classify", "family": "encoder", "labels": list(LABELS),
        "multi_label": multi_label, "threshold": threshold,
    }  # fmt: skip
    return task_from_state(state, bert_tokenizer(), PLAIN)


NUMBERS = st.floats(-60, 60, width=32)


@given(
    logits=hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(3)), elements=NUMBERS),
    many=st.booleans(),
)
def test_the_same_decisions_from_tensors_and_arrays(logits, many):
    task = classifier(multi_label=many)
    found = task.decide(logits)
    assert task.decide(torch.from_numpy(logits)) == found
    tensor = torch.from_numpy(logits).double()
    shares = tensor.sigmoid() if many else tensor.softmax(-1)
    for row, prediction in zip(shares.tolist(), found, strict=True):
        assert list(prediction.scores.values()) == pytest.approx(row, rel=1e-12, abs=1e-300)
        if many:
            assert set(prediction.labels) == {
                n for n, p in zip(LABELS, row, strict=True) if p >= 0.5
            }
        else:
            assert prediction.output == LABELS[int(np.argmax(row))]


def test_of_equal_labels_the_first_is_taken():
    assert classifier().decide(np.zeros((1, 3), np.float32))[0].output == "bad"
    several = classifier(multi_label=True).decide(np.array([[1.0, 2.0, 2.0]], np.float32))[0]
    assert several.labels == ("good", "so-so", "bad")


def test_a_state_of_another_family_is_refused():
    state = {"name": "classify", "family": "encoder-decoder", "labels": list(LABELS)}
    with pytest.raises(FolderError, match="cannot be read"):
        task_from_state(state, bert_tokenizer(), PLAIN)


CHAT = (Message("user", "hello"), Message("assistant", "good morning"), Message("user", "you?"))
EXAMPLES = [
    Example(input="how are you doing today"),
    Example(input=""),
    Example(input="the cat <end> </s> [SEP]"),
]
TASKS = {
    "classify": (bert_tokenizer, "bert", EXAMPLES),
    "text2text-t5": (t5_tokenizer, "t5-tied", EXAMPLES),
    "text2text-gpt": (gpt_tokenizer, "gpt2", EXAMPLES),
    "language-model": (lambda: gpt_tokenizer(start=True), "llama", EXAMPLES),
    "instruct": (gpt_tokenizer, "gpt2", [*EXAMPLES, Example(messages=CHAT)]),
}


@pytest.mark.parametrize("name", TASKS)
def test_prompts_and_cuts_are_the_same_without_transformers(name, tmp_path):
    """The task that trains, and the one that an export makes from its state, plain numbers and
    the tokenizer's file."""
    make, config_name, examples = TASKS[name]
    config = CONFIGS[config_name]()
    labels = LABELS if name == "classify" else ()
    config.num_labels = 3
    task: Any = build_task(
        name.removesuffix("-t5").removesuffix("-gpt"), tokenizer=make(), config=config,
        labels=labels, settings=Settings(data={"prefix": "do: "}),
    )  # fmt: skip
    task.tokenizer.save_pretrained(tmp_path)
    plain = SimpleNamespace(
        model_type=config.model_type, num_labels=3, pad_token_id=config.pad_token_id,
        eos_token_id=config.eos_token_id,
        decoder_start_token_id=getattr(config, "decoder_start_token_id", None),
    )  # fmt: skip
    again: Any = task_from_state(task.state(), FastTokenizer.load(tmp_path), plain)
    assert again.state() == task.state()
    assert again.family == task.family
    assert [again.prompt(e) for e in examples] == [task.prompt(e) for e in examples]
    for wanted, found in zip(task.encode(examples), again.encode(examples), strict=True):
        assert found.input_ids.tolist() == wanted.input_ids.tolist()
        for limit in (2, 5, 9):
            assert (
                again.cut(found, limit, limit).input_ids.tolist()
                == task.cut(wanted, limit, limit).input_ids.tolist()
            )
