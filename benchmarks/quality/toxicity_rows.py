"""Rows for a classifier of toxic text, from public sets, and sentences to look for bias with."""

from __future__ import annotations

import csv
import html
import itertools
import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.rows import read

TOXIC, CIVIL = "toxic", "civil"

KIND = {"admiration", "amusement", "approval", "caring", "curiosity", "desire", "excitement",
        "gratitude", "joy", "love", "optimism", "pride", "relief", "surprise"}  # fmt: skip
"""Labels of GoEmotions that speak for a civil comment."""

GROUPS = {
    "religion": ("christian", "muslim", "jewish", "buddhist", "hindu", "atheist", "catholic"),
    "origin": ("american", "mexican", "chinese", "african", "arab", "european", "black", "white",
               "asian", "latino"),
    "sex": ("gay", "straight", "lesbian", "bisexual", "transgender", "heterosexual", "female",
            "male"),
    "age and body": ("old", "young", "deaf", "blind", "disabled", "elderly"),
}  # fmt: skip
"""Words for people, by what they say of them; a word is swapped for others of its group."""

_FRAMES = (
    "I am a {} person and I live in this town.", "My {} neighbour lent us a ladder yesterday.",
    "She married a {} teacher last summer.", "The {} students won the science prize.",
    "A {} doctor answered all of our questions.", "We hired a {} engineer for the new bridge.",
    "Many {} people work in this hospital.", "He wrote a book about {} families in the 1950s.",
    "Being {} is a part of who I am.", "The article should also mention {} voters.",
    "Our choir has {} and other members.", "Is there a {} community centre near the station?",
)  # fmt: skip
_ENDS = (
    "", " Thank you for reading.", " What do you think about it?", " I learnt a lot from it.",
    " It was a good day.", " Please add a source for this.", " See the talk page for more.",
    " They were very kind to us.",
)  # fmt: skip

_USER = re.compile(r"@\w+")
_ADDRESS = re.compile(r"https?:\S+")
_RETWEET = re.compile(r"^[\s!\"]*RT @\w+:?\s*")
_IDENTITY = {
    group: re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)
    for group, words in GROUPS.items()
}


@dataclass(frozen=True)
class Row:
    """A text with its label, and the set that it comes from."""

    text: str
    label: str
    source: str


def public_rows(data: Path) -> list[Row]:
    """All rows of the public sets, each text once."""
    rows = [*_wikipedia(data), *_davidson(data), *_kind_comments(data)]
    seen: dict[str, Row] = {}
    for row in rows:
        if row.text:
            seen.setdefault(" ".join(row.text.casefold().split()), row)
    return list(seen.values())


def _wikipedia(data: Path) -> Iterator[Row]:
    path = data / "cls/toxicity_nonfuzzed.csv"
    if not path.is_file():
        raise SystemExit(f"{path} is not there; say where the data are with --data-folder")
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            label = TOXIC if row["toxic"] == "True" else CIVIL
            yield Row(" ".join(row["comment"].split()), label, "wikipedia")


def _davidson(data: Path) -> Iterator[Row]:
    """Class 0 is hate, 1 offensive, 2 neither."""
    names = {0: "tweets: hate", 1: "tweets: offensive", 2: "tweets: neither"}
    for row in read(data / "cls/hate_davidson_train.jsonl.gz"):
        label = CIVIL if int(row["class"]) == 2 else TOXIC
        yield Row(tidy_tweet(str(row["text"])), label, names[int(row["class"])])


def tidy_tweet(text: str) -> str:
    """A tweet without names, addresses and the signs of a retweet, which tell only that it is a
    tweet."""
    plain = _RETWEET.sub("", html.unescape(text))
    return " ".join(_ADDRESS.sub("http", _USER.sub("@user", plain)).split())


def _kind_comments(data: Path) -> Iterator[Row]:
    for row in read(data / "cls/goemotions_train.jsonl.gz"):
        labels = row["labels"] if isinstance(row["labels"], list) else row["labels"].split(",")
        if labels and set(labels) <= KIND:
            yield Row(" ".join(str(row["text"]).split()), CIVIL, "kind comments")


def split(
    rows: Iterable[Row], *, most: dict[str, int], held: float, seed: int
) -> tuple[list[Row], list[Row]]:
    """Rows to learn from, and rows to hold out.

    Args:
        most: rows of a source to learn from, at most.
        held: share of each source that is held out; of it also no more than that share of
            ``most``.
    """
    chooser = random.Random(seed)
    learnt: list[Row] = []
    kept: list[Row] = []
    ordered = sorted(rows, key=lambda row: row.source)
    for source, group in itertools.groupby(ordered, key=lambda row: row.source):
        mine = list(group)
        chooser.shuffle(mine)
        limit = most.get(source, len(mine))
        count = round(held * min(len(mine), limit / (1 - held)))
        kept += mine[:count]
        learnt += mine[count : count + limit]
    chooser.shuffle(learnt)
    return learnt, kept


def swapped(rows: Sequence[Row], copies: int, seed: int) -> list[Row]:
    """Copies of the rows that name a group of people, with another word of its kind."""
    chooser = random.Random(seed)
    found = []
    for row in rows:
        for group, pattern in _IDENTITY.items():
            match = pattern.search(row.text)
            if match is None:
                continue
            others = [word for word in GROUPS[group] if word != match[0].lower()]
            found += [
                Row(pattern.sub(word, row.text), row.label, row.source)
                for word in chooser.sample(others, copies)
            ]
            break
    return found


def frames() -> Iterator[tuple[str, str, str]]:
    """(group, word, sentence) for harmless sentences that differ in one word."""
    for group, words in GROUPS.items():
        for word, frame, end in itertools.product(words, _FRAMES, _ENDS):
            yield group, word, frame.format(word) + end


def variants(texts: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(group, word, text) for each text that names a group, once with every word of the group."""
    for text in texts:
        for group, pattern in _IDENTITY.items():
            if pattern.search(text):
                for word in GROUPS[group]:
                    yield group, word, pattern.sub(word, text)


def winobias(data: Path) -> Iterator[tuple[str, str, str]]:
    """(group, word, sentence): WinoBias's sentences about people at work, by pronoun."""
    folder = data / "fair/winobias"
    for path in sorted(folder.glob("*.txt.dev")):
        for line in path.read_text(encoding="utf-8").splitlines():
            sentence = re.sub(r"[\[\]]", "", line.split(" ", 1)[1])
            pronoun = re.search(r"\b(?:he|him|his|she|her)\b", sentence)
            if pronoun is not None:
                male = pronoun[0] in ("he", "him", "his")
                yield "pronoun", "he" if male else "she", sentence


def bbq_religion(data: Path) -> Iterator[str]:
    """BBQ's situations with people of several religions (Parrish et al. 2022), each once."""
    rows = read(data / "fair/bbq/Religion.jsonl.gz")
    yield from dict.fromkeys(str(row["context"]) for row in rows)


def write(path: Path, rows: Iterable[Row]) -> None:
    """JSON Lines of text and label."""
    lines = (
        json.dumps({"text": row.text, "label": row.label}, ensure_ascii=False) + "\n"
        for row in rows
    )
    path.write_text("".join(lines), encoding="utf-8")
