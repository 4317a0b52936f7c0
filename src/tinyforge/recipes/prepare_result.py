"""What preparing a corpus came to, and what happened to one document of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyforge.artifacts.words import count_text, seconds_text
from tinyforge.corpus.ledger import Entry, look_up


@dataclass(frozen=True, slots=True)
class Step:
    """How far the work is.

    Attributes:
        stage: what is done: ``read``, ``duplicates``, ``repeats``, ``write`` or ``account``.
        done, total: in bytes (``read``) or documents.
        documents: documents so far, where ``done`` does not count them.
    """

    stage: str
    done: int
    total: int
    documents: int | None = None


Tell = Callable[[Step], None]


@dataclass(frozen=True)
class Preparation:
    """A prepared corpus.

    Attributes:
        output_dir: where it lies.
        report: as in ``tinyforge/report.json``.
        seconds: stage to how long it took here; what an earlier process did is not in it.
        peak_memory: bytes that this process and all its workers took at most, together.
    """

    output_dir: Path
    report: dict[str, Any] = field(repr=False)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0

    def result(self) -> dict[str, Any]:
        """One flat object for a program; what ``tinyforge prepare --json`` prints."""
        total = sum(self.seconds.values())
        return {
            "output_dir": str(self.output_dir),
            "documents": self.report["documents"],
            "parts": self.report["parts"],
            "steps": self.report["steps"],
            "dropped": [
                {key: found[key] for key in ("step", "reason", "documents", "characters")}
                for found in self.report["reasons"]
            ],
            "seconds": round(total, 3),
            "stages": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory": self.peak_memory,
        }

    def summary(self) -> str:
        """A few lines for a person."""
        steps, documents = self.report["steps"], self.report["documents"]
        lines = [
            f"{documents['kept']:,} of {documents['read']:,} documents are kept, "
            f"{count_text(steps[-1]['characters'])} of {count_text(steps[0]['characters'])} "
            "characters"
        ]
        width = max(len(step["title"]) for step in steps)
        lines += [
            f"  {step['title']:<{width}}  {step['documents']:>10,} documents"
            f"  {step['characters']:>15,} characters"
            for step in steps
        ]
        held = self.report["parts"]
        lines.append("Parts: " + ", ".join(f"{p} {c['documents']:,}" for p, c in held.items()))
        for found in self.report["reasons"][:8]:
            lines.append(f"  dropped {found['documents']:,}: {found['step']}, {found['reason']}")
        if self.seconds:
            spent = ", ".join(f"{k} {seconds_text(v)}" for k, v in self.seconds.items() if v > 0.05)
            lines.append(f"Time: {seconds_text(sum(self.seconds.values()))} ({spent})")
        lines.append(f"Report: {self.output_dir / 'tinyforge' / 'report.html'}")
        return "\n".join(lines)


def explain(folder: Path, name: str) -> list[Entry]:
    """What happened to a document, by its id, and to the one that is kept in its place.

    Raises:
        FolderError: the folder is no finished corpus.
        DataError: no document of that id was read.
    """
    found = look_up(folder, name)
    for entry in list(found):
        seen = {e.id for e in found}
        while entry.duplicate_of and entry.duplicate_of not in seen:
            entry = look_up(folder, entry.duplicate_of)[0]
            seen.add(entry.id)
            found.append(entry)
    return found
