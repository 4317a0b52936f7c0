"""Names to implementations, resolved on use, so that naming a thing imports nothing.

A plugin adds a name with an entry point in the group ``tinyforge.<kind>``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from tinyforge.errors import SettingError


class Registry:
    """A table of ``name -> "module:attribute"``.

    Args:
        kind: what is registered, in the singular (``"task"``); used in errors and as the entry
            point group ``tinyforge.<kind>``.
        entries: the built-in names.
    """

    def __init__(self, kind: str, entries: dict[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def names(self) -> list[str]:
        """All names, built in and from plugins, sorted."""
        return sorted({*self._entries, *(e.name for e in self._plugins())})

    def get(self, name: str) -> Any:
        """The implementation called ``name``; raises SettingError with the nearest name."""
        if name in self._entries:
            module, _, attribute = self._entries[name].partition(":")
            return getattr(import_module(module), attribute)
        for plugin in self._plugins():
            if plugin.name == name:
                return plugin.load()
        raise SettingError(f"unknown {self.kind}", value=name, fix=suggest(name, self.names()))

    def _plugins(self) -> Iterable[Any]:
        return entry_points(group=f"tinyforge.{self.kind}")


def suggest(name: str, known: Iterable[str]) -> str:
    """``Did you mean 'x'?`` with the nearest known name, else the list of all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else f"Choose one of: {', '.join(known)}"
