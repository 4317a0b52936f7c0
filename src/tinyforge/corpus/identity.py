"""What a corpus is made from: settings and sources, so that a resumed run goes on with the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from tinyforge.artifacts.files import sha256
from tinyforge.artifacts.words import flat
from tinyforge.config.prepare import NO_MATTER, PrepareSettings
from tinyforge.errors import DataError, SettingError

if TYPE_CHECKING:
    from tinyforge.corpus.reading import Unit


def identity(settings: PrepareSettings, units: Sequence[Unit]) -> dict[str, Any]:
    """Settings that change the result, the content of files they name, and the sources.

    Times of files are no part of it: a copy of the sources gives the same.

    Raises:
        SettingError: a file that a setting names cannot be read.
    """
    chosen = settings.model_dump(mode="json", exclude=NO_MATTER)
    named = [*settings.clean.contamination, *filter(None, [settings.clean.bad_words])]
    rows = [_row(unit)[:4] for unit in units]
    return {
        "settings": chosen,
        "files": {name: _hash_of(name) for name in named},
        "sources": hashlib.sha256(orjson.dumps(rows)).hexdigest(),
        "units": len(units),
    }


def stamps(units: Sequence[Unit]) -> list[list[Any]]:
    """Each unit with what changes when its content does, for the plan of an unfinished run."""
    return [_row(unit) for unit in units]


def check_settings_are_the_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings.

    Raises:
        SettingError: the first setting, or file that a setting names, that differs.
    """
    before, now = dict(flat(old["settings"])), dict(flat(new["settings"]))
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) != now.get(name):
            raise SettingError(
                f"the corpus was begun with {before.get(name, 'no such setting')}", where=name,
                value=now.get(name),
                fix="Give the same setting to go on, or begin again with --force",
            )  # fmt: skip
    for name, digest in new["files"].items():
        if old["files"].get(name) != digest:
            raise SettingError(
                "the file has changed since the corpus was begun", where=name,
                fix="Put it back to go on, or begin again with --force",
            )  # fmt: skip


def check_units_are_the_same(old: Sequence[Sequence[Any]], new: Sequence[Sequence[Any]]) -> None:
    """Refuse to go on with other sources.

    Raises:
        DataError: the first file that was changed, added or removed.
    """
    before = {tuple(row[:3]): list(row[3:]) for row in old}
    now = {tuple(row[:3]): list(row[3:]) for row in new}
    for key in dict.fromkeys([*before, *now]):
        if key not in now:
            what = "was there when the corpus was begun, and is not now"
        elif key not in before:
            what = "was not there when the corpus was begun"
        elif before[key] != now[key]:
            what = "has changed since the corpus was begun"
        else:
            continue
        raise DataError(
            what, where=key[2],
            fix="Put it back to go on, or begin again with --force",
        )  # fmt: skip
    if [tuple(row[:3]) for row in old] != [tuple(row[:3]) for row in new]:
        raise DataError(
            "the sources stand in another order than when the corpus was begun",
            fix="Give them in the same order to go on, or begin again with --force",
        )


def check_sources_are_the_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse to take a finished corpus for one of other sources.

    Raises:
        DataError: names or sizes of the files differ.
    """
    if (old["sources"], old["units"]) != (new["sources"], new["units"]):
        raise DataError(
            "the corpus was made from other files", value=f"{new['units']:,} files now, "
            f"{old['units']:,} then", fix="Make it again with --force, or give another --output",
        )  # fmt: skip


def _row(unit: Unit) -> list[Any]:
    """Source, kind, name, size and stamp of a unit."""
    return [unit.source, unit.kind, unit.name, unit.size, unit.stamp]


def _hash_of(name: str) -> str:
    try:
        return sha256(Path(name).expanduser())
    except OSError as problem:
        raise SettingError("the file cannot be read", where=name, value=problem.strerror) from None
