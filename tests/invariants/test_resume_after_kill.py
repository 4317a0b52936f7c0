"""``kill -9`` at any moment, also inside a save: the resumed run ends with the same bytes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import training_fakes

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")

# Every step saves, so that most kills hit a save; about 25,000 weights make a save take a while.
GIVEN = ("--width", "64", "--set", "checkpoint_every=1", "--set", "validate_every=4")


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, training_fakes.__file__, str(folder), *GIVEN, *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def finish(folder: Path, *more: str) -> dict[str, object]:
    process = start(folder, *more)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    result: dict[str, object] = json.loads(output.splitlines()[-1])
    return result


def kill_and_resume(
    folder: Path, kills: int, epochs: str, seed: int, *more: str
) -> dict[str, object]:
    rng = random.Random(seed)
    for _ in range(kills):
        process = start(folder, "--resume", "--set", epochs, *more)
        assert process.stdout is not None
        if process.stdout.readline() == "training\n":
            time.sleep(rng.uniform(0.0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return finish(folder, "--resume", "--set", epochs, *more)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_kills_change_nothing(tmp_path: Path, precision: str) -> None:
    more = ("--set", f'precision="{precision}"')
    whole = finish(tmp_path / "whole", "--set", "epochs=12", *more)
    assert kill_and_resume(tmp_path / "killed", 2, "epochs=12", 0, *more) == whole


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_twenty_kills_change_nothing(tmp_path: Path, seed: int) -> None:
    whole = finish(tmp_path / "whole", "--set", "epochs=100")
    assert kill_and_resume(tmp_path / "killed", 20, "epochs=100", seed) == whole


@pytest.mark.slow
@pytest.mark.parametrize("call", [*range(1, 40, 3)])
def test_a_kill_at_every_kind_of_moment_inside_a_save(tmp_path: Path, call: int) -> None:
    """The process kills itself at its n-th sync to the disk."""
    whole = finish(tmp_path / "whole")
    program = (
        "import os, signal, sys, runpy\n"
        "real, left = os.fsync, [CALL]\n"
        "def sync(descriptor):\n"
        "    left[0] -= 1\n"
        "    if left[0] == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(descriptor)\n"
        "os.fsync = sync\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    ).replace("CALL", str(call))
    killed = subprocess.run(
        [sys.executable, "-c", program, training_fakes.__file__, str(tmp_path / "killed"), *GIVEN],
        capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert finish(tmp_path / "killed", "--resume") == whole


def test_two_threads_give_the_same_bytes_each_time(tmp_path: Path) -> None:
    """Embedding gradients add up rows that repeat; their order must not depend on the threads."""
    results = []
    for name in ("a", "b"):
        process = subprocess.run(
            [sys.executable, training_fakes.__file__, str(tmp_path / name), "--width", "512",
             "--micro", "8", "--set", "threads=2", "--set", "epochs=1"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        results.append(json.loads(process.stdout.splitlines()[-1]))
    assert results[0] == results[1]
