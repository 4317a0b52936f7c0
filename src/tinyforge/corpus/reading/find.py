"""What there is to read: the user's sources as a list of units, without reading them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.config.data import DataSettings
from tinyforge.corpus.reading.database_urls import (
    Database,
    is_database,
    open_source,
    stamp_of,
    without_password,
)
from tinyforge.corpus.reading.databases import check_database
from tinyforge.corpus.reading.kinds import kind_of_name
from tinyforge.corpus.reading.source_code import LEFT_OUT
from tinyforge.corpus.reading.unit import Unit, stored_path
from tinyforge.data.files import find_encoding, find_file
from tinyforge.data.object_rows import looks_like_hub_id, rows_of_hub
from tinyforge.errors import DataError, MissingPackageError

NEEDED = {
    "warc": ("warcio",),
    "html": ("trafilatura", "lxml", "lxml_html_clean"),
    "parquet": ("pyarrow",),
    "pdf": ("pypdf",),
    "docx": ("docx",),
    "sqlite": ("sqlalchemy",),
}
"""Packages without which a kind cannot be read."""

_PACKAGE = {"docx": "python-docx"}
_NOTHING = ("not text", "left out", "special")


def find_units(sources: Sequence[str], settings: ReadSettings) -> list[Unit]:
    """What is to be read, in the order of the sources and, in a folder, of the files' paths.

    A source is a file, a folder with all below it, the URL of a database, or a data set of the
    hub. What lies in two of them is read once, as the source that names it more closely. Folders
    of version control, caches and installed packages are one unit each, which is dropped when it
    is read, so that they appear in the accounts.

    Raises:
        DataError: a source does not exist or is named twice, or there is nothing to read.
        MissingPackageError: a file's kind needs a package that is not installed.
        SettingError: ``read.encoding`` names no encoding.
    """
    if not sources:
        raise DataError("no source is given", fix="Name files, folders or data sets to read")
    find_encoding(b"", DataSettings(encoding=settings.encoding))
    databases = {source: open_source(source) for source in sources if is_database(source)}
    files = {source: _place(source) for source in sources if source not in databases}
    _refuse_repeats(sources, files)
    names = dict(zip(sources, _names(sources, files, databases), strict=True))
    own = {_identity(path) for path in files.values() if path is not None}
    units: list[Unit] = []
    for source in sources:
        name = names[source]
        if source in databases:
            public, database = databases[source]
            check_database(public)
            units.append(Unit(name, public, "database", 0, stamp_of(database)))
            continue
        path = files[source]
        if path is None:
            next(iter(rows_of_hub(source)), None)  # says now, in one line, if it is not there
            units.append(Unit(name, source, "hub", 0, source))
        elif path.is_dir():
            found = list(_Walk(name, own - {_identity(path)}).units(path, name))
            if not any(unit.kind not in _NOTHING for unit in found):
                raise DataError(
                    "there is nothing to read in this folder",
                    where=source,
                    fix="Give a folder with texts, tables, pages or archives",
                )
            units += found
        else:
            units.append(_file(path, name, name))
    _refuse_missing(units)
    return units


def _place(source: str) -> Path | None:
    """The file or folder that a source names; None where it is a data set of the hub."""
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            return path
        if not path.exists() and looks_like_hub_id(source):
            return None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be opened: {error}", where=source[:200]) from None
    return find_file(source)


def _refuse_repeats(sources: Sequence[str], files: dict[str, Path | None]) -> None:
    seen: dict[object, str] = {}
    for source in sources:
        path = files.get(source)
        key = source if path is None else _identity(path)
        if key in seen:
            raise DataError(
                "this source is named twice",
                where=without_password(source),
                fix="Name it once; how often it is repeated is up to the weights of the mix",
            )
        seen[key] = source


def _identity(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino


def _names(
    sources: Sequence[str],
    files: dict[str, Path | None],
    databases: dict[str, tuple[str, Database]],
) -> list[str]:
    """A short name for each source: the last part of its path, and more where two are equal."""
    parts: list[tuple[str, ...]] = []
    for source in sources:
        path = files.get(source)
        if source in databases:
            parts.append((_readable(databases[source][1].name).replace("/", "_"),))
        elif path is None:
            parts.append((source,))
        else:
            whole = Path(os.path.abspath(path))  # noqa: PTH100 - links keep the name they have
            parts.append(tuple(map(_readable, whole.parts[1:])) or ("files",))
    length = [1] * len(parts)
    while True:
        names = ["/".join(part[-size:]) for part, size in zip(parts, length, strict=True)]
        double = [i for i, name in enumerate(names) if names.count(name) > 1]
        longer = [i for i in double if length[i] < len(parts[i])]
        if not longer:
            break
        for i in longer:
            length[i] += 1
    return [
        name if names.count(name) == 1 else f"{name}-{names[: i + 1].count(name)}"
        for i, name in enumerate(names)
    ]


def _readable(name: str) -> str:
    """A name as valid Unicode, without control characters."""
    name = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(character if ord(character) >= 32 else "\ufffd" for character in name)


class _Walk:
    """The files below one source's folder.

    Links are followed, but into each folder once, so that no circle is run.

    Args:
        source: the source's name.
        own: files and folders that are sources of their own, and are passed over here.
    """

    def __init__(self, source: str, own: set[tuple[int, int]]) -> None:
        self._source = source
        self._own = own
        self._seen: set[tuple[int, int]] = set()

    def units(self, folder: Path, name: str) -> Iterator[Unit]:
        """All units of ``folder``, which is called ``name`` in ids."""
        try:
            identity = _identity(folder)
            if identity in self._seen:
                return
            self._seen.add(identity)
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield self._closed(folder, name, f"cannot be opened: {error.strerror}")
            return
        for entry in entries:
            path = folder / entry.name
            shown = f"{name}/{_readable(entry.name)}"
            try:
                if self._own and _identity(path) in self._own:
                    continue
                if not entry.is_dir():
                    yield _file(path, self._source, shown)
                elif entry.name in LEFT_OUT:
                    yield self._closed(path, shown, LEFT_OUT[entry.name])
                else:
                    yield from self.units(path, shown)
            except OSError as error:
                yield self._closed(path, shown, f"cannot be opened: {error.strerror}")

    def _closed(self, path: Path, name: str, why: str) -> Unit:
        return Unit(self._source, stored_path(path), "left out", 0, why, name)


def _file(path: Path, source: str, name: str) -> Unit:
    state = path.stat()
    stamp = f"{state.st_size} {state.st_mtime_ns}"
    kind = kind_of_name(name) if stat.S_ISREG(state.st_mode) else "special"
    return Unit(source, stored_path(path), kind, state.st_size, stamp, name)


def _refuse_missing(units: list[Unit]) -> None:
    for kind in sorted({unit.kind for unit in units}):
        for module in NEEDED.get(kind, ()):
            if find_spec(module) is None:
                package = _PACKAGE.get(module, module)
                raise MissingPackageError(package, needed_for=f"reading {kind}", extra="data")
