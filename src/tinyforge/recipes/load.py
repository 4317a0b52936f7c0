"""Open a model that answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyforge.config.evaluate import GenerateSettings
    from tinyforge.inference.prompted import PromptedModel
    from tinyforge.inference.torch_model import TorchModel


def load(
    path_or_id: str | Path,
    *,
    prompt: Any = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
    settings: GenerateSettings | None = None,
) -> TorchModel | PromptedModel:
    """A run folder, any Hugging Face folder, an adapter's folder, or a hub id.

    A folder that was saved with a prompt answers with it.

    Args:
        prompt: how to ask, in the place of a saved one: a ready-made prompt's name, a YAML or JSON
            file, a template with ``{input}``, a mapping, or a ``Prompt``.
        trust_remote_code: run Python code that comes with the model.
        revision: branch, tag or commit of a hub model.
        settings: how it generates where a call says nothing else.

    Raises:
        ModelError: there is no such model, it cannot answer, or it is a classifier and reads no
            prompt.
        SettingError: the prompt has a mistake.
    """
    from tinyforge.text.prompts import PROMPT_FILE, Prompt, read_prompt

    chosen = None if prompt is None else read_prompt(prompt)

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
