"""A model folder with the prompt that it is used with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.export_folder import is_export
from tinyforge.artifacts.files import disk_errors
from tinyforge.artifacts.manifest import write_manifest
from tinyforge.errors import FolderError
from tinyforge.models.folder import PICKLED, TASK_FILE, is_adapter
from tinyforge.text.prompts import PROMPT_FILE, Prompt

if TYPE_CHECKING:
    from tinyforge.inference.answering import AnsweringModel


def save_prompted(model: AnsweringModel, prompt: Prompt, folder: Path) -> Path:
    """Copy a model into a new folder and put a prompt beside it.

    The folder loads with plain ``from_pretrained``; TinyForge answers with the prompt in
    ``tinyforge/prompt.json``, and ``tinyforge verify`` checks every file. Examples to choose from
    are saved with the prompt, so whoever has the folder can read them. The weights' files are
    copied as they are, and keep their hash; a model that is only in memory, and one with an
    adapter, is written anew. An exported folder is copied whole.

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
            if model.path is not None and is_export(model.path):
                shutil.copytree(model.path, part, dirs_exist_ok=True)
            elif model.path is not None and not is_adapter(model.path):
                _copy(model.path, part)
            else:
                _write(model, part)
        prompt.save(part / PROMPT_FILE)
        write_manifest(part)
        with disk_errors(folder):
            if folder.exists():
                folder.rmdir()
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _write(model: Any, target: Path) -> None:
    from tinyforge.models.save import save_model

    save_model(model.model, model.tokenizer, target, model.task.state())


def _copy(source: Path, target: Path) -> None:
    """Weights, config and tokenizer; neither pickles nor the record of a training run."""
    for path in sorted(source.iterdir()):
        if path.is_file() and path.suffix not in PICKLED and path.name != "README.md":
            shutil.copyfile(path, target / path.name)
    if (source / TASK_FILE).is_file():
        shutil.copyfile(source / TASK_FILE, target / TASK_FILE)
