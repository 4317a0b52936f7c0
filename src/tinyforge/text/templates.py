"""Chat templates: how a conversation becomes the one text that a model reads.

A model's own template is used where it has one. Templates are Jinja that strangers wrote; they run
in ``text.sandbox``, with or without transformers, and write what transformers would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyforge.errors import DataError, ModelError
from tinyforge.records.examples import Message

# Newlines stand in expressions: transformers drops the newline after a Jinja block.
DEFAULT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '### ' + message['role'] | capitalize + ':\\n' + message['content'] }}"
    "{{ eos_token + '\\n' if message['role'] == 'assistant' else '\\n\\n' }}"
    "{% endfor %}"
    "{{ '### Assistant:\\n' if add_generation_prompt else '' }}"
)
"""Plain-text role headers, so that no token is needed that a pretrained model has never seen; each
answer ends with the end token."""


def default_template(tokenizer: Any) -> str:
    """The template for a model without one, with a start token where the tokenizer adds one."""
    start = tokenizer.bos_token_id
    begins = start is not None and tokenizer("a")["input_ids"][:1] == [start]
    return ("{{ bos_token }}" if begins else "") + DEFAULT_TEMPLATE


def ensure_template(tokenizer: Any) -> str:
    """Gives a tokenizer without a chat template the default one.

    Returns:
        A sentence for the user, empty where the model has its own template.
    """
    if tokenizer.chat_template:
        return ""
    tokenizer.chat_template = default_template(tokenizer)
    return (
        "the model has no chat template, so TinyForge's default is used: the headers "
        "'### User:' and '### Assistant:', each answer ended by the end token"
    )


def render(tokenizer: Any, messages: Sequence[Message], add_generation_prompt: bool) -> str:
    """The exact text of a conversation, special tokens included.

    Tokenize it with ``add_special_tokens=False``: a start token is in the text already.

    Args:
        add_generation_prompt: end with the header after which the assistant answers.

    Raises:
        DataError: the template refuses these roles or their order.
        ModelError: the template itself is broken or does what the sandbox forbids.
    """
    from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError

    from tinyforge.text.sandbox import compiled

    roles = ", ".join(m.role for m in messages)
    if not messages:
        raise DataError("a conversation has no messages")
    template = _template(tokenizer)
    turns = [{"role": m.role, "content": m.content} for m in messages]
    try:
        text = compiled(template).render(
            **{
                "messages": turns,
                "tools": None,
                "documents": None,
                "add_generation_prompt": add_generation_prompt,
                **tokenizer.special_tokens_map,
            }
        )
    except (TemplateSyntaxError, SecurityError) as error:
        raise ModelError(
            "the model's chat template is broken",
            value=str(error),
            fix="Repair chat_template in the model's tokenizer files, or delete it for the default",
        ) from error
    except (TemplateError, TypeError, ValueError, KeyError, OverflowError) as error:
        raise DataError(
            f"the model's chat template refuses a conversation with the roles {roles}: {error}",
            fix="Bring the messages into the order the model knows (often: no system message, "
            "user and assistant in turn)",
        ) from error
    return text


def _template(tokenizer: Any) -> str:
    """The tokenizer's template; of several, the one called default."""
    found = tokenizer.chat_template
    where = str(getattr(tokenizer, "name_or_path", ""))
    if not found:
        raise ModelError("the model has no chat template", where=where)
    if isinstance(found, Mapping):
        if "default" not in found:
            raise ModelError(
                "the model has several chat templates, and none is called default", where=where,
                value=", ".join(sorted(found)), fix="Keep one of them in its tokenizer files",
            )  # fmt: skip
        found = found["default"]
    return str(found)
