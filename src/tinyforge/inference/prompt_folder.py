"""A model folder with the prompt that it is used with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tinyforge.artifacts.files import disk_errors
from tinyforge.artifacts.manifest import write_manifest
from tinyforge.errors import FolderError
from tinyforge.models.folder import PICKLED, is_adapter
from tinyforge.models.save import TASK_FILE, save_model
from tinyforge.text.prompts import PROMPT_FILE, Prompt

if TYPE_CHECKING:
    from tinyforge.inference.torch_model import TorchModel


def save_prompted(model: TorchModel, prompt: Prompt, folder: Path) -> Path:
    """Copy a model into a new folder and put a prompt beside it.

    The folder loads with plain ``from_pretrained``; TinyForge answers with the prompt in
    ``tinyforge/prompt.json``, and ``tinyforge verify`` checks every file. Examples to choose from
    are saved with the prompt, so whoever has the folder can read them. The weights' files are
    copied as they are, and keep their hash; a model that is only in memory, and one with an
    adapter, is written anew.

    Raises:
        FolderError: the folder has files in it, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderError(
            "there is something already", where=str(folder), fix="Give the name of a new folder"
        )
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with disk_errors(folder):
            (part / PROMPT_FILE).parent.mkdir(parents=True)
        if model.path is None or is_adapter(model.path):
            save_model(model.model, model.tokenizer, part, model.task.state())
        else:
            with disk_errors(folder):
                _copy(model.path, part)
        prompt.save(part / PROMPT_FILE)
        write_manifest(part)
        with disk_errors(folder):
            if folder.exists():
                folder.rmdir()
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _copy(source: Path, target: Path) -> None:
    """Weights, config and tokenizer; neither pickles nor the record of a training run."""
    for path in sorted(source.iterdir()):
        if path.is_file() and path.suffix not in PICKLED and path.name != "README.md":
            shutil.copyfile(path, target / path.name)
    if (source / TASK_FILE).is_file():
        shutil.copyfile(source / TASK_FILE, target / TASK_FILE)
