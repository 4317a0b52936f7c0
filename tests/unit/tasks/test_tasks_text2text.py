"""Input to answer, in two sequences or in one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from task_models import CONFIGS, gpt_tokenizer, language_model, t5_tokenizer

from tinyforge.config.settings import Settings
from tinyforge.errors import ModelError
from tinyforge.records.encoded import IGNORED
from tinyforge.records.examples import Example
from tinyforge.tasks import build_task

PAIR = Example(input="how are you", output="you are how")


def task_for(config: str, tokenizer: Any, prefix: str | None = None) -> Any:
    return build_task(
        "text2text", tokenizer=tokenizer, config=CONFIGS[config](),
        settings=Settings(data={"prefix": prefix}),  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("appends_end", [True, False])
def test_both_sides_end_with_one_end_token(appends_end: bool) -> None:
    task = task_for("t5-tied", t5_tokenizer(appends_end=appends_end), "reverse: ")
    encoded = task.encode([PAIR])[0]
    for ids in (encoded.input_ids.tolist(), encoded.labels.tolist()):
        assert ids[-1] == 1
        assert ids.count(1) == 1
    text = task.tokenizer.decode(encoded.input_ids, skip_special_tokens=True)
    assert text == "reverse: how are you"
    assert task.prompt(PAIR) == "reverse: how are you"


def test_a_tokenizer_with_other_special_tokens_at_its_end_still_gets_an_end_token() -> None:
    from tokenizers import processors

    tokenizer = t5_tokenizer(appends_end=False)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s> <unk>", special_tokens=[("</s>", 1), ("<unk>", 2)]
    )
    task = task_for("t5-tied", tokenizer)
    encoded = task.encode([PAIR])[0]
    assert encoded.labels[-2:].tolist() == [1, 2]
    cut = task.cut(encoded, 4, 3)
    assert cut.labels.tolist() == [int(encoded.labels[0]), 1, 2]
    assert cut.input_ids[-2:].tolist() == [1, 2]


def test_the_decoder_sees_the_answer_moved_right() -> None:
    task = task_for("t5-tied", t5_tokenizer())
    model = language_model("t5-tied")
    items = task.encode([PAIR, Example(input="soon", output="i")])
    batch = task.collate(items)
    expected = model.prepare_decoder_input_ids_from_labels(batch["labels"])
    assert torch.equal(batch["decoder_input_ids"], expected)
    assert (batch["labels"][1, len(items[1].labels) :] == IGNORED).all()


def test_a_model_without_start_token_shifts_by_itself() -> None:
    config = CONFIGS["bart"]()
    task = build_task("text2text", tokenizer=t5_tokenizer(), config=config, settings=Settings())
    model = language_model("bart").eval()
    batch = task.collate(task.encode([PAIR]))
    expected = task.loss(model, batch)
    config.decoder_start_token_id = None
    without = task.collate(task.encode([PAIR]))
    assert "decoder_input_ids" not in without
    torch.testing.assert_close(task.loss(model, without), expected)


def test_an_unanswered_example_is_its_input() -> None:
    task = task_for("t5-tied", t5_tokenizer())
    encoded = task.encode([Example(input="soon"), PAIR])
    assert len(encoded[0].labels) == 0
    assert len(encoded[1].labels) > 0


@pytest.mark.parametrize("start", [True, False])
def test_one_sequence_learns_exactly_the_answer(start: bool) -> None:
    task = task_for("llama", gpt_tokenizer(start=start), "reverse: ")
    encoded = task.encode([PAIR])[0]
    decode = task.tokenizer.decode
    learnt = encoded.labels != IGNORED
    assert decode(encoded.input_ids[learnt]) == "you are how<end>"
    prompt = "reverse: how are you\n"
    assert decode(encoded.input_ids[~learnt]) == ("<start>" if start else "") + prompt
    assert task.prompt(PAIR) == prompt
    assert task.prompt_ids(PAIR).tolist() == encoded.input_ids[~learnt].tolist()


def test_the_prompt_is_cut_from_its_left_and_the_answer_before_its_end() -> None:
    task = task_for("llama", gpt_tokenizer(start=True))
    encoded = task.encode([PAIR])[0]
    answer = int((encoded.labels != IGNORED).sum())
    prompt = len(encoded.input_ids) - answer
    cut = task.cut(encoded, answer + 3, 0)
    assert cut.input_ids.tolist() == [2, *encoded.input_ids[prompt - 2 :].tolist()]
    assert (cut.cut_input, cut.cut_output) == (prompt - 3, 0)
    short = task.cut(encoded, 4, 0)
    assert short.input_ids.tolist()[1:] == [*encoded.input_ids[prompt : prompt + 2].tolist(), 1]
    assert (short.cut_input, short.cut_output) == (prompt - 1, answer - 3)


def test_a_model_without_end_token_is_refused() -> None:
    tokenizer, config = gpt_tokenizer(), CONFIGS["llama"]()
    tokenizer.eos_token = None
    config.eos_token_id = None
    with pytest.raises(ModelError, match="no end token"):
        build_task("text2text", tokenizer=tokenizer, config=config, settings=Settings())
