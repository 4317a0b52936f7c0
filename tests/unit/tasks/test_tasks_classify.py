"""Labels in, labels out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from task_models import CONFIGS, bert_tokenizer

from tinyforge.config.settings import Settings
from tinyforge.errors import DataError, ModelError
from tinyforge.records.examples import Example
from tinyforge.records.rows import Source
from tinyforge.tasks import build_task, task_from_state
from tinyforge.tasks.classify import Classify

LABELS = ("bad", "good", "so-so")


def task_for(*, multi_label: bool = False, prefix: str | None = None) -> Classify:
    config = CONFIGS["bert"]()
    config.num_labels = len(LABELS)
    task = build_task(
        "classify", tokenizer=bert_tokenizer(), config=config, labels=LABELS,
        multi_label=multi_label, settings=Settings(data={"prefix": prefix}),  # type: ignore[arg-type]
    )  # fmt: skip
    assert isinstance(task, Classify)
    return task


def test_special_tokens_stand_around_the_text_and_stay_when_it_is_cut() -> None:
    task = task_for(prefix="reverse: ")
    encoded = task.encode([Example("the cat sat on the mat", output="good")])[0]
    cls, sep = task.tokenizer.cls_token_id, task.tokenizer.sep_token_id
    assert (encoded.input_ids[0], encoded.input_ids[-1]) == (cls, sep)
    assert task.prompt(Example("the cat")) == "reverse: the cat"
    cut = task.cut(encoded, 5, 1)
    assert cut.input_ids.tolist() == [*encoded.input_ids[:4].tolist(), sep]
    assert cut.cut_input == len(encoded.input_ids) - 5
    assert task.cut(cut, 4, 1).cut_input == cut.cut_input + 1


def test_labels_are_indices_and_many_hot_rows() -> None:
    one = task_for()
    items = one.encode([Example("a", output="so-so"), Example("b", output="bad")])
    assert one.collate(items)["labels"].tolist() == [2, 0]
    many = task_for(multi_label=True)
    rows = [Example("a", labels=("so-so", "bad")), Example("b", labels=()), Example("c")]
    batch = many.collate(many.encode(rows))
    assert batch["labels"].tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert batch["labels"].dtype == torch.float32


def test_rows_without_answer_have_no_labels() -> None:
    task = task_for()
    items = task.encode([Example("soon"), Example("the cat sat")])
    batch = task.collate(items)
    assert set(batch) == {"input_ids", "attention_mask"}
    assert batch["attention_mask"].sum(1).tolist() == [len(i.input_ids) for i in items]
    assert batch["input_ids"][0, -1] == task.tokenizer.pad_token_id


def test_an_unknown_label_names_the_row_and_the_nearest_one() -> None:
    example = Example("x", output="goood", source=Source("new.csv", 12))
    with pytest.raises(DataError, match=r"new\.csv:12: .*'goood'.*Did you mean 'good'"):
        task_for().encode([example])


def test_one_label_is_the_likeliest() -> None:
    answers = task_for().decide(torch.tensor([[0.0, 2.0, 0.0], [5.0, 0.0, 0.0]]))
    assert [a.output for a in answers] == ["good", "bad"]
    assert answers[0].labels == ("good",)
    assert answers[0].confidence == pytest.approx(0.78699, abs=1e-4)
    assert sum(answers[0].scores.values()) == pytest.approx(1.0)
    assert list(answers[0].scores) == list(LABELS)
    assert answers[0].finish_reason == "label"


def test_many_labels_are_all_that_pass_the_threshold() -> None:
    task = task_for(multi_label=True)
    two, none = task.decide(torch.tensor([[3.0, -1.0, 1.0], [-3.0, -1.0, -2.0]]))
    assert (two.output, two.labels) == ("bad, so-so", ("bad", "so-so"))
    assert two.confidence == pytest.approx(0.7311, abs=1e-4)
    assert (none.output, none.labels) == ("", ())
    assert none.confidence == pytest.approx(0.7311, abs=1e-4)
    task.threshold = 0.8
    again = task_from_state(task.state(), task.tokenizer, task.config)
    assert again.decide(torch.tensor([[3.0, -1.0, 1.0]]))[0].labels == ("bad",)  # type: ignore[attr-defined]


def test_label_smoothing_is_torchs_and_for_many_labels_towards_one_half() -> None:
    logits = torch.tensor([[0.3, -2.0, 1.0], [0.1, 0.2, 0.3]])

    class Model:
        def __call__(self, **inputs: Any) -> Any:
            return type("Output", (), {"logits": logits})

    one, many = task_for(), task_for(multi_label=True)
    batch = one.collate(one.encode([Example("a", output="bad"), Example("b", output="good")]))
    expected = torch.nn.functional.cross_entropy(
        logits, torch.tensor([0, 1]), reduction="sum", label_smoothing=0.1
    )
    torch.testing.assert_close(one.loss(Model(), batch, label_smoothing=0.1), expected)
    batch = many.collate(many.encode([Example("a", labels=("bad",)), Example("b", labels=())]))
    soft = torch.tensor([[0.95, 0.05, 0.05], [0.05, 0.05, 0.05]])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, soft) * 2
    torch.testing.assert_close(many.loss(Model(), batch, label_smoothing=0.1), expected)


def test_a_model_with_another_number_of_outputs_is_refused() -> None:
    config = CONFIGS["bert"]()
    config.num_labels = 2
    with pytest.raises(ModelError, match="2 outputs and there are 3 labels"):
        build_task(
            "classify", tokenizer=bert_tokenizer(), config=config, labels=LABELS,
            settings=Settings(),
        )  # fmt: skip
