"""Documents of databases: tables of SQLite files, and tables and queries named by a URL.

Nothing is written, rows are streamed, and no password is shown (see ``database_urls``).
"""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tinyforge.corpus.reading.database_urls import (
    Database,
    parse_public,
    password_of,
    sqlite_path,
    without_password,
)
from tinyforge.corpus.reading.decode import decode
from tinyforge.corpus.reading.item import Item, Unreadable, Work, dropped
from tinyforge.corpus.reading.rows import row_documents
from tinyforge.errors import DataError, MissingPackageError
from tinyforge.records.documents import Document, Dropped
from tinyforge.records.rows import Row, Source

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

_BATCH = 256


def check_database(public: str) -> None:
    """Connect, and see that the table or the query is there, without reading rows.

    Raises:
        DataError: it is not, in one line without the password.
        MissingPackageError: SQLAlchemy or psycopg is not installed.
    """
    database = parse_public(public)
    with _connected(public, database) as connection:
        if database.query:
            statement = f"SELECT * FROM ({database.query}) AS tinyforge_query LIMIT 0"
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        else:
            _check_table(connection, database, public)


def _check_table(connection: Connection, database: Database, public: str) -> None:
    from sqlalchemy import inspect

    schema, table = _split(database.table)
    inspector = inspect(connection)
    known = sorted([*inspector.get_table_names(schema), *inspector.get_view_names(schema)])
    if table not in known:
        near = difflib.get_close_matches(table, known, n=1, cutoff=0.5)
        listed = ", ".join(known[:10]) or "none"
        hint = f"Did you mean {near[0]!r}?" if near else f"Its tables are: {listed}"
        raise DataError("there is no such table", where=without_password(public), value=table,
                        fix=hint)  # fmt: skip


def _split(table: str) -> tuple[str | None, str]:
    schema, dot, name = table.partition(".")
    return (schema, name) if dot else (None, table)


def read_database(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """The rows of a table or query that a URL names; ``item.name`` is the URL without password.

    A table's rows come in the order of its primary key.

    Raises:
        DataError: the database cannot be reached, or the query fails: the run should stop then,
            not go on without these documents.
    """
    database = parse_public(item.name)
    with _connected(item.name, database) as connection:
        statement = database.query or _select(connection, database.table)
        try:
            yield from row_documents(_rows(connection, statement, item), item, work)
        except Unreadable as fault:
            yield dropped(item, fault.reason, fault.detail)


def read_sqlite(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """All tables of an SQLite file, by name; those without a text column are refused by name."""
    from sqlalchemy import inspect
    from sqlalchemy.exc import SQLAlchemyError

    with _local_copy(item) as path:
        engine = _engine(_sqlite_url(path), work.settings.max_file_bytes)
        try:
            with engine.connect() as connection:
                for table in sorted(inspect(connection).get_table_names()):
                    part = replace(item, id=f"{item.id}!/{table}")
                    try:
                        statement = _select(connection, table)
                        yield from row_documents(_rows(connection, statement, part), part, work)
                    except Unreadable as fault:
                        yield dropped(part, fault.reason, fault.detail)
                    except SQLAlchemyError as error:
                        yield dropped(part, "damaged", _plain(error))
        except SQLAlchemyError as error:
            raise Unreadable("damaged", _plain(error)) from None
        finally:
            engine.dispose()


@contextmanager
def _local_copy(item: Item) -> Iterator[Path]:
    if item.content.path is not None:
        yield item.content.path
        return
    with item.content.file() as file, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.db"
        with path.open("wb") as copy:
            while chunk := file.read(1 << 20):
                copy.write(chunk)
        yield path


def _rows(connection: Connection, statement: str, item: Item) -> Iterator[Row]:
    options = {"stream_results": True, "yield_per": _BATCH, "no_parameters": True}
    result = connection.exec_driver_sql(statement, execution_options=options)
    try:
        for number, row in enumerate(result.mappings(), 1):
            yield Row({str(key): value for key, value in row.items()}, Source(item.id, number))
    finally:
        result.close()


def _select(connection: Connection, table: str) -> str:
    """All columns of a table but the binary ones, in the order of its key."""
    from sqlalchemy import inspect
    from sqlalchemy.types import LargeBinary

    schema, name = _split(table) if connection.dialect.name != "sqlite" else (None, table)
    inspector = inspect(connection)
    quoted = connection.dialect.identifier_preparer.quote_identifier
    columns = [
        quoted(column["name"])
        for column in inspector.get_columns(name, schema)
        if not isinstance(column["type"], LargeBinary)
    ]
    key = inspector.get_pk_constraint(name, schema)["constrained_columns"]
    order = ", ".join(quoted(column) for column in key)
    full = f"{quoted(schema)}.{quoted(name)}" if schema else quoted(name)
    return f"SELECT {', '.join(columns) or '*'} FROM {full}" + (
        f" ORDER BY {order}" if order else ""
    )


@contextmanager
def _connected(public: str, database: Database) -> Iterator[Connection]:
    """A connection that only reads.

    Raises:
        DataError: whatever the database reports, in one line without the password.
    """
    url = _url(public, database)
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = _engine(url, None)
        try:
            with engine.connect() as connection:
                if connection.dialect.name == "postgresql":
                    connection = _reading(connection)
                yield connection
        finally:
            engine.dispose()
    except SQLAlchemyError as error:
        message = _plain(error)
        for secret in filter(None, (url.password, quote(str(url.password or ""), safe=""))):
            message = message.replace(str(secret), "***")
        raise DataError(
            f"the database cannot be read: {message}",
            where=without_password(public),
            fix="Check its address, the table or query, and the password",
        ) from None


def _reading(connection: Connection) -> Connection:
    """Read-only, one state of the data throughout, and the same order of rows each time."""
    connection = connection.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    connection.exec_driver_sql("SET LOCAL synchronize_seqscans = off")
    connection.exec_driver_sql("SET LOCAL max_parallel_workers_per_gather = 0")
    return connection


def _url(public: str, database: Database) -> URL:
    try:
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        raise MissingPackageError(
            "sqlalchemy", needed_for="reading a database", extra="data"
        ) from None
    if database.url.lower().startswith("sqlite"):
        return _sqlite_url(sqlite_path(database.url))
    try:
        import psycopg  # noqa: F401

        url = make_url(database.url).set(drivername="postgresql+psycopg")
    except ImportError:
        raise MissingPackageError(
            "psycopg", needed_for="reading from PostgreSQL", extra="data"
        ) from None
    except (ArgumentError, ValueError):
        raise DataError(
            "this is not the URL of a database",
            value=without_password(public),
            fix="Write for example postgresql://user@host:5432/name?table=pages",
        ) from None
    password = password_of(public)
    return url.set(password=password) if password else url


def _sqlite_url(path: Path) -> URL:
    from sqlalchemy import URL

    address = "file:" + quote(str(path.resolve()))
    return URL.create("sqlite", database=address, query={"mode": "ro", "uri": "true"})


def _engine(url: URL, most_bytes: int | None) -> Engine:
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def harmless(connection: Any, record: Any) -> None:
            # A file from elsewhere may hold views and triggers that call functions.
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA query_only = ON")
            connection.text_factory = _sqlite_text
            if most_bytes is not None:
                connection.setlimit(0, most_bytes)  # SQLITE_LIMIT_LENGTH

    return engine


def _sqlite_text(data: bytes) -> str:
    """A cell; SQLite stores any bytes as text, and files of old programs hold Windows-1252."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return decode(data).text


def _plain(error: Exception) -> str:
    reason = getattr(error, "orig", None) or error
    return " ".join(str(reason).split())[:300]
