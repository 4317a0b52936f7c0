"""The whole state of a training: taken apart for a checkpoint, and put back."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tinyforge.artifacts.checkpoint import read_state, read_tensors
from tinyforge.errors import SettingError
from tinyforge.train.loop import Training
from tinyforge.train.randomness import random_state, restore_random_state

log = logging.getLogger("tinyforge")


def capture(
    training: Training, identity: Mapping[str, Any]
) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """Tensors by file name, and plain values. The tensors are the living ones, not copies.

    Args:
        identity: what must be the same for a resume, plain JSON.
    """
    tensors, plain = random_state()
    files = {
        "model": training.weights.learnt(),
        "optimizer": training.optimizer.tensors(),
        "random": tensors,
    }
    state = {
        "format": 1,
        "progress": training.progress.state(),
        "loss_scale": training.loss_scale.state(),
        "random": plain,
        "identity": plain_json(identity),
        "frozen": training.frozen,
        "machine": machine(training),
    }
    return files, state


def restore(training: Training, folder: Path) -> None:
    """Put the state in a checkpoint back into a training, in place, so that ties stay tied.

    Raises:
        FolderError: a file is damaged, or belongs to another model.
    """
    state = read_state(folder)
    training.weights.restore(read_tensors(folder, "model"), folder)
    training.optimizer.zero_grad()
    training.optimizer.restore(read_tensors(folder, "optimizer"))
    restore_random_state(read_tensors(folder, "random"), state["random"])
    training.loss_scale.restore(state["loss_scale"])
    training.progress.restore(state["progress"])


def machine(training: Training) -> dict[str, Any]:
    """What a run must have in common with its resumed part to be equal to the last bit."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": training.precision.device,
        "precision": training.precision.name,
        "speed-ups": ", ".join(training.speedups) or "none",
    }


def check_identity(training: Training, folder: Path, identity: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings, data or frozen weights; warn of another machine.

    Raises:
        SettingError: something differs; it is named, with both values.
    """
    state = read_state(folder)
    before, now = _flat(state["identity"]), _flat(plain_json(identity))
    differing = sorted(name for name in before.keys() | now if before.get(name) != now.get(name))
    if differing:
        name = differing[0]
        more = f", and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise SettingError(
            f"this is not the run that was started here: it was {before.get(name)!r} and is "
            f"{now.get(name)!r} now{more}",
            where=name, fix="Give the same data and settings as before, or start anew with --force",
        )  # fmt: skip
    if state["frozen"] != training.frozen:
        raise SettingError(
            "the frozen weights are not those that the run was started with", where="model.name",
            fix="Give the same model as before, or start anew with --force",
        )  # fmt: skip
    here = machine(training)
    for name, value in state["machine"].items():
        if value != here[name]:
            log.warning(
                f"the run was started with {name} {value} and goes on with {here[name]}: "
                "the result will not be the same to the last bit"
            )


def plain_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """The value as JSON would give it back: tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return plain


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat.update(_flat(inner, f"{prefix}.{name}" if prefix else name))
    return flat
