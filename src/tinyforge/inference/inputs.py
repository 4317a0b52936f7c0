"""What a user hands to ``predict``, as examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyforge.errors import DataError
from tinyforge.records.examples import Example, Message
from tinyforge.records.rows import Source

ROLES = ("system", "user", "assistant", "tool")
TEXT_KEYS = ("input", "text", "prompt", "question")
"""Where a row's text is looked for, in this order."""

_KINDS = 'Give a text, a row such as {"input": "…"}, or a chat: {"messages": [{"role": "user", …}]}'


def is_single(given: Any) -> bool:
    """Whether this is one input rather than a list of them; a list of turns is one chat."""
    if isinstance(given, str | Mapping | Example):
        return True
    return isinstance(given, list | tuple) and bool(given) and all(map(_is_turn, given))


def to_example(given: Any, place: int = 1) -> Example:
    """One input as an example without an answer.

    Args:
        given: a text, a chat (a list of turns ``{"role", "content"}``), or a row: a mapping with
            ``messages``, ``instruction`` (and ``input`` below it), ``input``, ``text``,
            ``prompt`` or ``question``.
        place: which input of the call it is, from 1, for errors.

    Raises:
        DataError: it is none of these.
    """
    source = Source("<input>", place)
    if isinstance(given, Example):
        return given
    if isinstance(given, str):
        return Example(input=_clean(given), source=source)
    if isinstance(given, list | tuple) and given:
        return _chat(given, source)
    if isinstance(given, Mapping):
        return _row(given, source)
    raise DataError("this is no text", where=str(source), value=given, fix=_KINDS)


def _row(row: Mapping[str, Any], source: Source) -> Example:
    if "messages" in row:
        turns = row["messages"]
        if not isinstance(turns, list | tuple) or not turns:
            raise DataError("messages is no list of turns", where=str(source), value=turns)
        return _chat(turns, source)
    if isinstance(row.get("instruction"), str):
        parts = [row["instruction"], row.get("input") or row.get("context") or ""]
        text = "\n\n".join(_clean(str(part)) for part in parts if part)
        return Example(input=text, source=source)
    for key in TEXT_KEYS:
        if isinstance(row.get(key), str):
            return Example(input=_clean(row[key]), source=source)
    raise DataError(
        "the row has no text to answer", where=str(source), value=list(row),
        fix=f"Name one of its columns {', '.join(TEXT_KEYS)} or messages",
    )  # fmt: skip


def _chat(turns: Sequence[Any], source: Source) -> Example:
    messages = []
    for turn in turns:
        if not _is_turn(turn) or turn["role"] not in ROLES or not isinstance(turn["content"], str):
            raise DataError(
                "this is no turn of a chat", where=str(source), value=turn,
                fix=f'Write {{"role": "user", "content": "…"}}; roles: {", ".join(ROLES)}',
            )  # fmt: skip
        messages.append(Message(turn["role"], _clean(turn["content"])))
    if messages[-1].role == "assistant":
        raise DataError(
            "the chat ends with the assistant's turn, so there is nothing to answer",
            where=str(source), fix="End it with a turn of the user",
        )  # fmt: skip
    asked = [message.content for message in messages if message.role == "user"]
    return Example(input=asked[-1] if asked else "", messages=tuple(messages), source=source)


def _is_turn(value: Any) -> bool:
    return isinstance(value, Mapping) and "role" in value and "content" in value


def _clean(text: str) -> str:
    """Lone surrogates are no characters, and tokenizers refuse them."""
    return (
        text
        if text.isascii()
        else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )
