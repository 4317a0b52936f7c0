"""Chats: which tokens are learnt, under the templates met in the wild."""

from __future__ import annotations

from typing import Any

import pytest
from task_models import CONFIGS, gpt_tokenizer

from tinyforge.config.settings import Settings
from tinyforge.errors import DataError
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example, Message
from tinyforge.records.rows import Source
from tinyforge.tasks import build_task, task_from_state
from tinyforge.tasks.instruct import Instruct
from tinyforge.text.templates import default_template

CHATML = (
    "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
FOREIGN_END = CHATML.replace("<end>", "<|turn|>")
"""Each turn ends with a token at which generation does not stop."""
BRACKETS = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[I] {{ m.content }} [/I]"
    "{% else %} {{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"
)
FORGETFUL = (
    "{% for m in messages %}<|turn|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('|')[-1] }}"
    "{% else %}{{ m.content }}{% endif %}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
"""Drops an answer's thoughts (before ``|``) once the chat has gone on."""
REFUSES_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + CHATML
)
CHAT = (
    Message("user", "hello"),
    Message("assistant", "good morning"),
    Message("user", "what is your name?"),
    Message("assistant", "a small bot"),
)


def task_with(template: str | None, **data: Any) -> Instruct:
    tokenizer = gpt_tokenizer(start=True)
    tokenizer.chat_template = template
    settings = Settings(data=data)  # type: ignore[arg-type]
    task = build_task("instruct", tokenizer=tokenizer, config=CONFIGS["llama"](), settings=settings)
    assert isinstance(task, Instruct)
    return task


def shown(task: Instruct, encoded: Encoded) -> str:
    """The text with learnt stretches in double angle brackets."""
    runs: list[tuple[bool, list[int]]] = []
    for token, label in zip(encoded.input_ids.tolist(), encoded.labels.tolist(), strict=True):
        learnt = label != IGNORED
        if not runs or runs[-1][0] != learnt:
            runs.append((learnt, []))
        runs[-1][1].append(token)
    texts = [(learnt, task.tokenizer.decode(ids)) for learnt, ids in runs]
    return "".join(f"«{text}»" if learnt else text for learnt, text in texts)


EXPECTED = {
    CHATML: "<|turn|>user\nhello<end>\n<|turn|>assistant\n«good morning<end>»\n<|turn|>user\n"
    "what is your name?<end>\n<|turn|>assistant\n«a small bot<end>»",
    FOREIGN_END: "<|turn|>user\nhello<|turn|>\n<|turn|>assistant\n«good morning<end>»<|turn|>\n"
    "<|turn|>user\nwhat is your name?<|turn|>\n<|turn|>assistant\n«a small bot<end>»",
    BRACKETS: "<start>[I] hello [/I]« good morning <end>»[I] what is your name? [/I]"
    "« a small bot <end>»",
    FORGETFUL: "<|turn|>user\nhello<end>\n<|turn|>assistant\n«good morning<end>»\n<|turn|>user\n"
    "what is your name?<end>\n<|turn|>assistant\n«a small bot<end>»",
    None: "<start>### User:\nhello\n\n### Assistant:\n«good morning<end>»\n### User:\n"
    "what is your name?\n\n### Assistant:\n«a small bot<end>»",
}


@pytest.mark.parametrize("template", EXPECTED)
def test_every_answer_is_learnt_with_its_end_token(template: str | None) -> None:
    task = task_with(template)
    assert shown(task, task.encode([Example(messages=CHAT)])[0]) == EXPECTED[template]


@pytest.mark.parametrize("template", EXPECTED)
def test_prompt_text_and_ids_are_those_of_training(template: str | None) -> None:
    task = task_with(template)
    asked = Example(messages=CHAT[:3])
    prompt = task.prompt_ids(asked).tolist()
    assert task.prompt(asked) == task.tokenizer.decode(prompt)
    assert task.prompt(asked) == task.prompt(Example(messages=CHAT))
    whole = task.encode([Example(messages=CHAT)])[0]
    assert whole.input_ids[: len(prompt)].tolist() == prompt
    assert (whole.labels[len(prompt) :] != IGNORED).all()


