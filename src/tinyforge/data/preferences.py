"""Preference pairs: a prompt with a better and a worse answer, in the shapes met in the wild.

The answers may be texts, single turns, or whole chats that share all but their last turn; the
prompt may be a text, a chat, or stand in the chats alone (Anthropic's transcripts among them).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tinyforge.config.data import DataSettings
from tinyforge.data.cells import BadRow, input_of, optional, text_of
from tinyforge.data.turns import Turn, check_order, turn_of, turns_of
from tinyforge.records.examples import Message

_SPEAKER = re.compile(r"(?:\A|\n\n)(Human|Assistant): ?")
_SPEAKS = {"Human": "user", "Assistant": "assistant"}


def preference(
    fields: Mapping[str, Any], roles: Mapping[str, str], settings: DataSettings
) -> dict[str, Any]:
    """The parts of an ``Example``: as of a chat that ends with the chosen answer, and ``rejected``.

    Raises:
        BadRow: an answer is missing, both are the same, or they answer different prompts.
    """
    before = _prompt(fields, roles)
    chosen = _whole(fields, roles["chosen"], before)
    rejected = _whole(fields, roles["rejected"], before)
    for turns in (chosen, rejected):
        if not turns or turns[-1][0] != "assistant":
            raise BadRow("no assistant turn")
        if not any(role == "user" for role, _ in turns):
            raise BadRow("no user turn")
        check_order(turns)
    if chosen[:-1] != rejected[:-1]:
        raise BadRow("chosen and rejected answer different prompts")
    if chosen[-1][1].strip() == rejected[-1][1].strip():
        raise BadRow("chosen and rejected are the same")
    if settings.system and chosen[0][0] != "system":
        chosen = [("system", settings.system), *chosen]
    return {
        "input": [content for role, content in chosen if role == "user"][-1],
        "output": chosen[-1][1],
        "messages": tuple(Message(role, content) for role, content in chosen),
        "rejected": rejected[-1][1],
    }


def _prompt(fields: Mapping[str, Any], roles: Mapping[str, str]) -> list[Turn]:
    """The turns before the answers, as far as they stand in columns of their own."""
    if "messages" in roles:
        turns = turns_of(fields.get(roles["messages"]), roles["messages"])
        return turns[:-1] if turns[-1][0] == "assistant" else turns
    if "instruction" not in roles and not optional(fields, roles.get("input")):
        return []
    text = input_of(fields, roles)
    turns = _transcript(text)
    while turns and turns[-1] == ("assistant", ""):
        turns.pop()
    return turns or [("user", text)]


def _whole(fields: Mapping[str, Any], column: str, before: list[Turn]) -> list[Turn]:
    """The chat up to and with one answer."""
    value = fields.get(column)
    if isinstance(value, Mapping):
        turns = [turn_of(value)]
    elif isinstance(value, (list, tuple)):
        turns = turns_of(value, column)
    else:
        text = text_of(fields, column, empty="empty output")
        turns = _transcript(text) or [("assistant", text)]
    return turns if turns[0][0] != "assistant" else [*before, *turns]


def _transcript(text: str) -> list[Turn]:
    """The turns of a text in which ``Human:`` and ``Assistant:`` stand; empty where they do not."""
    if not text.lstrip().startswith("Human:"):
        return []
    _, *parts = _SPEAKER.split(text.lstrip())
    return [
        (_SPEAKS[speaker], content.strip())
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    ]
