"""Tables and queries of SQLite and PostgreSQL; passwords that are never shown."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from postgres_server import Server, server
from reading_files import read, reasons, texts, write

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.reading import Unit, find_units, read_unit, without_password
from tinyforge.errors import DataError
from tinyforge.records.documents import Document

PLAIN = ReadSettings()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "articles.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE pages (id INTEGER PRIMARY KEY, title TEXT, body TEXT, picture BLOB);
        CREATE TABLE numbers (n INTEGER, share REAL);
        CREATE TABLE "odd name" (text TEXT);
        CREATE VIEW long AS SELECT body AS text FROM pages WHERE length(body) > 5;
        """
    )
    rows = [(3, "C", "Third one.", b"\x01"), (1, "A", "First one.", None), (2, "B", None, None)]
    connection.executemany("INSERT INTO pages VALUES (?, ?, ?, ?)", rows)
    connection.execute("INSERT INTO numbers VALUES (1, 0.5)")
    connection.execute('INSERT INTO "odd name" VALUES (?)', ("Odd.",))
    connection.execute('INSERT INTO "odd name" VALUES (CAST(? AS TEXT))', (b"caf\xe9 noir",))
    connection.commit()
    connection.close()
    return path


def test_all_tables_of_a_file(base: Path) -> None:
    kept, refused = read(base)
    assert {document.id: document.text for document in kept} == {
        "articles.db!/odd name:1": "Odd.",
        "articles.db!/odd name:2": "café noir",
        "articles.db!/pages:1": "First one.",
        "articles.db!/pages:3": "Third one.",
    }
    assert {item.id: item.reason for item in refused} == {
        "articles.db!/numbers": "no text column",
        "articles.db!/pages:2": "no text",
    }
    assert kept[-1].meta == {"title": "C", "id": 3}


def test_a_table_and_a_query_by_url(base: Path) -> None:
    assert texts(f"sqlite:///{base}?table=long") == {
        "articles.db.long:1": "First one.",
        "articles.db.long:2": "Third one.",
    }
    query = (
        "SELECT body || ' 100%' AS text, '12:30' AS date FROM pages WHERE body LIKE 'T%' AND 1=1;"
    )
    kept, _ = read(f"sqlite:///{base}?query={query}")
    assert [(d.id, d.text, d.meta) for d in kept] == [
        ("articles.db.query:1", "Third one. 100%", {"date": "12:30"})
    ]


def test_the_stamp_changes_with_query_and_file(base: Path) -> None:
    def stamp(table: str) -> str:
        return find_units([f"sqlite:///{base}?table={table}"], PLAIN)[0].stamp

    first = stamp("pages")
    assert stamp("pages") == first != stamp("numbers")
    os.utime(base, ns=(5, 5))
    assert stamp("pages") != first


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        ("?table=page", "Did you mean 'pages'"),
        ("?query=SELECT absent FROM pages", "no such column"),
        ("?query=DROP TABLE pages", "syntax error"),
        ("", "either a table or a query"),
        ("?table=pages&query=SELECT 1", "either a table or a query"),
    ],
)
def test_wrong_urls_are_refused_in_one_line(base: Path, tail: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        find_units([f"sqlite:///{base}{tail}"], PLAIN)
    with pytest.raises(DataError, match="no such file"):
        find_units([f"sqlite:///{base}.gone?table=pages"], PLAIN)


def test_nothing_is_written(base: Path) -> None:
    before = base.read_bytes()
    read(base)
    with pytest.raises(DataError):
        read(f"sqlite:///{base}?query=SELECT load_extension('x') AS text")
    assert base.read_bytes() == before
    assert [path.name for path in base.parent.iterdir()] == ["articles.db"]


def test_a_damaged_file_is_refused(base: Path, tmp_path: Path) -> None:
    data = base.read_bytes()
    write(tmp_path / "raw" / "a.db", data[:2_000])
    write(tmp_path / "raw" / "b.sqlite", b"SQLite format 3\0" + b"\xff" * 4_000)
    write(tmp_path / "raw" / "c.db", b"Berkeley DB perhaps")
    assert set(reasons(tmp_path / "raw").values()) <= {"damaged", "not a kind that is read"}


def test_other_databases_and_addresses_are_refused_without_their_password() -> None:
    for source in ("mysql://u:geheim@h/db", "https://u:geheim@h/x", "postgresql:/u:geheim@h/db"):
        with pytest.raises(DataError) as caught:
            find_units([source], PLAIN)
        assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("postgresql://u:p@h:5/d?table=t", "postgresql://u:***@h:5/d?table=t"),
        ("postgresql://u:p@q/r@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d?password=p&table=t", "postgresql://u@h/d?password=***&table=t"),
        ("postgresql://h/d?query=SELECT a FROM t WHERE b='x@y:z'",
         "postgresql://h/d?query=SELECT a FROM t WHERE b='x@y:z'"),
        ("folder/a:b@c.txt", "folder/a:b@c.txt"),
    ],
)  # fmt: skip
def test_a_source_as_it_may_be_shown(source: str, shown: str) -> None:
    assert without_password(source) == shown


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with server() as running:
        with psycopg.connect(running.url) as connection:
            connection.execute("CREATE TABLE pages (id int PRIMARY KEY, url text, content text)")
            connection.execute("CREATE SCHEMA books")
            connection.execute("CREATE TABLE books.lines (text text)")
            with connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO pages VALUES (%s, %s, %s)",
                    [(i, f"http://h/{i}", f"Page {i}, été.") for i in reversed(range(1_000))],
                )
            connection.execute("INSERT INTO books.lines VALUES ('A line.')")
        yield running


