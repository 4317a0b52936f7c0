"""The Python verbs: keywords become settings, a recipe does the work."""

from __future__ import annotations

from tinyforge.api.answering import load, serve
from tinyforge.api.corpora import prepare, pretrain
from tinyforge.api.judging import compare, evaluate, inspect
from tinyforge.api.shipping import compress, export, verify
from tinyforge.api.training import train, tune

__all__ = [
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
