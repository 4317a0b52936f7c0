"""A machine that other programs use is noticed, and said."""

from __future__ import annotations

import subprocess
import sys

import psutil

from tinyforge.train.contention import advice, cores_in_use


def test_an_idle_machine_is_no_news() -> None:
    assert advice(0.1, threads=2) is None


def test_what_to_do() -> None:
    cores = psutil.cpu_count() or 1
    said = advice(cores - 1.0, threads=cores) if cores > 1 else advice(1.0, threads=1)
    assert said is not None
    assert "close them" in said
    assert ("train.threads=1" in said) == (cores > 1)
    alone = advice(cores - 1.0 if cores > 1 else 1.0, threads=1)
    assert alone is not None
    assert "train.threads" not in alone  # one thread cannot become fewer


def test_a_busy_program_is_seen() -> None:
    code = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as busy:
        try:
            assert max(cores_in_use() for _ in range(10)) > 0.5
        finally:
            busy.kill()
