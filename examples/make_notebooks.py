"""Writes three of the example programs as Jupyter notebooks.

    python examples/make_notebooks.py

A program's docstring becomes the opening text, each ``# %%`` line a heading, the comment below it
text, and the code up to the next one a cell. The programs are the source; run this after a change.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOTEBOOKS = ("faq_bot", "support_router", "translation")
MARK = "# %% "


def notebook(source: str) -> dict[str, Any]:
    """The notebook (format 4.5) of a program in percent format."""
    opening, *sections = f"\n{source}".split(f"\n{MARK}")
    title, _, rest = (ast.get_docstring(ast.parse(opening)) or "").partition("\n")
    cells = [("markdown", f"# {title.rstrip('.')}\n{rest}".strip())]
    for section in sections:
        heading, _, body = section.partition("\n")
        text, code = _comment_above(body)
        cells.append(("markdown", f"## {heading}\n\n{text}".strip()))
        cells.append(("code", code.strip()))
    return {
        "cells": [_cell(number, kind, text) for number, (kind, text) in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _comment_above(body: str) -> tuple[str, str]:
    """The comment that a section begins with, as text, and the code after it."""
    lines = body.splitlines()
    count = 0
    while count < len(lines) and lines[count].startswith("#"):
        count += 1
    return "\n".join(line.lstrip("# ") for line in lines[:count]).strip(), "\n".join(lines[count:])


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": f"cell-{number}",
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def written(name: str) -> str:
    """The text of a program's notebook."""
    source = (HERE / f"{name}.py").read_text(encoding="utf-8")
    return json.dumps(notebook(source), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in NOTEBOOKS:
        (HERE / f"{name}.ipynb").write_text(written(name), encoding="utf-8")
