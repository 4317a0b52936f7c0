"""The library's notes (logger ``tinyforge``) on standard error, without breaking a bar."""

from __future__ import annotations

import logging
import sys

LOGGER = logging.getLogger("tinyforge")


class _Notes(logging.Handler):
    """Writes one line per note; a warning says so."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
            say(f"warning: {text}" if record.levelno >= logging.WARNING else text)
        except (BrokenPipeError, RecursionError):
            raise
        except Exception:
            self.handleError(record)


def show_notes() -> None:
    """Send the library's notes to standard error; calling it again changes nothing."""
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    if not any(isinstance(handler, _Notes) for handler in LOGGER.handlers):
        LOGGER.addHandler(_Notes())


def say(text: str) -> None:
    """One line on standard error, above the bar where one is shown."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr)
    sys.stderr.flush()
