"""What can be learnt: the table of tasks, and how one is built or read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from tinyforge.config.settings import Settings
from tinyforge.errors import FolderError, ModelError
from tinyforge.registry import Registry

if TYPE_CHECKING:
    from tinyforge.tasks.base import Task

TASKS = Registry(
    "task",
    {
        "classify": "tinyforge.tasks.classify:Classify",
        "text2text": "tinyforge.tasks.text2text:Text2Text",
        "instruct": "tinyforge.tasks.instruct:Instruct",
        "language-model": "tinyforge.tasks.language_model:LanguageModel",
        "preference": "tinyforge.tasks.preference:Preference",
    },
)
"""Name to class. A class has ``build`` (from settings) and ``from_state`` (from a model folder)."""


def build_task(
    name: str,
    *,
    tokenizer: Any,
    config: Any,
    labels: Sequence[str] = (),
    multi_label: bool = False,
    settings: Settings,
) -> Task:
    """The task that is about to be trained.

    Args:
        config: the model's Hugging Face config.
        labels: all labels in the order of the model's outputs (classification).
        multi_label: whether a row may carry several labels (classification).
    """
    return cast(
        "Task",
        TASKS.get(name).build(
            tokenizer=tokenizer,
            config=config,
            labels=tuple(labels),
            multi_label=multi_label,
            settings=settings,
        ),
    )


def task_from_state(state: Mapping[str, Any], tokenizer: Any, config: Any) -> Task:
    """The task that a model folder was saved with; the inverse of ``Task.state``.

    Raises:
        FolderError: the state lacks something or holds what it cannot hold.
    """
    try:
        return cast("Task", TASKS.get(state["name"]).from_state(state, tokenizer, config))
    except (KeyError, TypeError, ValueError) as error:
        raise FolderError(
            "the task saved with this model cannot be read",
            value=str(error),
            fix="Take tinyforge/task.json from an intact copy of the model, or delete it to use "
            "the model as any other Hugging Face folder",
        ) from error


def guess_task(config: Any, tokenizer: Any) -> Task:
    """The task of a model that was not saved by TinyForge, from its architecture.

    A sequence classifier classifies with its own labels; an encoder-decoder answers the input as
    it is; a decoder with a chat template chats; any other decoder continues the text exactly as
    given.

    Raises:
        ModelError: the model has no head that answers.
    """
    architecture = next(iter(config.architectures or ()), "")
    state: dict[str, Any] = {"prefix": ""}
    if architecture.endswith("ForSequenceClassification"):
        names = sorted((int(i), str(label)) for i, label in config.id2label.items())
        state |= {
            "name": "classify",
            "labels": [label for _, label in names],
            "multi_label": config.problem_type == "multi_label_classification",
        }
    elif getattr(config, "is_encoder_decoder", False):
        state |= {"name": "text2text", "family": "encoder-decoder"}
    elif architecture.endswith(("ForCausalLM", "LMHeadModel")):
        state |= {"name": "instruct" if tokenizer.chat_template else "language-model"}
    else:
        raise ModelError(
            "this model has no head that answers: it is not a classifier and writes no text",
            value=architecture or config.model_type,
            fix="Train it first: tinyforge train DATA --model THIS --output DIR",
        )
    return task_from_state(state, tokenizer, config)
