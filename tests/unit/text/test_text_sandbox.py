"""Templates of strangers: rendered as in transformers, and kept in their sandbox."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError
from task_models import gpt_tokenizer

from tinyforge.errors import DataError, ModelError
from tinyforge.records.examples import Message
from tinyforge.text.templates import DEFAULT_TEMPLATE, render

# In the ways of writing that are met on the hub: ChatML, Llama 2 and 3, Mistral, Gemma, Phi,
# Zephyr, DeepSeek, Qwen, Command R, and the words that transformers adds to Jinja.
TEMPLATES = {
    "default": DEFAULT_TEMPLATE,
    "chatml": "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\\n' + m['content'] + "
    "'<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "lines": """
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set rest = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in rest %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- '[INST] ' + (system + '\\n\\n' if loop.last and system is defined else '') }}
        {{- message['content'] | trim + ' [/INST]' }}
    {%- else %}
        {{- ' ' + message['content'] | trim + eos_token }}
    {%- endif %}
{%- endfor %}
""",
    "headers": "{{ bos_token }}{% for m in messages %}{{ '<|h|>' + m.role + '</h>\\n\\n' + "
    "m.content | trim + '<|eot|>' }}{% endfor %}{{ '<|h|>assistant</h>\\n\\n' if "
    "add_generation_prompt else '' }}",
    "blocks": """{% for message in messages %}
    {% if message.role == 'system' %}
        {% continue %}
    {% endif %}
<{{ message.role }}>
  {{ message.content }}
