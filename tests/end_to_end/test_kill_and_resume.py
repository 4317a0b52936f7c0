"""A run that is killed again and again ends with the same bytes as one left alone."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command_line import PROGRAM

pytestmark = pytest.mark.slow

KILLS = 20
# Dropout, accumulation (8 sequences a step, 2 at a time) and packing, with frequent checkpoints
# and validations, so that kills fall into every kind of moment.
SETTINGS = (
    "model.dropout=0.1",
    "train.pack=true",
    "train.batch_size=8",
    "train.micro_batch_size=2",
    "train.checkpoint_every=7",
    "train.validate_every=25",
    "train.precision=float32",
    "evaluate.baselines=false",
    "data.max_length=96",
)


def words(rng: random.Random) -> str:
    return " ".join(
        "".join(rng.choices("abcdefgh", k=rng.randint(2, 6))) for _ in range(rng.randint(3, 20))
    )


def command(data: Path, output: Path, *, resume: bool) -> list[str]:
    line = [*PROGRAM, "train", str(data), "--output", str(output)]
    line += ["--model", "scratch:gpt-tiny", "--task", "instruct", "--max-steps", "150", "--json"]
    for setting in SETTINGS:
        line += ["--set", setting]
    return line + (["--resume"] if resume else [])


def digests(output: Path) -> dict[str, str]:
    names = ["model.safetensors", "tinyforge/metrics.jsonl", "tokenizer.json"]
    return {n: hashlib.sha256((output / n).read_bytes()).hexdigest() for n in names}


def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("KILL_SEED", "0"))
    rng = random.Random(seed)
    rows = [{"prompt": words(rng), "completion": words(rng)} for _ in range(600)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    started = time.monotonic()
    whole = tmp_path / "whole"
    subprocess.run(command(data, whole, resume=False), check=True, capture_output=True)
    whole_seconds = time.monotonic() - started

    killed = tmp_path / "killed"
    kills = 0
    while kills < KILLS:
        process = subprocess.Popen(
            command(data, killed, resume=killed.exists()),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            process.wait(timeout=rng.uniform(0.1, whole_seconds * 0.75))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        if kills < KILLS:  # finished early: compare, and begin again with what kills are left
            assert digests(killed) == digests(whole)
            killed = tmp_path / f"killed-{kills}"
    done = subprocess.run(
        command(data, killed, resume=killed.exists()), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert digests(killed) == digests(whole)
