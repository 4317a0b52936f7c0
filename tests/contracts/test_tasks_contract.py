"""What every task keeps to, over the table of tasks and the kinds of models they are for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from task_models import (
    bert_tokenizer,
    classifier,
    gpt_tokenizer,
    language_model,
    t5_tokenizer,
)

from tinyforge.config.settings import Settings
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example, Message
from tinyforge.tasks import TASKS, build_task, task_from_state
from tinyforge.tasks.preference import rejected_answer

LABELS = ("bad", "good", "so-so")
TEXTS = ["how are you doing today", "soon", "the cat sat on the mat and the dog lay by the door"]
ANSWERS = ["today doing you are how", "i am a small bot. see you soon!", "goodbye"]
CHAT = (
    Message("user", "hello"),
    Message("assistant", "good morning"),
    Message("user", "what is your name?"),
    Message("assistant", "a small bot"),
)


@dataclass(frozen=True)
class Case:
    """One entry of the table with a model it is for."""

    name: str
    model: Callable[[], Any]
    tokenizer: Callable[[], Any]
    examples: list[Example]
    labels: tuple[str, ...] = ()
    multi_label: bool = False


PAIRS = [Example(input=t, output=a) for t, a in zip(TEXTS, ANSWERS, strict=True)]
ONE_LABEL = [Example(input=t, output=label) for t, label in zip(TEXTS, LABELS, strict=True)]
MANY_LABELS = [Example(input=t, labels=LABELS[:n]) for n, t in enumerate(TEXTS)]
CHATS = [Example(input="x", output="y", messages=CHAT[:2]), Example(messages=CHAT), *PAIRS]
DOCUMENTS = [Example(output=text) for text in TEXTS]
PREFERENCES = [replace(e, rejected=r) for e, r in zip(CHATS, [*TEXTS, "no", "so"], strict=True)]

CASES = {
    "classify-encoder": Case(
        "classify", lambda: classifier("bert", 3), bert_tokenizer, ONE_LABEL, LABELS
    ),
    "classify-multi": Case(
        "classify",
        lambda: classifier("distilbert", 3, multi_label=True),
        bert_tokenizer,
        MANY_LABELS,
        LABELS,
        True,
    ),
    "classify-decoder": Case(
        "classify", lambda: classifier("llama", 3), gpt_tokenizer, ONE_LABEL, LABELS
    ),
    "text2text-t5": Case("text2text", lambda: language_model("t5-tied"), t5_tokenizer, PAIRS),
    "text2text-bart-no-end": Case(
        "text2text",
        lambda: language_model("bart"),
        lambda: t5_tokenizer(appends_end=False),
        PAIRS,
    ),
    "text2text-gpt": Case("text2text", lambda: language_model("gpt2"), gpt_tokenizer, PAIRS),
    "text2text-llama": Case(
        "text2text", lambda: language_model("llama"), lambda: gpt_tokenizer(start=True), PAIRS
    ),
    "instruct-gpt-pad-is-end": Case(
        "instruct", lambda: language_model("gpt2"), lambda: gpt_tokenizer(pad=False), CHATS
    ),
    "instruct-gemma": Case(
        "instruct", lambda: language_model("gemma2"), lambda: gpt_tokenizer(start=True), CHATS
    ),
    "language-model-gpt": Case(
        "language-model", lambda: language_model("gpt2"), gpt_tokenizer, DOCUMENTS
    ),
    "language-model-llama": Case(
        "language-model",
        lambda: language_model("llama"),
        lambda: gpt_tokenizer(start=True),
        DOCUMENTS,
    ),
    "preference-gpt": Case(
        "preference", lambda: language_model("gpt2"), gpt_tokenizer, PREFERENCES
    ),
    "preference-gemma": Case(
        "preference", lambda: language_model("gemma2"), lambda: gpt_tokenizer(), PREFERENCES
    ),
}
ANSWERS_AS = {"preference": "instruct"}
"""Tasks whose models are saved as those of another one."""
WRITING = [name for name, case in CASES.items() if case.name != "classify"]
_built: dict[str, tuple[Any, Any]] = {}


def built(key: str) -> tuple[Any, Any]:
    """Model and task of a case; the model is not to be trained."""
    if key not in _built:
        case = CASES[key]
        model = case.model()
        _built[key] = (
            model,
            build_task(
                case.name,
                tokenizer=case.tokenizer(),
                config=model.config,
                labels=case.labels,
                multi_label=case.multi_label,
                settings=Settings(data={"prefix": "reverse: "} if case.name == "text2text" else {}),  # type: ignore[arg-type]
            ),
        )
    return _built[key]


def to_learn(key: str) -> list[Encoded]:
    """A case's examples as the loss takes them."""
    _, task = built(key)
    items = task.encode(CASES[key].examples)
    if task.name != "preference":
        return list(items)
    others = task.encode([rejected_answer(example) for example in CASES[key].examples])
    return [replace(a, rejected=b, reference=0.5) for a, b in zip(items, others, strict=True)]


def test_every_task_of_the_table_is_here() -> None:
    assert {case.name for case in CASES.values()} == set(TASKS.names())


