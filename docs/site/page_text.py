"""Markdown of the reference: cells, anchors, and docstrings in the project's style."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

MADE = "<!-- Made from the code by docs/site/make_site.py: mend the code, not this page. -->"

SECTIONS = ("Args", "Returns", "Yields", "Raises", "Attributes")
_SECTION = re.compile(rf"^({'|'.join(SECTIONS)}):\s*$")
_ITEM = re.compile(r"^(\*{0,2}[A-Za-z_][\w.]*(?:, \*{0,2}[A-Za-z_][\w.]*)*): ?(.*)$")


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table, as lines; nothing where there are no rows."""
    body = [f"| {' | '.join(row)} |" for row in rows]
    if not body:
        return []
    return ["", f"| {' | '.join(titles)} |", f"| {' | '.join('---' for _ in titles)} |", *body, ""]


def cell(text: str) -> str:
    """Text for a cell of a table, with nothing in it that Markdown would take for its own."""
    return " ".join(prose(text).replace("|", "\\|").split())


def prose(text: str) -> str:
    """Plain words as Markdown: code in two backticks becomes code, other signs stay signs."""
    parts = re.split(r"(``.+?``|`[^`]+`)", text, flags=re.DOTALL)
    return "".join(
        code(part.strip("`")) if number % 2 else _escaped(part) for number, part in enumerate(parts)
    )


def code(text: str) -> str:
    """A piece of code; a bar in it would end the cell of a table, even in code."""
    flat = " ".join(text.split())
    if "|" in flat:
        return f"<code>{_entities(flat).replace('|', '&#124;')}</code>"
    return f"`` {flat} ``" if "`" in flat else f"`{flat}`"


def anchor(name: str) -> str:
    """A place that links can point to."""
    return f'<span id="{slug(name)}"></span>'


def slug(name: str) -> str:
    """A name as part of an address."""
    return re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-")


def sections_of(docstring: str) -> tuple[str, dict[str, list[tuple[str, str]]]]:
    """A docstring's text, and its sections as pairs of name and meaning.

    A section's text that names nothing stands under an empty name.
    """
    text: list[str] = []
    found: dict[str, list[tuple[str, str]]] = {}
    items: list[tuple[str, str]] | None = None
    for line in inspect.cleandoc(docstring).splitlines():
        section = _SECTION.match(line)
        if section:
            items = found.setdefault(section[1], [])
        elif items is None or (line and not line.startswith(" ")):
            items = None
            text.append(line)
        elif line.strip():
            item = (
                _ITEM.match(line.strip()) if line.startswith("    ") and line[4:5] != " " else None
            )
            if item:
                items.append((item[1], item[2]))
            elif items:
                items[-1] = (items[-1][0], f"{items[-1][1]} {line.strip()}")
            else:
                items.append(("", line.strip()))
    return "\n".join(text).strip(), found


def paragraphs(text: str) -> list[str]:
    """A docstring's text as Markdown lines; indented stretches stay as they are."""
    lines: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        if block.startswith((" ", ">>>")):
            lines += ["```text", *inspect.cleandoc(block).splitlines(), "```", ""]
        elif re.match(r"[-*] ", block):
            lines += [prose(line) for line in block.splitlines()] + [""]
        else:
            lines += [prose(" ".join(block.split())), ""]
    return lines


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_\[\]])", r"\\\1", _entities(text))


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
