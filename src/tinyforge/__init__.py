"""TinyForge: turn your own data into a small language model you can trust.

``import tinyforge`` is light: every name below is loaded on first use (PEP 562).
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyforge.api import (
        compare,
        compress,
        evaluate,
        export,
        inspect,
        load,
        prepare,
        pretrain,
        serve,
        train,
        tune,
        verify,
    )
    from tinyforge.trainer import Trainer, TrainingConfig

__version__ = "0.1.0"
__all__ = [
    "Trainer",
    "TrainingConfig",
    "__version__",
    "compare",
    "compress",
    "evaluate",
    "export",
    "inspect",
    "load",
    "prepare",
    "pretrain",
    "serve",
    "train",
    "tune",
    "verify",
]

_NAMES = {
    "Trainer": "tinyforge.trainer",
    "TrainingConfig": "tinyforge.trainer",
    "compare": "tinyforge.api",
    "compress": "tinyforge.api",
    "evaluate": "tinyforge.api",
    "export": "tinyforge.api",
    "inspect": "tinyforge.api",
    "load": "tinyforge.api",
    "prepare": "tinyforge.api",
    "pretrain": "tinyforge.api",
    "serve": "tinyforge.api",
    "train": "tinyforge.api",
    "tune": "tinyforge.api",
    "verify": "tinyforge.api",
}


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'tinyforge' has no attribute {name!r}")
    return getattr(import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _CallableStage(ModuleType):
    """A package whose name is also a verb: ``tinyforge.train(...)`` calls the verb."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        verb = self.__name__.rpartition(".")[2]
        return getattr(import_module(_NAMES[verb]), verb)(*args, **keywords)


class _Root(ModuleType):
    """This package. Importing ``tinyforge.train`` binds that name to the package of the training
    loop; it has to stay a verb as well, whichever of the two is used first.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _NAMES and type(value) is ModuleType:
            value.__class__ = _CallableStage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Root
