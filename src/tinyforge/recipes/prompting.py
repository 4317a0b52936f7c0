"""A model that was never trained for a job, asked to do it: what a prompt alone would give."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinyforge.errors import TinyForgeError
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.text_features import NearestExample
from tinyforge.inference.answering import AnsweringModel
from tinyforge.inference.base import Predictor
from tinyforge.inference.prompted import PromptedModel
from tinyforge.text.prompts import Prompt, usual_prompt

if TYPE_CHECKING:
    from tinyforge.recipes.setup import Setup

log = logging.getLogger("tinyforge")

Answerer = AnsweringModel | PromptedModel


def prompted_baselines(setup: Setup, simple: Mapping[str, Predictor]) -> dict[str, Predictor]:
    """The model before training, asked with the plain prompt that fits the task.

    ``zero_shot`` is there for a choice of labels; where text is written, the untuned model is
    that already. ``few_shot`` is shown the training rows most like each question. None for a
    model from nothing, an encoder, several labels a row, and raw text.

    Args:
        simple: the baselines made already; their search for similar rows is used again.
    """
    loaded, task = setup.loaded, setup.task.name
    if not loaded.pretrained or loaded.path is None or loaded.family == "encoder":
        return {}
    if task in ("language-model", "preference") or setup.dataset.multi_label:
        return {}
    nearest = simple.get("nearest_example")
    similar = nearest.similar if isinstance(nearest, NearestExample) else None
    shots = setup.settings.evaluate.few_shot if similar is not None else 0
    if task != "classify" and not shots:
        return {}
    from tinyforge.inference.torch_model import TorchModel

    try:
        model = TorchModel.load(
            loaded.path, trust_remote_code=setup.settings.model.trust_remote_code,
            settings=setup.settings.generate,
        )  # fmt: skip
    except TinyForgeError as error:
        log.info(f"the model before training cannot be asked: {error.what}")
        return {}
    if model.task.name == "classify":
        return {}
    prompt = _prompt(setup, model)
    found: dict[str, Predictor] = {}
    if task == "classify":
        found["zero_shot"] = PromptedModel(model, prompt, tell=False)
    if shots:
        shown = prompt.model_copy(update={"shots": shots})
        found["few_shot"] = PromptedModel(model, shown, similar, tell=False)
    return found


def note_shortened(found: Mapping[str, Predictor], scored: Mapping[str, Evaluation]) -> None:
    """Say with each prompted baseline how many of its prompts were too long for the model."""
    for name, asked in found.items():
        if name in scored and isinstance(asked, PromptedModel) and asked.shortened:
            left = "the input's end is left out"
            if asked.prompt.shots:
                left = f"they show fewer than {asked.prompt.shots} rows (evaluate.few_shot)"
            scored[name].notes.append(
                f"{asked.shortened:,} of {asked.asked:,} prompts are too long for the model: {left}"
            )


def ask_for(model: Answerer, task: Any, labels: Sequence[str]) -> Answerer:
    """A model that can be compared in a task: one made for something else is asked by a prompt.

    Args:
        task: of the model that it is compared with.
        labels: of the rows; a prompt that names none chooses among them.
    """
    if isinstance(model, PromptedModel):
        return model.with_labels(labels)
    name = model.task.name
    if name in ("classify", task.name) or task.name not in ("classify", "text2text"):
        return model
    if getattr(task, "multi_label", False):
        return model
    prompt = usual_prompt(task.name, model.task.family, chat=name == "instruct")
    return PromptedModel(model, prompt.with_labels(labels))


def _prompt(setup: Setup, model: AnsweringModel) -> Prompt:
    before = setup.settings.data.prefix or ""
    chat = model.task.name == "instruct"
    prompt = usual_prompt(setup.task.name, model.task.family, chat=chat, before=before)
    if prompt.chooses:
        return prompt.with_labels(setup.dataset.labels)
    most = getattr(setup.task, "max_new_tokens", None)
    return prompt.model_copy(update={"max_new_tokens": most})