def test_a_table_of_postgresql_in_the_order_of_its_key(postgres: Server) -> None:
    kept, refused = read(f"{postgres.url}?table=pages")
    assert not refused
    assert [document.text for document in kept] == [f"Page {i}, été." for i in range(1_000)]
    assert kept[0].id == "postgres.pages:1"
    assert kept[0].meta == {"url": "http://h/0", "id": 0}
    assert texts(f"{postgres.url}?table=books.lines") == {"postgres.books.lines:1": "A line."}


def test_a_query_of_postgresql(postgres: Server) -> None:
    query = (
        "WITH few AS (SELECT * FROM pages WHERE id < 3 AND url LIKE 'http%') "
        "SELECT content AS text, id::text AS id FROM few ORDER BY few.id DESC"
    )
    kept, _ = read(f"{postgres.url}?query={query}")
    assert [document.text for document in kept] == [f"Page {i}, été." for i in (2, 1, 0)]


def test_rows_of_postgresql_are_streamed(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []
    fetch = psycopg.ServerCursor.fetchmany

    def counted(cursor: object, size: int = 0) -> object:
        rows = fetch(cursor, size)  # type: ignore[arg-type]
        fetched.append(len(rows))
        return rows

    monkeypatch.setattr(psycopg.ServerCursor, "fetchmany", counted)
    unit = find_units([f"{postgres.url}?table=pages"], PLAIN)[0]
    rows = read_unit(unit, PLAIN)
    next(rows)
    assert 0 < sum(fetched) < 1_000
    rows.close()  # type: ignore[attr-defined]


def _texts_in_a_process(unit: Unit) -> int:
    return sum(isinstance(result, Document) for result in read_unit(unit, PLAIN))


def test_the_password_is_nowhere_and_still_reaches_worker_processes(
    postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    unit = find_units([f"{postgres.url}?table=pages"], PLAIN)[0]
    assert postgres.password.encode() not in pickle.dumps(unit)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_texts_in_a_process, (unit,)) == 1_000
    kept, _ = read(f"{postgres.url}?table=pages")
    assert postgres.password not in repr(kept)
    assert postgres.password not in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("/postgres", "/nowhere") + "?table=pages",
        lambda url: url.replace("127.0.0.1", "127.0.0.1:1") + "?table=pages",
        lambda url: url + "?query=SELECT missing FROM pages",
        lambda url: url + "?table=page",
        lambda url: url,
        lambda url: url.replace("@", "wrong@") + "?table=pages",
        lambda url: url.replace(":", "://", 1) + "?table=pages",
    ],
)
def test_no_error_shows_the_password(postgres: Server, change: object) -> None:
    with pytest.raises(DataError) as caught:
        find_units([change(postgres.url)], PLAIN)  # type: ignore[operator]
    error: BaseException | None = caught.value
    assert "\n" not in str(error)
    while error is not None:
        assert postgres.password not in str(error)
        error = None if error.__suppress_context__ else error.__context__


def test_the_password_may_come_from_the_environment(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"{postgres.open_url}?table=books.lines"
    for name in [name for name in os.environ if name.startswith("TINYFORGE_DATABASE_")]:
        monkeypatch.delenv(name)
    with pytest.raises(DataError, match="password"):
        find_units([source], PLAIN)
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    assert len(texts(source)) == 1


def test_nothing_is_written_to_postgresql(postgres: Server) -> None:
    query = "SELECT setval('s', 1)::text AS text"
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS s")
    with pytest.raises(DataError, match="read-only"):
        read(f"{postgres.url}?query={query}")


def test_a_database_that_goes_away_stops_the_work(postgres: Server) -> None:
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE brief (text text)")
    unit = find_units([f"{postgres.url}?table=brief"], PLAIN)[0]
    with psycopg.connect(postgres.url) as connection:
        connection.execute("DROP TABLE brief")
    with pytest.raises(DataError, match="cannot be read"):
        list(read_unit(unit, PLAIN))
