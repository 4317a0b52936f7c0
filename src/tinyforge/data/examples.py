"""Rows to examples: each part's text, or the reason why the row cannot be used."""

from __future__ import annotations

import datetime
import email.utils
import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from tinyforge.config.data import DataSettings
from tinyforge.data.cells import BadRow, input_of, optional, text_of
from tinyforge.data.columns import Columns
from tinyforge.data.lines import EXCERPT, excerpt
from tinyforge.data.preferences import preference
from tinyforge.data.turns import check_order, turn_of, turns_of
from tinyforge.errors import DataError
from tinyforge.records.examples import Example, Message
from tinyforge.records.rows import Rejected, Row


def example_maker(
    columns: Columns, task: str, settings: DataSettings, *, where: str, need_output: bool = True
) -> Callable[[Row], Example | Rejected]:
    """The function that turns rows into examples for one task.

    Args:
        columns: how the columns were understood.
        task: classify, text2text, instruct, language-model or preference.
        where: the source's name, for errors.
        need_output: whether a row without the part to learn is turned away.

    Raises:
        DataError: these columns cannot serve this task.
    """
    make = _maker(columns, task, settings, where, need_output)
    roles = columns.roles

    def convert(row: Row) -> Example | Rejected:
        try:
            group = optional(row.fields, roles.get("group")) or None
            time = text_of(row.fields, roles["time"]) if "time" in roles else None
            if time is not None:
                time_key(time)
            parts = make(row.fields)
            return Example(**parts, group=group, time=time, source=row.source)
        except BadRow as bad:
            shown = excerpt(repr(_shortened(row.fields))[: 4 * EXCERPT])
            return Rejected(row.source, bad.reason, bad.detail, shown)

    return convert


def _shortened(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value[:EXCERPT] if isinstance(value, (str, list)) else value
        for key, value in list(fields.items())[:20]
        if not isinstance(value, dict)
    }


