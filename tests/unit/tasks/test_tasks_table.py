"""Reading tasks back, and guessing the task of a folder from elsewhere."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from task_models import (
    CONFIGS,
    bert_tokenizer,
    classifier,
    gpt_tokenizer,
    language_model,
    t5_tokenizer,
)

from tinyforge.config.settings import Settings
from tinyforge.errors import FolderError, ModelError, SettingError
from tinyforge.records.examples import Example
from tinyforge.tasks import build_task, guess_task, losses, task_from_state
from tinyforge.tasks.decoder import shifted
from tinyforge.tasks.tokens import affixes, token_ids


def config_of(name: str, architecture: str, **more: Any) -> Any:
    config = CONFIGS[name]()
    config.architectures = [architecture]
    for field, value in more.items():
        setattr(config, field, value)
    return config


def test_a_foreign_classifier_has_its_own_labels() -> None:
    config = config_of("bert", "BertForSequenceClassification")
    config.num_labels = 4
    config.id2label = {1: "b", 0: "a", 3: "k", 2: "c"}
    task = guess_task(config, bert_tokenizer())
    assert task.name == "classify"
    assert task.labels == ("a", "b", "c", "k")  # type: ignore[attr-defined]
    assert not task.multi_label  # type: ignore[attr-defined]
    config.problem_type = "multi_label_classification"
    assert guess_task(config, bert_tokenizer()).multi_label  # type: ignore[attr-defined]


def test_a_foreign_encoder_decoder_gets_the_input_as_it_is() -> None:
    config = config_of("t5-tied", "T5ForConditionalGeneration")
    config.task_specific_params = {"summarization": {"prefix": "summarize: "}}
    task = guess_task(config, t5_tokenizer())
    assert (task.name, task.family) == ("text2text", "encoder-decoder")
    assert task.prompt(Example(input="Boil an egg.")) == "Boil an egg."


def test_a_foreign_decoder_chats_with_a_template_and_continues_without() -> None:
    tokenizer = gpt_tokenizer(start=True)
    config = config_of("llama", "LlamaForCausalLM")
    plain = guess_task(config, tokenizer)
    assert plain.name == "language-model"
    assert plain.prompt(Example(input=" Once upon")) == " Once upon"
    ids = plain.prompt_ids(Example(input=" Once upon"))  # type: ignore[attr-defined]
    assert ids.tolist() == tokenizer(" Once upon")["input_ids"]
    assert tokenizer.chat_template is None
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}:"
    chat = guess_task(config, tokenizer)
    assert chat.name == "instruct"
    assert chat.prompt(Example(input="hi")) == "hi:"


def test_a_model_without_an_answering_head_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no head that answers.*BertModel"):
        guess_task(config_of("bert", "BertModel"), bert_tokenizer())


@pytest.mark.parametrize(
    "state", [{}, {"name": "classify", "prefix": ""}, {"name": "text2text", "prefix": ""}]
)
def test_a_damaged_state_is_one_clear_error(state: dict[str, Any]) -> None:
    with pytest.raises(FolderError, match="cannot be read"):
        task_from_state(state, bert_tokenizer(), CONFIGS["bert"]())


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(SettingError, match=r"clasify.*classify"):
        build_task(
            "clasify", tokenizer=bert_tokenizer(), config=CONFIGS["bert"](), settings=Settings()
        )


def test_affixes_are_what_the_tokenizer_adds() -> None:
    assert affixes(bert_tokenizer()) == ([2], [3])
    assert affixes(t5_tokenizer()) == ([], [1])
    assert affixes(gpt_tokenizer(start=True)) == ([2], [])
    assert affixes(gpt_tokenizer()) == ([], [])


def test_long_texts_and_a_tokenizer_that_cuts_by_itself_lose_nothing() -> None:
    tokenizer = bert_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=6)
    text = "the cat sat on the mat " * 200
    ids = token_ids(tokenizer, [text, "soon"], special=True)
    assert len(ids[0]) > 1000
    assert len(ids[1]) < 6


class Odd(torch.nn.Module):
    """A language model whose logits are not what its head says."""

    def __init__(self, model: Any, *, change: Any, names_head: bool = True) -> None:
        super().__init__()
        self.inner, self.config = model, model.config
        self.change, self.names_head = change, names_head

    def forward(self, **inputs: torch.Tensor) -> Any:
        output = self.inner(**inputs)
        output.logits = self.change(output.logits)
        return output

    def get_output_embeddings(self) -> Any:
        return self.inner.get_output_embeddings() if self.names_head else None


@pytest.mark.parametrize(
    ("change", "names_head", "way"),
    [
        (lambda logits: logits, True, "fused"),
        (lambda logits: 40 * torch.tanh(logits / 40), True, "gathered"),
        (lambda logits: logits + torch.arange(300.0).log1p(), True, "gathered"),
        (lambda logits: logits - logits[:, :1], True, "plain"),
        (lambda logits: logits * 2, False, "plain"),
    ],
)
def test_the_way_to_the_loss_is_tried_out(
    change: Any, names_head: bool, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tinyforge")
    plain = language_model("llama").train()
    with torch.no_grad():  # logits so small that a cap hardly shows on real rows
        plain.lm_head.weight.mul_(0.01)
    model = Odd(plain, change=change, names_head=names_head)
    task = build_task(
        "text2text", tokenizer=gpt_tokenizer(), config=plain.config, settings=Settings()
    )
    batch = task.collate(task.encode([Example(input="how are you", output="fine")] * 2))
    inputs = {k: v for k, v in batch.items() if k != "labels"}
    logits = model(**inputs).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), reduction="sum"
    )
    torch.testing.assert_close(task.loss(model, batch), expected)
    assert losses.way_of(model, *shifted(batch)) == way
    assert plain.training
    assert bool(caplog.records) == (way != "fused")


def test_a_batch_with_nothing_to_learn_has_no_loss() -> None:
    model = language_model("llama")
    task = build_task(
        "text2text", tokenizer=gpt_tokenizer(), config=model.config, settings=Settings()
    )
    nothing = task.collate(task.encode([Example(input="how are you")]))
    assert task.loss(model, nothing) == 0
    assert model not in losses._ways
    task.loss(model, task.collate(task.encode([Example(input="how", output="fine")])))
    loss = task.loss(model, nothing)
    loss.backward()
    assert loss == 0


def test_classifiers_of_every_family_read_what_collate_gives() -> None:
    for name in ("bert", "distilbert"):
        model = classifier(name, 2)
        task = build_task(
            "classify", tokenizer=bert_tokenizer(), config=model.config, labels=("a", "b"),
            settings=Settings(),
        )  # fmt: skip
        batch = task.collate(task.encode([Example("soon"), Example("the cat sat")]))
        assert task.logits(model, batch).shape == (2, 2)  # type: ignore[attr-defined]
