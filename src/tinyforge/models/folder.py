"""A model folder on disk: what is in it, and whether it is safe and whole enough to load.

Everything here reads JSON and safetensors headers only; nothing in the folder is ever executed or
unpickled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tinyforge.errors import ModelError

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
TASK_FILE = Path("tinyforge") / "task.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")
NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state", "scaler")
CONVERT = (
    'Convert it once, on a machine where you trust it: python -c "from transformers import '
    "AutoModelForCausalLM as M; M.from_pretrained('FOLDER').save_pretrained('NEW')\" (with the "
    "Auto class of your model), then use NEW"
)


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds a peft adapter rather than a whole model."""
    return (folder / ADAPTER_CONFIG).is_file()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a model's file; raises ModelError naming the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            "the file is missing", where=str(path), fix="Give the folder of a whole model"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            "the file cannot be read as JSON; it is damaged",
            where=str(path),
            value=str(error),
            fix="Copy or download the model again",
        ) from None
    if not isinstance(value, dict):
        raise ModelError("the file is not a JSON object", where=str(path))
    return value


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the model or adapter in this folder.

    Raises:
        ModelError: there are none (pickled ones are named), or one that the index lists is
            missing or lies outside the folder.
    """
    single = folder / (ADAPTER_WEIGHTS if is_adapter(folder) else WEIGHTS)
    if single.is_file():
        return [single]
    index = folder / WEIGHTS_INDEX
    if index.is_file() and not is_adapter(folder):
        names = read_json(index).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise ModelError("the file lists no weights; it is damaged", where=str(index))
        shards = [folder / name for name in sorted({str(name) for name in names.values()})]
        for shard in shards:
            if shard.parent != folder or not shard.is_file():
                raise ModelError(
                    f"the weight file {shard.name} that {index.name} lists is missing",
                    where=str(folder),
                    fix="Copy or download the model again",
                )
        return shards
    raise _no_weights(folder, single.name)


def _no_weights(folder: Path, wanted: str) -> ModelError:
    pickled = sorted(
        file.name
        for file in folder.iterdir()
        if file.suffix in PICKLED and not file.name.startswith(NOT_WEIGHTS)
    )
    if pickled:
        return ModelError(
            f"the weights are only in {pickled[0]}, not in safetensors; such files can run "
            "code when they are opened, so TinyForge does not open them",
            where=str(folder),
            fix=CONVERT.replace("FOLDER", str(folder)),
        )
    fix = "Give the folder of a whole model"
    if (folder / "tinyforge" / "checkpoints").is_dir():
        fix = "Its training has not ended: finish it with tinyforge train … --resume"
    return ModelError(f"there are no weights: {wanted} is missing", where=str(folder), fix=fix)


def check_weights(files: list[Path]) -> None:
    """Raises ModelError for a safetensors file that is cut or whose header is damaged."""
    from safetensors import SafetensorError, safe_open

    for path in files:
        try:
            with safe_open(str(path), framework="numpy") as opened:
                opened.keys()
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(
                "the weight file is cut or damaged",
                where=str(path),
                value=str(error),
                fix="Copy or download the model again",
            ) from None


def check_config(folder: Path, *, trust_remote_code: bool) -> dict[str, Any]:
    """The model's config.json as a dict, after the checks that keep loading it safe.

    Raises:
        ModelError: config.json is missing or damaged, the model comes with its own Python code
            and is not trusted, or it points to weights or kernels outside safetensors files.
    """
    if not (folder / "config.json").is_file():
        raise _no_config(folder)
    config = read_json(folder / "config.json")
    if "model_type" not in config:
        raise ModelError(
            "config.json names no model_type, so it is not a Hugging Face model",
            where=str(folder / "config.json"),
        )
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        values = config if name == "config.json" else read_json(path) if path.is_file() else {}
        if values.get("auto_map") and not trust_remote_code:
            raise ModelError(
                "the model comes with its own Python code (auto_map), which would run on your "
                "machine",
                where=str(path),
                fix="Read that code, and if you trust it add --set model.trust_remote_code=true",
            )
    weights = config.get("transformers_weights")
    if weights is not None and not str(weights).endswith(
        (".safetensors", ".safetensors.index.json")
    ):
        raise ModelError(
            "transformers_weights names a file that is not safetensors",
            where=str(folder / "config.json"),
            value=weights,
        )
    if (folder / ".metadata").exists():
        raise ModelError(
            "this is a distributed checkpoint, whose index is a pickle",
            where=str(folder / ".metadata"),
            fix="Save the model as safetensors with save_pretrained",
        )
    for key, value in config.items():
        if key.endswith(("attn_implementation", "experts_implementation")) and "/" in str(value):
            raise ModelError(
                f"{key} asks for code from the hub", where=str(folder / "config.json"), value=value
            )
    return config


def _no_config(folder: Path) -> ModelError:
    below = [*folder.glob("*/config.json"), *folder.glob("snapshots/*/config.json")]
    inside = sorted(str(p.parent) for p in below)[:3]
    fix = "Give a folder with config.json, model.safetensors and tokenizer files"
    if inside:
        fix = "Did you mean " + " or ".join(map(repr, inside)) + "?"
    elif (folder / "tinyforge" / "checkpoints").is_dir():
        fix = "Its training has not ended: finish it with tinyforge train … --resume"
    return ModelError(
        "there is no config.json, so this is no model folder", where=str(folder), fix=fix
    )
