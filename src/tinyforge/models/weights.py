"""Reading a model's weights into its class, with nothing missing unsaid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyforge.errors import ModelError
from tinyforge.models.folder import check_weights, weight_files
from tinyforge.models.quiet import quiet


@dataclass(frozen=True)
class Read:
    """A model as it was read.

    Attributes:
        missing: weights that the file lacks; they are newly initialised.
        mismatched: weights of another shape in the file; newly initialised as well.
    """

    model: Any
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]


def read_config(folder: Path, *, trust_remote_code: bool) -> Any:
    """The Hugging Face config object of a folder that ``check_config`` let pass."""
    from transformers import AutoConfig

    try:
        with quiet():
            return AutoConfig.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=trust_remote_code
            )
    except Exception as error:  # configs validate themselves with errors of their own
        raise _unreadable(folder / "config.json", error) from error


def read_model(
    auto_class: Any,
    folder: Path,
    config: Any,
    *,
    seed: int = 0,
    trust_remote_code: bool = False,
    other_head: bool = False,
) -> Read:
    """The model in float32, in evaluation mode; weights not in the file are drawn from ``seed``.

    Args:
        other_head: a head of another size in the file may be left out.

    Raises:
        ModelError: the weights are not in safetensors, damaged or not finite, do not fit the
            config, or the architecture does not fit the class.
    """
    import torch

    check_weights(weight_files(folder))
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model, info = auto_class.from_pretrained(
                str(folder),
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=trust_remote_code,
                ignore_mismatched_sizes=other_head,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
        raise _unreadable(folder, error) from error
    check_finite(model, folder)
    mismatched = tuple(sorted(key for key, *_ in info["mismatched_keys"]))
    return Read(model, tuple(sorted(info["missing_keys"])), mismatched)


def check_finite(model: Any, folder: Path) -> None:
    """Raises ModelError naming the first weight that holds NaN or infinity."""
    for name, weight in model.named_parameters():
        if not bool(weight.isfinite().all()):
            raise ModelError(
                f"the weight {name} holds numbers that are not finite; the file is damaged",
                where=str(folder),
                fix="Copy or download the model again",
            )


def _unreadable(where: Path, error: Exception) -> ModelError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ModelError(
        "the model cannot be loaded; its files do not fit together",
        where=str(where),
        value=" ".join(lines[:2])[:200] or type(error).__name__,
        fix="Copy or download the model again, or choose another",
    )


def refuse_missing(missing: Sequence[str], folder: Path) -> None:
    """Raises ModelError where a file lacks weights that the model needs."""
    if missing:
        shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise ModelError(
            f"{len(missing)} weights that the model needs are not in its file: {shown}",
            where=str(folder),
            fix="Copy or download the model again, or choose another",
        )
