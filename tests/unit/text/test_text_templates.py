from __future__ import annotations

import pytest
from tokenizers import processors

from tinyforge.errors import DataError, ModelError
from tinyforge.records.examples import Message
from tinyforge.text.templates import ensure_template, render
from tinyforge.text.tokenizer_training import train_tokenizer

CHAT = [
    Message("system", "Be brief."),
    Message("user", "Hi"),
    Message("assistant", "Hello."),
    Message("user", "  Bye\n"),
]


@pytest.fixture
def tokenizer():
    return train_tokenizer(["hello there, how are you"] * 3, "bpe", 300)


def test_the_default_template(tokenizer):
    assert "no chat template" in ensure_template(tokenizer)
    text = render(tokenizer, CHAT, add_generation_prompt=True)
    assert text == (
        "### System:\nBe brief.\n\n### User:\nHi\n\n### Assistant:\nHello.<|endoftext|>\n"
        "### User:\n  Bye\n\n\n### Assistant:\n"
    )
    without = render(tokenizer, CHAT[:3], add_generation_prompt=False)
    assert text.startswith(without)
    assert ensure_template(tokenizer) == ""


def test_the_prompt_is_the_start_of_the_whole_conversation(tokenizer):
    ensure_template(tokenizer)
    prompt = render(tokenizer, CHAT[:2], add_generation_prompt=True)
    whole = render(tokenizer, CHAT[:3], add_generation_prompt=False)
    assert whole == prompt + "Hello.<|endoftext|>\n"


def test_a_start_token_is_written_where_the_tokenizer_adds_one(tokenizer):
    backend = tokenizer.backend_tokenizer
    end = ("<|endoftext|>", tokenizer.bos_token_id)
    backend.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[end]
    )
    ensure_template(tokenizer)
    assert render(tokenizer, CHAT[1:2], True).startswith("<|endoftext|>### User:")


def test_a_models_own_template_is_used(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    assert ensure_template(tokenizer) == ""
    assert render(tokenizer, CHAT[1:3], False) == "<user>Hi<assistant>Hello."


def test_a_template_that_refuses_roles(tokenizer):
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}x"
    )
    assert render(tokenizer, CHAT[1:], False) == "x"
    with pytest.raises(DataError, match=r"roles system, user, assistant, user: no system role"):
        render(tokenizer, CHAT, False)


@pytest.mark.parametrize(
    "template",
    [
        "{% for %}",
        "{{ messages.__class__.__mro__ }}{{ ''.__class__.__bases__[0].__subclasses__() }}",
    ],
)
def test_a_broken_or_forbidden_template(tokenizer, template):
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match="template is broken"):
        render(tokenizer, CHAT, False)


def test_no_template_and_no_messages(tokenizer):
    with pytest.raises(ModelError, match="no chat template"):
        render(tokenizer, CHAT, False)
    ensure_template(tokenizer)
    with pytest.raises(DataError, match="no messages"):
        render(tokenizer, [], True)
