"""What was run of the documentation: every block with its page, its line and its time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class PageFailure(AssertionError):  # noqa: N818 - what a test fails with
    """A block does not do what the page says."""


@dataclass(frozen=True)
class Ran:
    """One block or command that was run.

    Attributes:
        line: of the command, or of the block, counted from 1.
        kind: ``console``, ``bash``, ``python``, or ``docstring``.
        block: the first line of the block that it stands in; a ``console`` block has several
            commands.
        shown: whether the page shows it; what its reader has already is not.
    """

    line: int
    kind: str
    text: str
    seconds: float
    block: int = 0
    shown: bool = True

    @property
    def beginning(self) -> str:
        """Its first line."""
        return next((line.strip() for line in self.text.splitlines() if line.strip()), "")

    def __str__(self) -> str:
        kind = self.kind if self.shown else "(given)"
        return f"  line {self.line:>4}  {kind:<9} {self.seconds:6.1f} s  {self.beginning[:80]}"


@dataclass(frozen=True)
class PageRun:
    """All that was run of one page, or of one module's docstrings.

    Attributes:
        failure: what does not hold; empty where all does. What ran before it is in ``ran``.
    """

    name: str
    ran: Sequence[Ran]
    seconds: float
    failure: str = ""

    @property
    def blocks(self) -> int:
        """How many blocks were run."""
        return len({part.block for part in self.ran})

    def __str__(self) -> str:
        head = (
            f"{self.name}: {self.blocks} blocks, {len(self.ran)} commands and programs in them, "
            f"{self.seconds:.1f} s"
        )
        return "\n".join([head, *map(str, self.ran)])


@dataclass
class Whole:
    """A run of the documentation, page by page.

    Attributes:
        seconds: from its beginning to the end of the last page.
        load: how busy the machine was before it: processes that wanted a core, over a minute.
    """

    runs: list[PageRun] = field(default_factory=list)
    seconds: float = 0.0
    load: float = field(default_factory=lambda: round(os.getloadavg()[0], 2))
    begun: float = field(default_factory=time.monotonic)

    def add(self, run: PageRun) -> None:
        """A page more."""
        self.runs.append(run)
        self.seconds = time.monotonic() - self.begun

    @property
    def failed(self) -> list[PageRun]:
        """Pages that do not hold."""
        return [run for run in self.runs if run.failure]

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        blocks, parts = (sum(each) for each in zip(*self._counts(), strict=True))
        return (
            f"{len(self.runs)} pages, {blocks} blocks, {parts} commands and programs in them, "
            f"{self.seconds:.0f} s on {os.cpu_count()} cores; pages failed: {len(self.failed)}"
        )

    def write(self, path: Path) -> None:
        """Keep the list: as JSON where the name ends in ``.json``, else as Markdown."""
        path.parent.mkdir(parents=True, exist_ok=True)
        as_json = path.suffix == ".json"
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False) if as_json else self.table()
        path.write_text(text + "\n", encoding="utf-8")

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        blocks, parts = (sum(each) for each in zip(*self._counts(), strict=True))
        return {
            "pages": [
                {
                    "page": run.name,
                    "blocks": run.blocks,
                    "seconds": round(run.seconds, 1),
                    "failure": run.failure or None,
                    "run": [
                        {
                            "line": part.line, "block": part.block, "kind": part.kind,
                            "shown": part.shown, "seconds": round(part.seconds, 2),
                            "text": part.text,
                        }
                        for part in run.ran
                    ],
                }
                for run in self.runs
            ],
            "blocks": blocks, "commands": parts, "seconds": round(self.seconds, 1),
            "cores": os.cpu_count(), "load_before": self.load,
        }  # fmt: skip

    def table(self) -> str:
        """Two tables: the pages, and every block."""
        pages = [
            f"| {run.name} | {run.blocks} | {len(run.ran)} | {run.seconds:.1f} "
            f"| {'FAILED' if run.failure else 'passed'} |"
            for run in self.runs
        ]
        blocks = [
            f"| {run.name}:{part.line} | {part.kind}{'' if part.shown else ', not shown'} "
            f"| {part.seconds:.1f} | {_cell(part.beginning[:100])} |"
            for run in self.runs
            for part in run.ran
        ]
        head = ["| page | blocks | commands and programs | seconds | |", "|---|---:|---:|---:|---|"]
        other = ["| where | kind | seconds | begins with |", "|---|---|---:|---|"]
        return "\n".join([self.sentence, "", *head, *pages, "", *other, *blocks])

    def _counts(self) -> Iterable[tuple[int, int]]:
        return [(0, 0), *((run.blocks, len(run.ran)) for run in self.runs)]


def _cell(text: str) -> str:
    """A line of code for a cell of a table."""
    return f"<code>{text.replace('&', '&amp;').replace('<', '&lt;').replace('|', '&#124;')}</code>"
