"""What of a Markdown page is run: blocks of code, found by a CommonMark parser.

====================================  ==========================================================
in the page                           what is done with it
====================================  ==========================================================
```` ```console ````                  lines that begin with ``$`` are commands in one shell session
                                      for the page; the lines below each are its expected output
```` ```bash ````                     a script for the same session; it has to succeed
```` ```python ````                   run in one Python session for the page, as in a notebook
```` ```text ```` directly below      the expected output of the ``bash`` or ``python`` block
``title="NAME"`` in any of them       saved under that name, and not run
``<!-- given: python`` … ``-->``      run like a block, and not shown: what the reader of a how-to
                                      page has already, such as a trained model
anything else                         an illustration
====================================  ==========================================================

``…`` in expected output stands for anything within a line, and a line of only ``…`` for any
lines. ``<!-- run: slow -->`` as a page's first line puts it into the slow tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

Kind = Literal["console", "bash", "python", "file"]

SLOW = "<!-- run: slow -->"
_TITLE = re.compile(r'\btitle="([^"]+)"')
_GIVEN = re.compile(r"<!-- given: (\w+)\n(.*)-->\s*", re.DOTALL)


class PageMistake(Exception):  # noqa: N818 - it is the page's
    """A block that is written in a way in which it would not be run."""


@dataclass(frozen=True)
class Block:
    """One block of a page.

    Attributes:
        line: of its first line in the page, counted from 1.
        title: the file's name, of a block that is saved.
        expected: the output that the page shows; None where it shows none, and for ``console``,
            whose commands each have their own.
        shown: whether the page shows it; what its reader has already is not.
    """

    line: int
    kind: Kind
    text: str
    title: str = ""
    expected: str | None = None
    shown: bool = True


@dataclass(frozen=True)
class Command:
    """A command of a ``console`` block, and the output that is shown below it."""

    line: int
    text: str
    expected: str | None


@dataclass(frozen=True)
class Page:
    """A page's blocks that are run or saved, in their order."""

    path: Path
    blocks: tuple[Block, ...]

    @property
    def runs(self) -> bool:
        """Whether anything is run."""
        return any(block.kind != "file" for block in self.blocks)


def is_slow(path: Path) -> bool:
    """Whether the page's first line says so."""
    with path.open(encoding="utf-8") as file:
        return file.readline().strip() == SLOW


def read_page(path: Path) -> Page:
    """The blocks of a page.

    Raises:
        PageMistake: a block would silently not be run.
    """
    tokens = MarkdownIt("commonmark").parse(path.read_text(encoding="utf-8"))
    return Page(path, tuple(_blocks(path, tokens)))


def _blocks(path: Path, tokens: list[Token]) -> Iterator[Block]:
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "code_block" and "```" in token.content:
            raise PageMistake(f"{path}:{line}: an indented block of code would not be run")
        if token.type == "html_block":
            if given := _GIVEN.fullmatch(token.content):
                yield Block(line, _kind(path, line, given[1]), given[2], shown=False)
            elif "given:" in token.content:
                raise PageMistake(f"{path}:{line}: write <!-- given: python (or bash), then lines")
        if token.type != "fence":
            continue
        language, _, rest = token.info.strip().partition(" ")
        if title := _TITLE.search(rest):
            yield Block(line, "file", token.content, title=title[1])
        elif language in ("console", "bash", "python"):
            kind = _kind(path, line, language)
            expected = _shown_below(following) if kind != "console" else None
            yield Block(line, kind, token.content, expected=expected)
        elif language in ("pycon", "sh", "shell", "py", "python3"):
            raise PageMistake(f"{path}:{line}: {language!r} would not be run; see {__name__}")


def _kind(path: Path, line: int, language: str) -> Kind:
    if language == "console":
        return "console"
    if language == "bash":
        return "bash"
    if language == "python":
        return "python"
    raise PageMistake(f"{path}:{line}: {language!r} is not run here")


def _shown_below(token: Token | None) -> str | None:
    """The text of a plain ``text`` block."""
    if token is None or token.type != "fence" or token.info.strip() != "text":
        return None
    return token.content


def commands_of(block: Block) -> list[Command]:
    """The commands of a ``console`` block.

    A line that ends with a backslash goes on in the next one; so does a command whose following
    lines begin with ``>``, as a shell shows them.
    """
    found: list[Command] = []
    text: list[str] = []
    output: list[str] = []
    line = block.line

    def finish() -> None:
        if text:
            shown = "\n".join(output) if "".join(output).strip() else None
            found.append(Command(line, "\n".join(text), shown))

    for number, row in enumerate(block.text.splitlines(), start=block.line + 1):
        if text and not output and (text[-1].endswith("\\") or row.startswith("> ")):
            text.append(row.removeprefix("> "))
        elif row.startswith("$ "):
            finish()
            text, output, line = [row.removeprefix("$ ")], [], number
        elif text:
            output.append(row)
        elif row.strip():
            raise PageMistake(f"line {number}: a console block begins with a command, after '$ '")
    finish()
    return found


def matches(expected: str, actual: str) -> bool:
    """Whether an output is the expected one; trailing spaces and blank ends do not count."""
    parts = []
    for line in _tidy(expected):
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(piece) for piece in line.split("…")) + r"\n")
    text = "".join(f"{line}\n" for line in _tidy(actual))
    return re.fullmatch("".join(parts), text) is not None


def _tidy(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").rstrip().splitlines()]