</{{ message.role }}>
    {% if loop.index > 3 %}
        {% break %}
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}<assistant>
{% endif %}
""",
    "namespace": "{% set ns = namespace(first=true, n=0) %}{% for m in messages %}"
    "{% set ns.n = ns.n + m.content | length %}{% if ns.first %}{% set ns.first = false %}"
    "{{ bos_token }}{% endif %}{{ m.role | capitalize }}({{ ns.n }}): {{ m.content }}\n"
    "{% endfor %}",
    "generation": "{% for m in messages %}{{ m.role }}:"
    "{% if m.role == 'assistant' %}{% generation %}{% set x = 'kept' %}{{ m.content }}"
    "{{ x }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{{ x }}\n{% endfor %}",
    "generation-lines": "{% for m in messages %}\n  {% generation %}\n  {{ m.content }}\n"
    "  {% endgeneration %}\n{% endfor %}\n",
    "json": "{{ messages | tojson }}{{ messages | tojson(indent=2) }}"
    "{{ {'b': 1, 'a': '<é>'} | tojson(sort_keys=true, ensure_ascii=true) }}"
    "{{ [1, 2] | tojson(separators=(',', ':')) }}",
    "macro": "{% macro turn(m, end='') %}{{ m.role ~ '=' ~ m.content ~ end }}{% endmacro %}"
    "{% for m in messages %}{{ turn(m, end=eos_token) }}{% endfor %}",
    "tools": "{% if tools is not none and tools %}{{ tools }}{% elif tools is defined %}none"
    "{% endif %}{{ documents }}{{ unknown is defined }}{{ date_string | default('today') }}"
    "{{ messages[-1]['content'] }}",
    "dict": "{% set d = dict(a=1, b=messages|length) %}{{ d.b }}{{ d.items() | list }}"
    "{{ dict.fromkeys(['x', 'y'], 0) }}",
    "strings": "{% for m in messages %}{{ m['content'].strip() | upper }}|"
    "{{ m.content.split()[-1:] }}|{{ m.content.replace('e', 'E') }}|{{ m.content[:3] }}|"
    "{{ '%s-%s' | format(m.role, loop.index) }}{{ ', ' if not loop.last }}{% endfor %}",
    "tokens": "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ unk_token }}{{ sep_token }}",
    "alternate": "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}"
    "{{ raise_exception('no ' + m.role) }}{% endif %}{{ m.content }}{% endfor %}",
    "last-only": "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') "
    "| list | last }}",
    "escapes": "{% for m in messages %}{{ m.content | e }}{{ m.content }}{% endfor %}",
    "comments": "{# a note #}\n{{ messages[0].role }}\n{#- another -#}\n  x\n",
    "undefined": "{{ nothing }}{{ messages[0].nothing }}",
    "attribute-of-undefined": "{{ nothing.at_all }}",
    "year": "{{ strftime_now('%Y') }}",
}

CHATS = [
    [("user", "hi")],
    [("system", "Be brief."), ("user", " hi <b>\n")],
    [("user", "a"), ("assistant", " b\n"), ("user", "c 'd' \"e\" {{ f }} {% g %}")],
    [("system", "s"), ("user", "é 🐕"), ("assistant", "</s>"), ("user", "")],
    [("user", "a"), ("user", "b")],
    [("tool", "x"), ("assistant", "y")],
]


@pytest.fixture(scope="module")
def tokenizer():
    return gpt_tokenizer(start=True)


def outcome(write: Any) -> str:
    """What is written; where the template refuses, that."""
    try:
        return str(write())
    except (TemplateError, TypeError, ValueError, KeyError, DataError, ModelError):
        return "<refused>"


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_same_text_as_in_transformers(tokenizer, name):
    tokenizer.chat_template = TEMPLATES[name]
    written = set()
    for chat, speak in itertools.product(CHATS, (True, False)):
        turns = [{"role": role, "content": content} for role, content in chat]
        theirs = outcome(
            lambda turns=turns, speak=speak: tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=speak
            )
        )
        messages = [Message(role, content) for role, content in chat]
        assert outcome(lambda m=messages, s=speak: render(tokenizer, m, s)) == theirs
        written.add(theirs)
    assert written != {"<refused>"} or name == "attribute-of-undefined"


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(TEMPLATES)),
    chat=st.lists(
        st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=20)),
        min_size=1, max_size=5,
    ),
    speak=st.booleans(),
)  # fmt: skip
def test_wild_chats(tokenizer, name, chat, speak):
    tokenizer.chat_template = TEMPLATES[name]
    turns = [{"role": role, "content": content} for role, content in chat]
    theirs = outcome(
        lambda: tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=speak)
    )
    messages = [Message(role, content) for role, content in chat]
    assert outcome(lambda: render(tokenizer, messages, speak)) == theirs


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__globals__['os'] }}",
        "{{ dict.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('true').read() }}",
        "{{ messages.append('x') }}",
        "{{ messages[0].update({'role': 'x'}) }}",
        "{% set ns = namespace(_x=1) %}{{ ns._x }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ '{0.__class__}'.format(messages) }}",
        "{{ self._TemplateReference__context }}",
        "{{ messages | attr('__class__') }}",
    ],
)
def test_what_leaves_the_sandbox_is_refused_or_empty(tokenizer, template):
    tokenizer.chat_template = template
    found = outcome(lambda: render(tokenizer, [Message("user", "hi")], False))
    assert found in ("<refused>", "")


@pytest.mark.parametrize("change", ["(_x=1)", "({'_x': 1})", "() %}{% set ns._x = 1"])
def test_a_namespace_holds_no_names_with_an_underscore(tokenizer, change):
    tokenizer.chat_template = "{% set ns = namespace" + change + " %}done"
    with pytest.raises(ModelError, match="underscore"):
        render(tokenizer, [Message("user", "hi")], False)


def test_several_templates(tokenizer):
    tokenizer.chat_template = {"default": "d{{ messages[0].content }}", "tool_use": "t"}
    assert render(tokenizer, [Message("user", "hi")], False) == "dhi"
    tokenizer.chat_template = {"rag": "r", "tool_use": "t"}
    with pytest.raises(ModelError, match="none is called default"):
        render(tokenizer, [Message("user", "hi")], False)


def test_a_message_is_not_changed_by_a_template(tokenizer):
    tokenizer.chat_template = "{% set m = messages[0] %}{% set m = 'x' %}{{ messages[0].content }}"
    message = Message("user", "hi")
    assert render(tokenizer, [message], False) == "hi"
    assert message.content == "hi"
