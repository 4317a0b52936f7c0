"""Which settings each verb of the command line takes."""

from __future__ import annotations

from importlib import import_module

from tinyforge.config.base import Stage
from tinyforge.config.names import settings_table

ROOTS = {
    # Verb to "module:class" of what ``--set`` can name there.
    "train": "settings:Settings",
    "inspect": "settings:Settings",
    "predict": "settings:Settings",
    "evaluate": "settings:Settings",
    "compare": "settings:Settings",
    "tune": "tune:TuneRunSettings",
    "pretrain": "pretrain:PretrainRunSettings",
    "prepare": "prepare:PrepareSettings",
    "tokenizer": "tokenizer:TokenizerSettings",
    "export": "export:ExportRunSettings",
    "compress": "compress:CompressSettings",
    "serve": "serve:ServeSettings",
}

STAGES_OF = {
    # Verbs that use some stages of their settings alone, and refuse the others.
    "predict": ("data", "generate", "model"),
    "evaluate": ("task", "data", "evaluate", "generate", "model", "train"),
    "compare": ("task", "data", "evaluate", "generate", "model", "train"),
}


def root_of(verb: str) -> type[Stage]:
    """The class of all settings of a verb.

    Raises:
        KeyError: the verb takes no settings.
    """
    module, _, name = ROOTS[verb].partition(":")
    root: type[Stage] = getattr(import_module(f"tinyforge.config.{module}"), name)
    return root


def families() -> dict[type[Stage], list[str]]:
    """The classes of settings, each with its verbs, in the order of the table."""
    found: dict[type[Stage], list[str]] = {}
    for verb in ROOTS:
        found.setdefault(root_of(verb), []).append(verb)
    return found


def verbs_with(name: str) -> dict[type[Stage], list[str]]:
    """The classes that have a setting of this dotted name, each with the verbs that take it."""
    stage = name.partition(".")[0]
    return {
        root: [verb for verb in verbs if stage in STAGES_OF.get(verb, (stage,))]
        for root, verbs in families().items()
        if name in settings_table(root)
    }
