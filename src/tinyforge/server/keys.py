"""API keys: only their SHA-256 is kept, and comparing takes the same time for all.

A key is 32 random bytes, so that a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyforge.errors import FolderError, SettingError

log = logging.getLogger("tinyforge")

_HASHED = re.compile(r"^(?:(?P<name>\S+)\s+)?sha256:(?P<hash>[0-9a-f]{64})$")
SHORTEST = 8
"""Characters of a key in plain text, at least."""
VARIABLE = "TINYFORGE_API_KEYS"
"""The environment variable that may hold keys, as the lines of a file."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that opens the service.

    Attributes:
        name: what logs and limits call it.
        digest: SHA-256 of the key, in hex.
    """

    name: str
    digest: str


class Keys:
    """All keys of a server.

    Args:
        keys: none: nobody is asked for one.
    """

    def __init__(self, keys: tuple[Key, ...] = ()) -> None:
        self._keys = keys

    def __add__(self, other: Keys) -> Keys:
        return Keys((*self._keys, *other._keys))

    @property
    def needed(self) -> bool:
        """Whether a client has to show a key."""
        return bool(self._keys)

    def owner(self, given: str) -> str | None:
        """The name of the key that was given; None where it is none of ours."""
        digest = _digest(given)
        found = None
        for key in self._keys:  # all are compared, so that time tells nothing
            if hmac.compare_digest(key.digest, digest):
                found = key.name
        return found


def all_keys(api_key_file: str | None) -> Keys:
    """The keys of the file, where one is named, and those of the environment.

    Raises:
        SettingError: a place that is named holds no key, or something else.
        FolderError: the file cannot be read.
    """
    keys = Keys() if api_key_file is None else read_keys(Path(api_key_file))
    if VARIABLE in os.environ:
        keys += _keys_in(os.environ[VARIABLE].splitlines(), VARIABLE, "keys-file")
    return keys


def read_keys(path: Path) -> Keys:
    """Keys from a file: one a line, ``NAME sha256:HEX``; ``#`` begins a comment.

    A key in plain text is taken too, with a note that it had better be hashed.

    Raises:
        SettingError: there is no key in it, or one is too short.
        FolderError: it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FolderError("cannot be read", where=str(path), value=str(error)) from None
    return _keys_in(lines, str(path), str(path))


def _keys_in(lines: Sequence[str], where: str, file: str) -> Keys:
    advice = f"Make one: tinyforge serve --new-key NAME --api-key-file {file}"
    keys, plain = [], 0
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        hashed = _HASHED.match(text)
        if hashed:
            keys.append(Key(hashed["name"] or f"key-{number}", hashed["hash"]))
            continue
        if len(text) < SHORTEST or any(c.isspace() for c in text):
            raise SettingError("is no key", where=f"{where}:{number}", fix=advice)
        plain += 1
        keys.append(Key(f"key-{number}", _digest(text)))
    if not keys:
        raise SettingError("holds no key", where=where, fix=advice)
    if plain:
        log.warning(
            "%s: %d keys stand in it in plain text; NAME sha256:HEX would keep them from whoever "
            "reads it", where, plain,
        )  # fmt: skip
    return Keys(tuple(keys))


def new_key(name: str, path: Path) -> str:
    """Make a key, add its hash to the file, and return the key, which is kept nowhere.

    Raises:
        SettingError: the name has spaces or is taken.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise SettingError("a key's name is letters, digits, . - _", where="--new-key", value=name)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if any(line.split()[:1] == [name] for line in before.splitlines()):
        raise SettingError("there is a key of this name", where=str(path), value=name)
    key = "tf-" + secrets.token_urlsafe(32)
    text = before + ("" if before.endswith("\n") or not before else "\n")
    text += f"{name} sha256:{_digest(key)}\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return key


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