def test_only_the_last_answer_is_learnt_where_the_template_rewrites_history() -> None:
    task = task_with(FORGETFUL)
    chat = (CHAT[0], Message("assistant", "hm|good morning"), CHAT[2], CHAT[3])
    seen = shown(task, task.encode([Example(messages=chat)])[0])
    assert seen == EXPECTED[FORGETFUL].replace("«good morning<end>»", "good morning<end>")
    prompt = task.prompt_ids(Example(messages=chat[:3]))
    whole = task.encode([Example(messages=chat)])[0]
    assert whole.input_ids[: len(prompt)].tolist() == prompt.tolist()


def test_input_and_output_make_a_chat_with_prefix_and_system_message() -> None:
    task = task_with(CHATML, system="be kind", prefix="say: ")
    seen = shown(task, task.encode([Example(input="hello", output="bye")])[0])
    assert seen == (
        "<|turn|>system\nbe kind<end>\n<|turn|>user\nsay: hello<end>\n<|turn|>assistant\n«bye<end>»"
    )
    own = Example(messages=(Message("system", "be brief"), *CHAT[:2]))
    assert "be kind" not in shown(task, task.encode([own])[0])


def test_an_answer_that_looks_like_the_question_is_found_in_its_own_place() -> None:
    task = task_with(CHATML)
    chat = (Message("user", "echo"), Message("assistant", "echo"))
    seen = shown(task, task.encode([Example(messages=chat)])[0])
    assert seen == "<|turn|>user\necho<end>\n<|turn|>assistant\n«echo<end>»"


def test_an_empty_answer_is_its_end_token() -> None:
    task = task_with(CHATML)
    seen = shown(task, task.encode([Example(input="hello", output="")])[0])
    assert seen.endswith("<|turn|>assistant\n«<end>»")


def test_a_chat_that_the_assistant_begins() -> None:
    task = task_with(CHATML)
    chat = (Message("assistant", "hello"), *CHAT[2:])
    seen = shown(task, task.encode([Example(messages=chat)])[0])
    assert seen.startswith("<|turn|>assistant\n«hello<end>»\n<|turn|>user\n")
    alone = shown(task, task.encode([Example(messages=chat[:1])])[0])
    assert alone == "<|turn|>assistant\n«hello<end>»"


def test_roles_that_the_template_refuses_are_named_with_the_row() -> None:
    task = task_with(REFUSES_SYSTEM)
    chat = (Message("system", "be kind"), *CHAT[:2])
    with pytest.raises(DataError, match=r"chats\.jsonl:7: .*system, user"):
        task.encode([Example(messages=chat, source=Source("chats.jsonl", 7))])


def test_the_default_template_is_given_to_a_tokenizer_without_one() -> None:
    task = task_with(None)
    assert task.tokenizer.chat_template == default_template(task.tokenizer)


def test_cutting_takes_the_oldest_turns_first() -> None:
    task = task_with(None)
    encoded = task.encode([Example(messages=CHAT)])[0]
    cut = task.cut(encoded, 40, 0)
    assert len(cut.input_ids) == 40
    assert cut.input_ids[0] == task.tokenizer.bos_token_id
    assert shown(task, cut).endswith("### Assistant:\n«a small bot<end>»")
    tiny = task.cut(encoded, 4, 0)
    assert (tiny.labels[1:] != IGNORED).all()
    assert tiny.labels[-1] == task.end_ids[0]


def test_wherever_a_chat_is_cut_its_first_token_carries_no_loss() -> None:
    task = task_with(CHATML)
    encoded = task.encode([Example(messages=CHAT)])[0]
    for most in range(2, len(encoded.input_ids)):
        cut = task.cut(encoded, most, 0)
        assert cut.labels[0] == IGNORED
        assert len(cut.input_ids) == most


def test_system_message_travels_in_the_state() -> None:
    task = task_with(CHATML, system="be kind")
    again = task_from_state(task.state(), task.tokenizer, task.config)
    assert again.prompt(Example(input="hi")) == task.prompt(Example(input="hi"))
    assert "be kind" in again.prompt(Example(input="hi"))


def test_any_of_the_models_end_tokens_ends_a_turn() -> None:
    tokenizer = gpt_tokenizer()
    tokenizer.chat_template = FOREIGN_END
    config = CONFIGS["llama"]()
    config.eos_token_id = [1, 3]  # as chat models have it: end of text, end of turn
    task = build_task("instruct", tokenizer=tokenizer, config=config, settings=Settings())
    assert isinstance(task, Instruct)
    seen = shown(task, task.encode([Example(input="hello", output="bye")])[0])
    assert seen.endswith("assistant\n«bye<|turn|>»")
    assert task.end_ids == (1, 3)
