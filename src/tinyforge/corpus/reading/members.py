"""What holds for the members of every kind of archive: safe names, and names that are unique."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tinyforge.corpus.reading.item import Content, Item, Unreadable, Work, dropped
from tinyforge.corpus.reading.kinds import kind_of_name
from tinyforge.corpus.reading.source_code import Licences, is_licence, left_out
from tinyforge.records.documents import Document, Dropped

INSIDE = "!/"
"""Stands between an archive's name and a member's."""

_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST_NAME = 1_000
_LICENCE_BYTES = 64 * 1024


class Members:
    """Reads the members of one archive as items of their own.

    Members are streamed to readers and never written under their own names, so a name cannot
    lead out of anywhere; one that tries to is refused all the same, since whoever wrote it means
    harm.

    Args:
        licences: licence files known beforehand; others are noted as they come by.
    """

    def __init__(self, archive: Item, work: Work, licences: Licences | None = None) -> None:
        if archive.depth >= work.settings.max_depth:
            raise Unreadable("nested too deeply", f"more than {work.settings.max_depth} levels")
        self._archive = archive
        self._work = work
        self._licences = licences or Licences()
        self._seen: set[bytes] = set()

    def item(self, name: str, content: Content | None = None) -> Item:
        """The member called ``name``; a second one of the same name gets ``(2)`` behind it."""
        shown = _shown(name)
        unique, count = shown, 1
        while (mark := hashlib.blake2b(unique.encode(), digest_size=8).digest()) in self._seen:
            count += 1
            unique = f"{shown} ({count})"
        self._seen.add(mark)
        return Item(
            f"{self._archive.id}{INSIDE}{unique}",
            self._archive.source,
            shown,
            content or Content(iter(()), 0),
            dict(self._archive.meta),
            self._archive.depth + 1,
        )

    def refuse(self, name: str, reason: str, detail: str = "") -> Dropped:
        """A member that is not read."""
        return dropped(self.item(name), reason, detail)

    def read(self, name: str, content: Content) -> Iterator[Document | Dropped]:
        """The documents of a member, or why it has none."""
        if harm := unsafe(name):
            yield self.refuse(name, "unsafe member name", harm)
            return
        if why := left_out(name):
            yield self.refuse(name, *why)
            return
        item = self.item(name, content)
        if is_licence(name):
            try:
                head = item.content.head()[:_LICENCE_BYTES]
            except Unreadable as fault:
                yield dropped(item, fault.reason, fault.detail)
                return
            self._licences.note(item.name, head.decode("utf-8", "replace"))
        elif kind_of_name(name) == "code":
            item = replace(item, meta=item.meta | self._meta(item.name))
        yield from self._work.read(item)

    def _meta(self, name: str) -> dict[str, Any]:
        meta = self._licences.of(name)
        if meta:
            meta["licence_file"] = f"{self._archive.id}{INSIDE}{meta['licence_file']}"
        return meta


def unsafe(name: str) -> str:
    """Why a member's name is refused; empty where it is sound."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or _DRIVE.match(name):
        return "absolute"
    if ".." in parts:
        return "leads out of the archive"
    if len(name) > _LONGEST_NAME:
        return f"{len(name):,} characters long"
    if any(ord(character) < 32 for character in name):
        return "control characters"
    return ""


def _shown(name: str) -> str:
    """A name fit for ids: valid Unicode, one kind of slash, no control characters."""
    name = name.replace("\\", "/") if "/" not in name else name
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    name = "".join(c if ord(c) >= 32 else "\ufffd" for c in name)
    return name.removeprefix("./")[:_LONGEST_NAME]
