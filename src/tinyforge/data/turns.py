"""Chats: who said what, in the shapes that files have them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyforge.data.cells import BadRow, as_text

Turn = tuple[str, str]
"""Role and content."""

ROLES = {
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "model": "assistant",
    "chatbot": "assistant", "function_call": "assistant",
    "system": "system", "developer": "system",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool",
}  # fmt: skip
"""Who speaks, in the words of OpenAI, ShareGPT and LLaMA-Factory files."""

_BEFORE = {"user": ("", "system", "assistant", "tool"), "assistant": ("user", "tool"),
           "tool": ("assistant", "tool"), "system": ("",)}  # fmt: skip


def check_order(turns: Sequence[Turn]) -> None:
    """Raise BadRow where somebody speaks out of turn, or says nothing."""
    before = ""
    for role, content in turns:
        if before not in _BEFORE[role]:
            raise BadRow("roles out of order", f"{role} after {before or 'nothing'}")
        if not content.strip():
            raise BadRow("empty output" if role == "assistant" else "empty input", role)
        before = role


def turns_of(value: Any, column: str) -> list[Turn]:
    """A cell's chat, turn by turn."""
    if value is None or value == []:
        raise BadRow("empty input", column)
    if not isinstance(value, (list, tuple)):
        raise BadRow("wrong type", f"{column} is a {type(value).__name__}, not a list of turns")
    return [turn_of(turn) for turn in value]


def turn_of(turn: Any) -> Turn:
    """Who speaks, in our words, and what is said."""
    if not isinstance(turn, Mapping):
        raise BadRow("wrong type", "a turn is not an object")
    name = turn.get("role", turn.get("from"))
    role = ROLES.get(str(name).strip().lower())
    if role is None:
        raise BadRow("unknown role", str(name)[:40])
    content = turn.get("content", turn.get("value"))
    if isinstance(content, (list, tuple)):
        texts = [part.get("text") for part in content if isinstance(part, Mapping)]
        if len(texts) != len(content) or not all(isinstance(text, str) for text in texts):
            raise BadRow("wrong type", "a turn holds something other than text")
        content = "\n".join(map(str, texts))
    return role, "" if content is None else as_text(content, "content")
