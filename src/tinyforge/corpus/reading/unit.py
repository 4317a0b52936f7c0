"""The unit of work: what one process reads at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from tinyforge.corpus.reading.source_code import is_licence, licence_of

_FILE_URL = "file://"
_LICENCE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Unit:
    """One file, archive, query or data set.

    Attributes:
        source: short unique name of what the user named.
        path: the local file (as a ``file://`` URL where its name is not Unicode), the database's
            URL without password, or the hub's name.
        kind: what its name tells; empty where only its bytes can tell.
        size: bytes on disk; 0 for databases and data sets.
        stamp: what changes when the content changes: size and time of change of a file, the
            query of a database. For a folder that is left out, why.
        name: names it in the ids of its documents: the source, and the path in it.
    """

    source: str
    path: str
    kind: str
    size: int
    stamp: str
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.source)

    def inner_name(self) -> str:
        """The path within the source, by which its kind is told."""
        return self.name.removeprefix(f"{self.source}/")


def stored_path(path: Path) -> str:
    """A file's path as text that any format can store; ``local_path`` turns it back."""
    text = str(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _FILE_URL + quote_from_bytes(os.fsencode(path))
    return text


def local_path(unit: Unit) -> Path:
    """The file of a unit."""
    if unit.path.startswith(_FILE_URL):
        return Path(os.fsdecode(unquote_to_bytes(unit.path.removeprefix(_FILE_URL))))
    return Path(unit.path)


def licence_beside(unit: Unit) -> dict[str, Any]:
    """The licence file of the nearest folder around a file, within its source."""
    parts = unit.name.split("/")
    folder = local_path(unit).parent
    for depth in range(len(parts) - 1, unit.source.count("/"), -1):
        found = _licence_in(str(folder))
        if found:
            name, licence = found
            meta: dict[str, Any] = {"licence_file": "/".join([*parts[:depth], name])}
            return meta | ({"licence": licence} if licence else {})
        folder = folder.parent
    return {}


@lru_cache(maxsize=4096)
def _licence_in(folder: str) -> tuple[str, str] | None:
    try:
        for path in sorted(path for path in Path(folder).iterdir() if is_licence(path.name)):
            if path.is_file():
                with path.open("rb") as file:
                    text = file.read(_LICENCE_BYTES).decode("utf-8", "replace")
                return path.name, licence_of(text)
    except OSError:
        return None
    return None
