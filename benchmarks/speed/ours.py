"""TinyForge's side: the command a user would type, and the record that its run folder holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.speed.harness import read_json, read_lines


def executable() -> str:
    """The installed ``tinyforge`` command of this Python."""
    path = Path(sys.executable).with_name("tinyforge")
    if not path.is_file():
        raise SystemExit("tinyforge is not installed here: pip install -e '.[all,bench]'")
    return str(path)


def command(
    data: Path, output: Path, model: str, settings: dict[str, Any], *flags: str
) -> list[str]:
    """``tinyforge train`` with settings as ``--set NAME=VALUE``."""
    chosen = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return [
        executable(), "train", str(data), "--output", str(output), "--model", model,
        *flags, *chosen,
    ]  # fmt: skip


def plain_run(spec: dict[str, Any]) -> dict[str, Any]:
    """Settings under which a run learns from all rows, as the peers do, and does nothing else.

    What belongs to learning (batch, rate, schedule, number of steps) is set as for the peer; what
    belongs to speed is left to TinyForge, but for the number of threads.
    """
    only_seq2seq = {"data.max_output_length": spec["longest"]} if spec["kind"] == "seq2seq" else {}
    return {
        **only_seq2seq,
        "data.validation_share": 0,
        "data.test_share": 0,
        "data.near_duplicate": 1,
        "data.max_length": spec["longest"],
        "evaluate.baselines": "false",
        "train.batch_size": spec["batch"],
        "train.max_steps": spec["steps"],
        "train.learning_rate": spec["learning_rate"],
        "train.schedule": spec["schedule"],
        "train.warmup_share": 0,
        "train.weight_decay": 0,
        "train.beta2": 0.999,
        "train.optimizer": "adamw",
        "train.early_stopping": 0,
        "train.seed": spec["seed"],
        "train.threads": spec["threads"],
    }


def read_run(output: Path) -> dict[str, Any]:
    """Steps of a finished run, and what else its record tells."""
    record = output / "tinyforge"
    metrics = {
        line["step"]: line for line in read_lines(record / "metrics.jsonl") if "loss" in line
    }
    steps = [
        {
            "seconds": line["seconds"],
            "loss": metrics[line["step"]]["loss"],
            "examples": metrics[line["step"]]["examples"],
            "tokens": metrics[line["step"]]["tokens"],
        }
        for line in read_lines(record / "timings.jsonl")
    ]
    report = read_json(record / "report.json")
    training = report["training"]
    return {
        "steps": steps,
        "loop_seconds": training["seconds"],
        "notes": {
            "precision": training["precision"],
            "reasons": report["reasons"],
            "events": training["events"],
        },
    }


def validations(output: Path) -> list[dict[str, Any]]:
    """Step and values of each validation of a run."""
    lines = read_lines(output / "tinyforge" / "metrics.jsonl")
    return [{"step": line["step"], **line["validation"]} for line in lines if "validation" in line]
