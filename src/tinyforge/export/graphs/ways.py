"""Fused operators first, standard ones where those do not do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from tinyforge.errors import ModelError
from tinyforge.export.graphs.trial import Mismatch

log = logging.getLogger("tinyforge")

T = TypeVar("T")


def first_that_works(attempt: Callable[[bool], T], *, fused: bool) -> T:
    """``attempt(True)`` where the model's operators can be fused, else ``attempt(False)``."""
    if fused:
        try:
            return attempt(True)
        except (ModelError, Mismatch) as error:
            log.info(f"written with standard operators only: {error}")
    return attempt(False)
