"""Documents of tables: JSON, JSON Lines, CSV, TSV and Parquet files, and data sets of the hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from tinyforge.corpus.reading.decode import encoding_of, refuse_binary
from tinyforge.corpus.reading.item import Item, Unreadable, Work, documents, dropped, numbers
from tinyforge.corpus.reading.kinds import kind_of_name
from tinyforge.data.csv_rows import rows_of_table
from tinyforge.data.files import as_utf8, peek
from tinyforge.data.json_rows import json_shape, rows_of_array, rows_of_lines
from tinyforge.data.names import plain
from tinyforge.data.object_rows import rows_of_hub, rows_of_parquet
from tinyforge.records.documents import Document, Dropped
from tinyforge.records.rows import Rejected, Row

TEXT_COLUMNS = (
    "text", "content", "document", "raw_content", "full_text", "body", "article", "passage",
    "page_content", "markdown",
)  # fmt: skip
"""Names of a text column, the likeliest first, in the form of ``tinyforge.data.names.plain``."""

MAYBE_COLUMNS = (
    "story", "code", "abstract", "sentence", "comment", "review", "post", "message", "tweet",
    "description",
)  # fmt: skip
"""Names of a text column where no other column of the rows holds longer texts."""

META_COLUMNS = {
    "url": ("url", "uri", "link"),
    "title": ("title", "headline"),
    "date": ("date", "timestamp", "published", "created", "created_at", "date_download"),
    "author": ("author", "authors"),
    "licence": ("licence", "license"),
    "language": ("language", "lang"),
    "id": ("id", "_id", "doc_id", "docid", "uuid"),
}
"""What is kept beside a text, under which name, by the names of its column."""

_SAMPLE = 50
_LONGEST_META = 2_000


def read_json(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """Objects of a JSON or JSON Lines file, each with its text in one column."""
    head, chunks = peek(_utf8(item, work))
    limit = work.settings.max_row_bytes
    lines = json_shape(head) == "lines"
    rows = (rows_of_lines if lines else rows_of_array)(chunks, item.id, limit)
    yield from row_documents(rows, item, work)


def read_csv(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """Records of a CSV or TSV file."""
    tabs = kind_of_name(item.name) == "tsv"
    wanted = (
        (work.settings.text_column,)
        if work.settings.text_column
        else (*TEXT_COLUMNS, *MAYBE_COLUMNS)
    )
    limit = work.settings.max_row_bytes
    rows = rows_of_table(_utf8(item, work), item.id, limit, tabs=tabs, wanted=wanted)
    yield from row_documents(rows, item, work)


def read_parquet(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """Rows of a Parquet file."""
    with item.content.file() as file:
        yield from row_documents(rows_of_parquet(file, item.id), item, work)


def read_hub(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """Rows of the training split of a data set of the Hugging Face hub."""
    yield from row_documents(rows_of_hub(item.name), item, work)


def _utf8(item: Item, work: Work) -> Iterator[bytes]:
    head = item.content.head()
    encoding = encoding_of(head, work.settings.encoding)
    refuse_binary(head, encoding)
    return as_utf8(item.content.chunks(), encoding)


def row_documents(
    rows: Iterable[Row | Rejected], item: Item, work: Work
) -> Iterator[Document | Dropped]:
    """A document of each row; rows that are rejected, or have no text, come as that.

    Raises:
        Unreadable: there are no rows, or it is not clear in which column the text stands.
    """
    stream = iter(rows)
    first = list(islice(stream, _SAMPLE))
    sample = [row.fields for row in first if isinstance(row, Row)]
    column = text_column(sample, work.settings.text_column) if sample else ""
    if not first:
        raise Unreadable("empty", "no rows")
    name = numbers()
    for row in chain(first, stream):
        number = name(row.source.line)
        if isinstance(row, Rejected):
            yield dropped(item, row.reason, row.detail, number=number, shown=row.excerpt)
            continue
        column = column or text_column([row.fields], work.settings.text_column)
        text = _text_of(row.fields.get(column))
        if text is None:
            kind = type(row.fields.get(column)).__name__
            yield dropped(item, "no text", f"{column} is of type {kind}", number=number)
            continue
        meta = row_meta(row.fields, column, work.settings.meta_columns)
        yield from documents(item, text, work.settings, number=number, meta=meta)


def text_column(rows: list[dict[str, Any]], named: str | None) -> str:
    """The column of the text: the user's, one of the usual name, or the only one with texts.

    Raises:
        Unreadable: none of these.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if named is not None:
        if named in columns:
            return named
        raise Unreadable("no such text column", f"{named!r}; it has {_listed(columns)}")
    usable = [name for name in columns if any(_text_of(row.get(name)) for row in rows)]
    by_name = {plain(name): name for name in reversed(usable)}
    for known in TEXT_COLUMNS:
        if known in by_name:
            return by_name[known]
    if len(usable) == 1:
        return usable[0]
    sizes = {name: sum(len(_text_of(row.get(name)) or "") for row in rows) for name in usable}
    longest = max(sizes, key=sizes.__getitem__, default="")
    if plain(longest) in MAYBE_COLUMNS:
        return longest
    detail = f"it has {_listed(columns)}; name one with read.text_column"
    raise Unreadable("no text column", detail)


def _listed(columns: list[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in columns[:12])
    return shown + (f" and {len(columns) - 12} more" if len(columns) > 12 else "")


def _text_of(value: Any) -> str | None:
    """A cell as text; a list of texts (paragraphs, turns) is joined by line ends."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return "\n".join(value)
    return None


def row_meta(
    fields: Mapping[str, Any], column: str, wanted: tuple[str, ...] | None
) -> dict[str, Any]:
    """What of a row is kept beside its text: short plain values of the columns in question."""
    names = {plain(name): name for name in reversed(list(fields)) if name != column}
    if wanted is not None:
        chosen = {name: name for name in wanted if name in fields and name != column}
    else:
        chosen = {
            key: names[known[0]]
            for key, usual in META_COLUMNS.items()
            if (known := [name for name in usual if name in names])
        }
    meta = {key: _plain_value(fields[name]) for key, name in chosen.items()}
    return {key: value for key, value in meta.items() if value is not None and value != ""}


def _plain_value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, (list, dict)):
        return None
    return str(value)[:_LONGEST_META]
