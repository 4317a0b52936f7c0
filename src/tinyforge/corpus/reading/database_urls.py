"""URLs of databases: what they name, and how their passwords stay out of sight.

``sqlite:///articles.db?table=pages``, ``sqlite:////folder/articles.db?query=SELECT …`` and
``postgresql://user@host:5432/name?table=pages`` (or ``?query=…``, which comes last and is taken
as it stands). A password stays out of everything that is shown or stored: of the URL only the
part without it becomes a unit, and the password goes to the processes of this run through their
environment. ``PGPASSWORD`` and ``~/.pgpass`` work too.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tinyforge.data.files import find_file
from tinyforge.errors import DataError

_SCHEME = re.compile(r"(sqlite|postgres|postgresql)(?:\+\w+)?://", re.I)
_ANY_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:/+", re.I)
_SECRET = "TINYFORGE_DATABASE_PASSWORD_"
_SECRET_WORDS = ("password", "passwd", "secret", "token")


@dataclass(frozen=True, slots=True)
class Database:
    """What a URL names.

    Attributes:
        url: where the database is, without a password.
        table: the table to read, or empty.
        query: the query to run, or empty.
        name: a short name for it: the database and the table.
    """

    url: str
    table: str
    query: str
    name: str


def is_database(source: str) -> bool:
    """Whether a source is the URL of a database.

    Raises:
        DataError: it is the URL of something else, which is not read.
    """
    if _SCHEME.match(source):
        return True
    if _ANY_SCHEME.match(source):
        raise DataError(
            "only sqlite:/// and postgresql:// URLs are read; nothing is downloaded",
            value=without_password(source),
            fix="Fetch it first, then name the file",
        )
    return False


def without_password(source: str) -> str:
    """A source as it may be shown and stored: the password of a URL is ``***``."""
    scheme = _ANY_SCHEME.match(source)
    if scheme is None:
        return source
    address, question, query = source[scheme.end() :].partition("?")
    account, at, host = address.rpartition("@")
    user, colon, _ = account.partition(":")
    hidden = f"{user}:***" if colon else account
    return scheme[0] + hidden + at + host + question + "&".join(_hidden(query))


def _hidden(query: str) -> Iterator[str]:
    parts, statement = _parts(query)
    for key, value in parts:
        secret = any(word in key.lower() for word in _SECRET_WORDS)
        yield f"{key}=***" if secret else f"{key}={value}"
    if statement is not None:
        yield f"query={statement}"


def _parts(query: str) -> tuple[list[tuple[str, str]], str | None]:
    """The parameters of a URL, and the SQL query, which takes all that follows it."""
    before, mark, statement = f"&{query}".partition("&query=")
    parts = [part.partition("=") for part in before.split("&") if part]
    return [(key, value) for key, _, value in parts], statement if mark else None


def open_source(source: str) -> tuple[str, Database]:
    """The URL without its password, as a unit keeps it, and what it names.

    A password in it is put where this process and those that it starts find it again.

    Raises:
        DataError: it is not of the form above.
    """
    scheme, _, rest = source.partition("://")
    address, _, query = rest.partition("?")
    account, at, host = address.rpartition("@")
    user, _, password = account.partition(":")
    parts, statement = _parts(query)
    kept = [(key, value) for key, value in parts if key.lower() != "password"]
    password = password or next((v for key, v in parts if key.lower() == "password"), "")
    shown = [f"{key}={value}" for key, value in kept]
    shown += [] if statement is None else [f"query={statement}"]
    public = f"{scheme}://{user}{at}{host}" + ("?" + "&".join(shown) if shown else "")
    database = parse_public(public)
    if password:
        os.environ[_secret_name(public)] = unquote(password)
    return public, database


def parse_public(public: str) -> Database:
    """What a URL without password names.

    Raises:
        DataError: it is not of the form that is read.
    """
    address, _, query = public.partition("?")
    parts, statement = _parts(query)
    known = dict(parts)
    table = unquote(known.pop("table", ""))
    statement = unquote(statement or "").strip().rstrip(";").strip()
    place = address.partition("://")[2].rpartition("@")[2]
    base = unquote(place.rpartition("/")[2]) or place
    if bool(table) == bool(statement):
        raise DataError(
            "the URL of a database names either a table or a query",
            value=without_password(public),
            fix="Write for example sqlite:///articles.db?table=pages, or ?query=SELECT …",
        )
    driver = "&".join(f"{key}={value}" for key, value in known.items())
    url = address + (f"?{driver}" if driver else "")
    return Database(url, table, statement, f"{base}.{table or 'query'}")


def _secret_name(public: str) -> str:
    return _SECRET + hashlib.blake2b(public.encode(), digest_size=8).hexdigest()


def stamp_of(database: Database) -> str:
    """What changes when the rows may have changed: the query, and an SQLite file's state."""
    asked = database.query or database.table
    if not database.url.lower().startswith("sqlite"):
        return asked
    state = sqlite_path(database.url).stat()
    return f"{asked}; {state.st_size} {state.st_mtime_ns}"


def password_of(public: str) -> str:
    """The password that was in the URL; empty where there was none."""
    return os.environ.get(_secret_name(public), "")


def sqlite_path(url: str) -> Path:
    """The file of an SQLite URL: after three slashes, so that four name an absolute path.

    Raises:
        DataError: there is no such file.
    """
    place = unquote(url.partition("://")[2].partition("?")[0])
    return find_file(place.removeprefix("/"))