def _maker(
    columns: Columns, task: str, settings: DataSettings, where: str, need_output: bool
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    roles = columns.roles
    if task == "language-model":
        column = roles.get("text") or _text_column(columns, settings, where)
        return lambda fields: {"output": text_of(fields, column)}
    pairs = "chosen" in roles
    if pairs and task == "preference":
        return lambda fields: preference(fields, roles, settings)
    if pairs and task == "instruct":
        return lambda fields: {**preference(fields, roles, settings), "rejected": None}
    if task == "preference":
        raise DataError(
            "preference training needs a better and a worse answer in each row; these columns are "
            f"of the kind {columns.convention}",
            where=where,
            fix="Name them chosen and rejected, or with --set data.output=NAME --set "
            "data.rejected=NAME",
        )
    if "text" in roles or pairs or ("messages" in roles and task == "classify"):
        raise DataError(
            f"the task {task} cannot use columns of the kind {columns.convention}",
            where=where,
            fix="Name them with --set data.input=NAME --set data.output=NAME, or choose another "
            "task with --task",
        )
    if task == "classify":
        return lambda fields: {
            "input": input_of(fields, roles),
            **_labels(fields, columns, settings, need_output),
        }
    if task == "instruct":
        return lambda fields: _chat(fields, roles, settings, need_output)

    def text2text(fields: Mapping[str, Any]) -> dict[str, Any]:
        if "messages" not in roles:
            output = _output(fields, roles, need_output)
            further = references_of(fields, roles, output)
            return {"input": input_of(fields, roles), "output": output, "references": further}
        chat = _chat(fields, roles, settings, need_output)
        before = [m for m in chat["messages"] if m.role != "system"]
        before = before[:-1] if chat["output"] is not None else before
        lines = [f"{m.role}: {m.content}" for m in before]
        return {
            "input": "\n".join(lines) if len(before) > 1 else before[0].content,
            "output": chat["output"],
            "references": chat["references"],
        }

    return text2text


def _text_column(columns: Columns, settings: DataSettings, where: str) -> str:
    if settings.output or settings.input:
        return str(settings.output or settings.input)
    known = (*columns.roles.values(), *columns.unused)
    if "text" in known:
        return "text"
    raise DataError(
        f"it is not clear which column is the text; the columns are {', '.join(known)}",
        where=where,
        fix="Name it with --set data.output=NAME",
    )


def _output(fields: Mapping[str, Any], roles: Mapping[str, str], need: bool) -> str | None:
    column = roles.get("output") or roles["labels"]
    value = fields.get(column)
    if isinstance(value, Mapping):  # SQuAD's {"text": [...]}, or a chat turn as the answer
        found = next((value[key] for key in ("content", "value", "text") if key in value), value)
        value = found[0] if isinstance(found, list) and found else found
    elif isinstance(value, list) and value and isinstance(value[0], str):
        value = value[0]
    elif isinstance(value, list) and value and isinstance(value[-1], Mapping):
        value = turn_of(value[-1])[1]
    if not need and (value is None or value == "" or value != value):
        return None
    return text_of({column: value}, column, empty="empty output")


def references_of(
    fields: Mapping[str, Any], roles: Mapping[str, str], output: str | None
) -> tuple[str, ...]:
    """All right answers of a row, ``output`` first; nothing where there is but one.

    Further ones come from a list in the output's column, and from the columns of references.
    Those that are no text are passed over.
    """
    if output is None:
        return ()
    found = [output]
    for part, column in roles.items():
        if part != "output" and not part.startswith("reference"):
            continue
        value = fields.get(column)
        if isinstance(value, Mapping):
            value = value.get("text")
        for one in value if isinstance(value, (list, tuple)) else [value]:
            try:
                found.append(optional({column: one}, column))
            except BadRow:
                continue
    different: dict[str, str] = {}
    for text in found:
        if text.strip():
            different.setdefault(text.strip(), text)
    return tuple(different.values()) if len(different) > 1 else ()


def _label_text(value: Any, column: str) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return text_of({column: value}, column, empty="empty output").strip()


def _labels(
    fields: Mapping[str, Any], columns: Columns, settings: DataSettings, need: bool
) -> dict[str, Any]:
    column = columns.roles.get("labels") or columns.roles["output"]
    value = fields.get(column)
    absent = value is None or value != value
    if absent and not need:
        return {}
    if not columns.multi_label:
        if isinstance(value, (list, tuple)):
            if len(value) > 1:
                raise BadRow("several labels", f"{column} holds {len(value)} of them")
            value = value[0] if value else None
        if not need and value == "":
            return {}
        return {"output": _label_text(value, column)}
    if absent:
        raise BadRow("empty output", column)
    values = value if isinstance(value, (list, tuple)) else _split(value, settings)
    labels = sorted({_label_text(one, column) for one in values})
    return {"labels": tuple(labels), "output": ", ".join(labels)}


def _split(value: Any, settings: DataSettings) -> list[Any]:
    """Labels of a cell: cut at the separator, a JSON list, or one label."""
    if not isinstance(value, str):
        return [value]
    if settings.label_separator:
        return [part for part in value.split(settings.label_separator) if part.strip()]
    if value.startswith("["):
        try:
            parsed = orjson.loads(value.replace("'", '"'))
        except ValueError:
            return [value]
        return parsed if isinstance(parsed, list) else [value]
    return [value] if value.strip() else []


def _chat(
    fields: Mapping[str, Any], roles: Mapping[str, str], settings: DataSettings, need: bool
) -> dict[str, Any]:
    if "messages" in roles:
        turns = turns_of(fields.get(roles["messages"]), roles["messages"])
        if "output" in roles:
            answer = _output(fields, roles, need)
            turns += [("assistant", answer)] if answer is not None else []
    else:
        turns = [("user", input_of(fields, roles))]
        answer = _output(fields, roles, need)
        turns += [("assistant", answer)] if answer is not None else []
    if need:
        while turns and turns[-1][0] != "assistant":
            turns.pop()
        if not turns:
            raise BadRow("no assistant turn")
    check_order(turns)
    if settings.system and turns[0][0] != "system":
        turns = [("system", settings.system), *turns]
    messages = tuple(Message(role, content) for role, content in turns)
    answered = messages[-1].role == "assistant"
    asked = [m.content for m in messages if m.role == "user"]
    if not asked:
        raise BadRow("no user turn")
    return {
        "input": asked[-1],
        "output": messages[-1].content if answered else None,
        "messages": messages,
        "references": references_of(fields, roles, messages[-1].content) if answered else (),
    }


def time_key(value: str) -> float:
    """A time as a number that sorts: a number as it is, a date as seconds since 1970.

    Raises:
        BadRow: the value is neither a number nor a date.
    """
    try:
        number = float(value)
        if math.isfinite(number):
            return number
    except ValueError:
        pass
    for parse in (datetime.datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            moment = parse(value.strip().replace("/", "-"))
        except (ValueError, TypeError, IndexError):
            continue
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return moment.timestamp()
    raise BadRow("time not understood", value[:40])
