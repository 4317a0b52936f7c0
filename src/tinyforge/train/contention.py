"""Whether other programs use the processor that training is about to use."""

from __future__ import annotations

import time

import psutil

LOOK_SECONDS = 0.1
MUCH = 0.4
"""Cores in use elsewhere from which on a step takes noticeably longer."""


def cores_in_use() -> float:
    """Cores that other programs use while this one waits, looked at for a moment."""
    psutil.cpu_percent()
    time.sleep(LOOK_SECONDS)
    return float(psutil.cpu_percent()) / 100 * (psutil.cpu_count() or 1)


def advice(in_use: float, threads: int | None) -> str | None:
    """What to say to a user who trains with so many threads (None: one a core); None: nothing.

    The threads of a matrix product wait for the slowest of them, so that one that shares its core
    holds up all.
    """
    if in_use < MUCH:
        return None
    cores = psutil.cpu_count() or 1
    threads = threads or cores
    fewer = max(1, round(cores - in_use))
    way = f", or set train.threads={fewer}" if fewer < threads else ""
    return (
        f"other programs use about {in_use:.1f} of the {cores} cores, which makes every step "
        f"slower: close them{way}"
    )
