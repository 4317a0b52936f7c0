"""Open a model that answers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.export_folder import is_export
from tinyforge.errors import SettingError

if TYPE_CHECKING:
    from tinyforge.config.evaluate import GenerateSettings
    from tinyforge.inference.answering import AnsweringModel
    from tinyforge.inference.prompted import PromptedModel

log = logging.getLogger("tinyforge")


def load(
    path_or_id: str | Path,
    *,
    prompt: Any = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
    settings: GenerateSettings | None = None,
) -> AnsweringModel | PromptedModel:
    """A run folder, any Hugging Face folder, an adapter's folder, a hub id, or an exported folder.

    An exported folder answers without torch. A folder that was saved with a prompt answers with
    it.

    Args:
        prompt: how to ask, in the place of a saved one: a ready-made prompt's name, a YAML or JSON
            file, a template with ``{input}``, a mapping, or a ``Prompt``.
        trust_remote_code: run Python code that comes with the model.
        revision: branch, tag or commit of a hub model.
        settings: how it generates where a call says nothing else.

    Raises:
        ModelError: there is no such model, it cannot answer, or it is a classifier and reads no
            prompt.
        FolderError: an exported folder is unsafe, damaged or not whole.
        SettingError: the prompt has a mistake, or a revision is asked of an exported folder.
    """
    from tinyforge.text.prompts import PROMPT_FILE, Prompt, read_prompt

    chosen = None if prompt is None else read_prompt(prompt)
    model: AnsweringModel
    if is_export(Path(path_or_id)):
        model = _exported(Path(path_or_id), revision, settings)
    else:
        from tinyforge.inference.torch_model import TorchModel

        model = TorchModel.load(
            path_or_id, trust_remote_code=trust_remote_code, revision=revision, settings=settings
        )
    if chosen is None and model.path is not None and (model.path / PROMPT_FILE).is_file():
        chosen = Prompt.load(model.path / PROMPT_FILE)
    if chosen is None:
        return model

    from tinyforge.inference.prompted import PromptedModel

    return PromptedModel(model, chosen)


def _exported(
    folder: Path, revision: str | None, settings: GenerateSettings | None
) -> AnsweringModel:
    from tinyforge.inference.onnx.model import OnnxModel

    if revision is not None:
        raise SettingError(
            "has no effect on an exported folder", where="model.revision", value=revision,
            fix="Leave it out",
        )  # fmt: skip
    model = OnnxModel.load(folder, settings=settings)
    if not model.record.ready:
        log.warning(
            f"{folder}: this export has not passed its gate, so its answers may differ from those "
            "of the model that was tested"
        )
    return model
