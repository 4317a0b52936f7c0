"""Small stand-ins for reading and cleaning, which misbehave where the text asks them to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyforge.corpus.reading import Unit
from tinyforge.corpus.stages.reading_job import Tools
from tinyforge.records.documents import Document, Dropped


@dataclass(frozen=True)
class FakeSignatures:
    exact: NDArray[np.uint64]


@dataclass(frozen=True)
class FakeCleaned:
    result: Document | Dropped
    changes: dict[str, int] = field(default_factory=dict)


class FakeCleaner:
    """Drops what says spam, and shouts down what says loud."""

    def clean(self, document: Document) -> FakeCleaned:
        text = document.text
        if "KILL THE CLEANER" in text:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "RAISE IN CLEANER" in text:
            raise ValueError("odd text")
        if "spam" in text:
            dropped = Dropped(document.id, document.source, "clean", "spam", "", text, len(text))
            return FakeCleaned(dropped)
        if "LOUD" in text:
            return FakeCleaned(replace(document, text=text.replace("LOUD", "loud")), {"calmed": 1})
        return FakeCleaned(document)


def fake_read(unit: Unit) -> Iterator[Document | Dropped]:
    """Each line of a file is a document."""
    lines = Path(unit.path).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        name = f"{unit.name}:{number}"
        if line == "KILL THE READER":
            os.kill(os.getpid(), signal.SIGKILL)
        elif line == "HANG":
            time.sleep(600)
        elif line == "RAISE":
            raise ValueError("a parser's bug")
        elif line == "MEMORY":
            raise MemoryError
        elif line == "UNREADABLE":
            yield Dropped(name, unit.source, "read", "unreadable")
        else:
            yield Document(name, line, unit.source, "en", {"line": number})


def fake_sign(texts: Sequence[str]) -> FakeSignatures:
    return FakeSignatures(np.array([len(text) for text in texts], dtype=np.uint64))


def make_tools(work: Path, seed: int = 0) -> Tools:
    """Tools that use the stand-ins."""
    return Tools(fake_read, FakeCleaner, fake_sign, work, seed=seed)


def unit_of(path: Path, source: str = "texts") -> Unit:
    state = path.stat()
    return Unit(
        source, str(path), "text", state.st_size, f"{state.st_size}", f"{source}/{path.name}"
    )
