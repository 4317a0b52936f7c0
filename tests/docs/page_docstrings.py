"""Runs the examples in docstrings, which doctest finds."""

from __future__ import annotations

import doctest
import importlib
import time
from pathlib import Path

from page_list import PageFailure, Ran

SOURCE = Path(__file__).resolve().parents[2] / "src"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
    """Modules in whose text an example begins."""
    return [
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(SOURCE.rglob("*.py"))
        if ">>> " in path.read_text(encoding="utf-8")
    ]


def run_docstrings(name: str) -> list[Ran]:
    """Run a module's examples, one docstring after the other.

    Raises:
        PageFailure: one of them prints something else, or doctest finds none of them.
    """
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    ran = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        if not test.examples:
            continue
        said: list[str] = []
        line = (test.lineno or 0) + test.examples[0].lineno + 1
        text = "".join(example.source for example in test.examples)
        begun = time.monotonic()
        if runner.run(test, out=said.append).failed:
            raise PageFailure(f"{name}:{line}: {''.join(said)}")
        ran.append(Ran(line, "docstring", text, time.monotonic() - begun, block=line))
    if not ran:
        raise PageFailure(f"{name}: the examples stand where nobody finds them")
    return ran