@pytest.mark.parametrize("key", CASES)
def test_state_travels_as_json_and_comes_back_the_same(key: str) -> None:
    model, task = built(key)
    task.max_length = 17
    state = json.loads(json.dumps(task.state()))
    assert state == task.state()
    again = task_from_state(state, CASES[key].tokenizer(), model.config)
    assert again.state() == task.state()
    assert (again.name, again.family) == (ANSWERS_AS.get(task.name, task.name), task.family)
    assert task.name in ANSWERS_AS or type(again) is type(task)
    for one, two in zip(
        task.encode(CASES[key].examples), again.encode(CASES[key].examples), strict=True
    ):
        assert one.input_ids.tolist() == two.input_ids.tolist()
        assert one.labels.tolist() == two.labels.tolist()


@pytest.mark.parametrize("key", CASES)
def test_encoded_rows_have_the_promised_shapes(key: str) -> None:
    _, task = built(key)
    for encoded in task.encode(CASES[key].examples):
        assert encoded.input_ids.dtype == np.int32
        assert encoded.labels.dtype == np.int32
        assert (encoded.cut_input, encoded.cut_output) == (0, 0)
        if task.family == "decoder" and task.name != "classify":
            learnt = encoded.labels != IGNORED
            assert encoded.labels.shape == encoded.input_ids.shape
            assert (encoded.labels[learnt] == encoded.input_ids[learnt]).all()
            assert encoded.labels[0] == IGNORED


@pytest.mark.parametrize("key", WRITING)
def test_the_end_token_is_learnt_and_padding_is_not(key: str) -> None:
    _, task = built(key)
    items = task.encode(CASES[key].examples)
    for encoded in items:
        assert encoded.labels[-1] in task.end_ids
    labels = task.collate(items)["labels"]
    for row, encoded in zip(labels, items, strict=True):
        assert row[len(encoded.labels) - 1] in task.end_ids
        assert (row[len(encoded.labels) :] == IGNORED).all()


@pytest.mark.parametrize("key", CASES)
def test_units_are_what_the_loss_is_summed_over(key: str) -> None:
    model, task = built(key)
    items = to_learn(key)
    together = task.loss(model, task.collate(items))
    assert together.dtype == torch.float32
    assert together.shape == ()
    alone = [task.loss(model, task.collate([item])) for item in items]
    torch.testing.assert_close(together, torch.stack(alone).sum(), rtol=1e-4, atol=1e-4)
    rows = task.row_losses(model, task.collate(items))
    torch.testing.assert_close(rows, torch.stack(alone).detach(), rtol=1e-4, atol=1e-4)
    assert task.units(items) == sum(task.units([item]) for item in items)
    if task.name in ("classify", "preference"):
        assert task.units(items) == len(items)
    else:
        assert task.units(items) == sum(int((i.labels != IGNORED).sum()) for i in items)


@pytest.mark.parametrize("key", WRITING)
def test_the_prompt_has_the_same_ids_with_and_without_an_answer(key: str) -> None:
    _, task = built(key)
    for example in CASES[key].examples:
        whole = task.encode([example])[0]
        prompt = task.prompt_ids(example)
        if task.family == "encoder-decoder":
            assert prompt.tolist() == whole.input_ids.tolist()
        else:
            assert prompt.tolist() == whole.input_ids[: len(prompt)].tolist()
            rest = whole.labels[len(prompt) :]
            assert (rest[1 if len(prompt) == 0 else 0 :] != IGNORED).all()


@pytest.mark.parametrize("key", CASES)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(max_length=st.integers(2, 40), max_output_length=st.integers(2, 20), data=st.data())
def test_cut_keeps_the_limits_and_counts_exactly(
    key: str, max_length: int, max_output_length: int, data: st.DataObject
) -> None:
    _, task = built(key)
    encoded = data.draw(st.sampled_from(task.encode(CASES[key].examples)))
    cut = task.cut(encoded, max_length, max_output_length)
    assert len(cut.input_ids) <= max_length
    classify, both_sides = task.name == "classify", task.family == "encoder-decoder"
    gone = len(encoded.input_ids) - len(cut.input_ids)
    if classify:
        assert cut.labels.tolist() == encoded.labels.tolist()
        assert (cut.cut_input, cut.cut_output) == (gone, 0)
    elif both_sides:
        assert len(cut.labels) <= max_output_length
        assert cut.cut_input == gone
        assert cut.cut_output == len(encoded.labels) - len(cut.labels)
    else:
        assert cut.cut_input + cut.cut_output == gone
        lost = int((encoded.labels != IGNORED).sum() - (cut.labels != IGNORED).sum())
        # Where a cut comes to stand on a learnt token, that one stays as context without loss.
        assert cut.cut_output <= lost <= cut.cut_output + 1
        assert cut.labels[0] == IGNORED
    if not classify and task.name != "language-model":
        assert cut.labels[-1] == encoded.labels[-1]
        assert task.units([cut]) > 0
    again = task.cut(cut, max_length, max_output_length)
    assert (again.cut_input, again.cut_output) == (cut.cut_input, cut.cut_output)


@pytest.mark.parametrize("key", CASES)
def test_twenty_steps_lower_the_loss(key: str) -> None:
    case, (_, task) = CASES[key], built(key)
    model = case.model().train()
    items = to_learn(key)
    batch, units = task.collate(items), task.units(items)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    history = []
    for _ in range(20):
        loss = task.loss(model, batch) / units
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append(float(loss.detach()))
    assert history[-1] < 0.9 * history[0]
