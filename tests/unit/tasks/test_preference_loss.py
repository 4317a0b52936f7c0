"""DPO's loss against the formula written out, on every way the output head is used."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from task_models import gpt_tokenizer, language_model

from tinyforge.config.settings import Settings
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example
from tinyforge.tasks import build_task, chunked
from tinyforge.tasks.preference import rejected_answer

PAIRS = [
    Example("how are you", "good morning", rejected="the cat sat on the mat by the door"),
    Example("what is your name?", "i am a small bot. see you soon!", rejected="goodbye"),
    Example("the dog lay by the door and the cat", "sat", rejected="hello"),
]
BETA = 0.3
MODELS = ("gpt2", "llama-tied", "gemma2", "granite", "cohere")


def preference(model: Any) -> Any:
    """The task, with a strong pull."""
    settings = Settings(preference={"beta": BETA})  # type: ignore[arg-type]
    return build_task(
        "preference", tokenizer=gpt_tokenizer(), config=model.config, settings=settings
    )


def pairs(task: Any, references: list[float] | None = None) -> list[Encoded]:
    """The examples as the loss takes them."""
    chosen = task.encode(PAIRS)
    rejected = task.encode([rejected_answer(example) for example in PAIRS])
    known = references or [None] * len(PAIRS)
    return [
        replace(a, rejected=b, reference=r) for a, b, r in zip(chosen, rejected, known, strict=True)
    ]


def log_likelihood(model: Any, item: Encoded) -> torch.Tensor:
    """Of the answer, one sequence at a time and with all logits."""
    ids = torch.tensor(item.input_ids[None].astype("int64"))
    says = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    wanted = torch.tensor(item.labels[1:].astype("int64"))
    learnt = wanted != IGNORED
    return says[learnt].gather(1, wanted[learnt][:, None]).sum()


def written_out(model: Any, items: list[Encoded], smoothing: float = 0.0) -> torch.Tensor:
    """Equation 7 of Rafailov et al. 2023, summed; with labels that may be wrong, Mitchell 2023."""
    losses = []
    for item in items:
        assert item.rejected is not None
        margin = log_likelihood(model, item) - log_likelihood(model, item.rejected)
        moved = BETA * (margin - item.reference)
        losses.append((1 - smoothing) * (1 + (-moved).exp()).log())
        losses.append(smoothing * (1 + moved.exp()).log())
    return torch.stack(losses).sum()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_and_gradients_are_those_of_the_formula(
    name: str, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In many small chunks too: a chunk holds two positions' logits here."""
    monkeypatch.setitem(chunked.CHUNK, "cpu", 64 * 300)
    model = language_model(name)
    task = preference(model)
    with torch.no_grad():
        margins = task.margins(model, task.collate(pairs(task))).tolist()
    items = pairs(task, [m + apart for m, apart in zip(margins, (4.0, -3.0, 0.0), strict=True)])
    expected = written_out(model, items, smoothing)
    expected.backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    loss = task.loss(model, task.collate(items), label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)
    loss.backward()
    for n, p in model.named_parameters():
        if n in wanted:
            torch.testing.assert_close(p.grad, wanted[n], rtol=1e-3, atol=1e-4, msg=n)


def test_before_the_first_step_every_pair_costs_log_two() -> None:
    model = language_model("llama")
    task = preference(model)
    with torch.no_grad():
        margins = task.margins(model, task.collate(pairs(task)))
    loss = task.loss(model, task.collate(pairs(task, margins.tolist())))
    assert float(loss.detach()) == pytest.approx(len(PAIRS) * math.log(2), abs=1e-4)


def test_pairs_count_as_pairs_and_chats_as_tokens() -> None:
    task = preference(language_model("gpt2"))
    chats, both = task.encode(PAIRS), pairs(task, [0.0, 0.0, 0.0])
    assert task.units(both) == len(PAIRS)
    assert task.units(chats) == sum(int((item.labels != IGNORED).sum()) for item in chats)
    batch = task.collate(both)
    assert batch["input_ids"].shape[0] == 2 * len(PAIRS)
    assert batch["reference"].dtype == torch.float32
    assert set(task.collate(chats)) == {"input_ids", "attention_mask", "labels"}


def test_pairs_without_a_reference_are_not_learnt_from() -> None:
    model = language_model("gpt2")
    task = preference(model)
    with pytest.raises(KeyError, match="reference"):
        task.loss(model, task.collate(pairs(task)))


def test_learning_parts_the_two_answers_and_chats_afterwards() -> None:
    model = language_model("gpt2").train()
    task = preference(model)
    with torch.no_grad():
        before = task.margins(model, task.collate(pairs(task)))
    batch = task.collate(pairs(task, before.tolist()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(10):
        task.loss(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        after = task.margins(model, task.collate(pairs(task)))
    assert (after > before + 1).all()
    assert task.state()["name"] == "instruct"


def test_the_rejected_answer_stands_where_the_chosen_one_stood() -> None:
    example = rejected_answer(PAIRS[0])
    assert (example.output, example.rejected) == (PAIRS[0].rejected, None)
    task = preference(language_model("gpt2"))
    assert task.prompt(example) == task.prompt(PAIRS[0])
