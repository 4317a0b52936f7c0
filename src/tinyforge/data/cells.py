"""What single cells hold: text, or the reason why a row cannot be used."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Mapping
from typing import Any


class BadRow(Exception):  # noqa: N818 - a signal between functions of this package
    """The row cannot be used: a fixed reason, and what was seen."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def text_of(fields: Mapping[str, Any], column: str, *, empty: str | None = None) -> str:
    """A cell as text. Numbers and booleans are written as JSON writes them.

    Args:
        empty: the reason given where there is nothing but white space.

    Raises:
        BadRow: missing, empty, of a wrong kind, or with characters that no tokenizer takes.
    """
    value = fields.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise BadRow(empty or "missing field", column)
    text = as_text(value, column)
    if not text.strip():
        raise BadRow(empty or "empty field", column)
    return text


def as_text(value: Any, column: str) -> str:
    """A value as text; see ``text_of``."""
    if isinstance(value, str):
        if "\0" in value:
            raise BadRow("NUL byte", column)
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise BadRow("lone surrogate", column) from None
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isinf(value):
        raise BadRow("not a finite number", column)
    if isinstance(value, (int, float, decimal.Decimal)):
        return str(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    raise BadRow("wrong type", f"{column} is a {type(value).__name__}, not text")


def optional(fields: Mapping[str, Any], column: str | None) -> str:
    """A cell as text without white space around it; empty where there is none."""
    value = fields.get(column) if column else None
    if value is None or value == "" or value != value:
        return ""
    return as_text(value, column or "").strip()


def input_of(fields: Mapping[str, Any], roles: Mapping[str, str]) -> str:
    """The input of a row: an instruction with what stands below it, a question with its context."""
    if "instruction" in roles:
        instruction = text_of(fields, roles["instruction"], empty="empty input")
        extra = optional(fields, roles.get("input"))
        return f"{instruction}\n\n{extra}" if extra else instruction
    text = text_of(fields, roles["input"], empty="empty input")
    context = optional(fields, roles.get("context"))
    return f"question: {text} context: {context}" if context else text
