"""What can go wrong, in families. Every error says what happened, what was seen, what to do next.

The command line prints ``str(error)`` on one line, with the error's code in the catalogue, and
exits with ``error.exit_code``.
"""

from __future__ import annotations

import sys


class TinyForgeError(Exception):
    """Something the user can mend.

    Args:
        what: what happened, a short clause without a full stop.
        where: ``file:line`` or the name of a setting.
        value: the value that was seen; shown shortened.
        fix: the next step for the user, in the imperative.

    Attributes:
        place: file and line of the call that made the error, by which the catalogue knows it.
    """

    exit_code = 2

    def __init__(
        self, what: str, *, where: str | None = None, value: object = None, fix: str | None = None
    ) -> None:
        self.what, self.where, self.value, self.fix = what, where, value, fix
        self.place = _maker(self)
        super().__init__(self._line())

    def _line(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.value is not None:
            text += f" (got {_short(self.value)})"
        if self.fix:
            text += f". {self.fix}"
        return text.replace("\n", " ")


class SettingError(TinyForgeError):
    """A setting is unknown, has a wrong value, or has no effect here."""


class DataError(TinyForgeError):
    """The rows cannot be used as they are."""


class ModelError(TinyForgeError):
    """A model cannot be found, read or used for this task."""


class FolderError(TinyForgeError):
    """A folder on disk is in the way, damaged, or not what it should be."""


class MissingPackageError(TinyForgeError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, *, needed_for: str, extra: str) -> None:
        super().__init__(
            f"{needed_for} needs the package {package!r}, which is not installed",
            fix=f"Run: pip install 'tinyforge[{extra}]'",
        )


class ConditionError(TinyForgeError):
    """The work ran, but a condition the user set does not hold."""

    exit_code = 3


class Interrupted(TinyForgeError):  # noqa: N818 - it is not a mistake
    """A signal stopped the work; what was done is saved and can be resumed.

    Args:
        signal_number: the signal received; the exit code is 128 plus it.
    """

    def __init__(self, what: str, *, signal_number: int, fix: str | None = None) -> None:
        self.exit_code = 128 + signal_number
        super().__init__(what, fix=fix)


def _short(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _maker(error: TinyForgeError) -> tuple[str, int]:
    """File and line of the call that makes an error, whatever ``__init__`` it goes through."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_code.co_name == "__init__" and frame.f_locals.get("self") is error
    ):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
