"""Real documents with edited copies planted among them, and the texts of both in a flat file.

Documents are stretches of novels and of Python's enhancement proposals, cut at lines. A tenth
of them get a copy in which 5 % of the words (or of the characters) are replaced, left out, or
joined by another. As a program, it writes ``texts.bin``, ``offsets.npy`` and ``planted.npy`` (pairs
of numbers) for one size.
"""

from __future__ import annotations

import random
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.speed.harness import read_spec

ARCHIVES = ("raw/english_novels.tar.xz", "raw/peps.tar.xz")
DOCUMENT = 1_500
"""Characters of a document, at least; it ends with the line in which it reaches them."""

PLANTED = 0.1
EDITED = 0.05
WORD = re.compile(r"(\S+)")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def texts(data: Path) -> Iterator[str]:
    """The texts of the archives, in order of their names."""
    for name in ARCHIVES:
        path = data / name
        if not path.is_file():
            raise SystemExit(f"{path} is not there; say where the data are with --data-folder")
        with tarfile.open(path) as archive:
            members = sorted((m for m in archive if m.isfile()), key=lambda member: member.name)
            for member in members:
                file = archive.extractfile(member)
                if file is not None:
                    yield file.read().decode("utf-8-sig", "replace").replace("\r\n", "\n")


def documents(data: Path) -> Iterator[str]:
    """Stretches of the texts."""
    for text in texts(data):
        waiting: list[str] = []
        size = 0
        for line in text.split("\n"):
            waiting.append(line)
            size += len(line)
            if size >= DOCUMENT:
                yield "\n".join(waiting)
                waiting, size = [], 0


def edited_words(text: str, chooser: random.Random, words: list[str]) -> str:
    """A text with 5 % of its words replaced, left out or followed by another."""
    found = WORD.split(text)  # white space at the even places, words at the odd ones
    count = len(found) // 2
    for place in chooser.sample(range(count), max(1, round(EDITED * count))):
        other = chooser.choice(words)
        found[2 * place + 1] = chooser.choice((other, "", f"{found[2 * place + 1]} {other}"))
    return "".join(found)


def edited_characters(text: str, chooser: random.Random, words: list[str]) -> str:
    """A text with 5 % of its characters replaced."""
    found = list(text)
    for place in chooser.sample(range(len(found)), max(1, round(EDITED * len(found)))):
        found[place] = chooser.choice(LETTERS)
    return "".join(found)


EDITS: dict[str, Callable[[str, random.Random, list[str]], str]] = {
    "words": edited_words,
    "characters": edited_characters,
}


def plant(originals: list[str], edit: str, seed: int) -> tuple[list[str], list[tuple[int, int]]]:
    """Documents and copies in random order, and the numbers of each planted pair."""
    chooser = random.Random(seed)
    words = [word for text in originals[:200] for word in text.split()]
    chosen = chooser.sample(range(len(originals)), round(PLANTED * len(originals)))
    copies = [EDITS[edit](originals[number], chooser, words) for number in chosen]
    order = list(range(len(originals) + len(copies)))
    chooser.shuffle(order)
    place = {number: at for at, number in enumerate(order)}
    together = [*originals, *copies]
    pairs = [(place[number], place[len(originals) + copy]) for copy, number in enumerate(chosen)]
    return [together[number] for number in order], sorted((min(p), max(p)) for p in pairs)


def main() -> None:
    """Write the files of one size."""
    spec = read_spec()
    folder = Path(spec["folder"])
    found = list(documents(Path(spec["data"])))
    random.Random(spec["seed"]).shuffle(found)  # one more of a size holds all those of a smaller
    if len(found) < spec["documents"]:
        raise SystemExit(f"there are {len(found):,} documents, not {spec['documents']:,}")
    mixed, pairs = plant(found[: spec["documents"]], spec["edit"], spec["seed"])
    encoded = [text.encode() for text in mixed]
    (folder / "texts.bin").write_bytes(b"".join(encoded))
    np.save(folder / "offsets.npy", np.cumsum([0, *map(len, encoded)]))
    np.save(folder / "planted.npy", np.array(pairs, dtype=np.int64))


if __name__ == "__main__":
    main()
