"""Real sentences that are on every machine: the documentation inside the Python installation.

They make the classic exercise of the quickstart: put the words of a sentence in reverse order.
"""

from __future__ import annotations

import ast
import os
import random
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

PREFIX = "reverse: "
FEWEST_WORDS, MOST_WORDS = 3, 16

_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_NOT_PROSE = re.compile(r">>>|::=|[|=<>{}\\]|---|\*\*\*|^\s*\+")
_SKIPPED = {
    "__pycache__", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data",
    "site-packages", "test", "tests", "turtledemo",
}  # fmt: skip
_ALIKE = 0.6

# How training rows are made: whole sentences, parts of sentences, sentences with some words
# replaced, words in random order. A model that saw whole sentences only would learn which words
# follow each other, and not the exercise.
_KINDS = {"sentence": 0.25, "part": 0.4, "replaced": 0.2, "shuffled": 0.05, "words": 0.1}


def documentation() -> Iterator[str]:
    """The language reference's topics, then every docstring of the standard library."""
    from pydoc_data.topics import topics

    yield from (topics[name] for name in sorted(topics))
    root = Path(os.__file__).parent
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(n for n in folders if n not in _SKIPPED and not n.startswith("config-"))
        for name in sorted(files):
            if name.endswith(".py"):
                yield from _docstrings(Path(folder) / name)


def _docstrings(path: Path) -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield text


def sentences() -> list[str]:
    """Sentences of 3 to 16 plain words, in lower case without punctuation, each once."""
    found: dict[str, None] = {}
    for text in documentation():
        for paragraph in re.split(r"\n[ \t]*\n", text):
            if not _NOT_PROSE.search(paragraph):
                found.update(dict.fromkeys(_sentences_of(paragraph)))
    return sorted(found)


def _sentences_of(paragraph: str) -> Iterator[str]:
    text = re.sub(r"\s\([^()]*\)", "", " ".join(paragraph.split()))
    text = re.sub(r"\b(e\.g|i\.e|etc)\.", r"\1", text)
    for sentence in re.split(r"(?<=[.!?:;])\s", text):
        whole = re.match(r"\W*[A-Z]", sentence) and sentence.rstrip("\"')").endswith(tuple(".!?:;"))
        words = [word.strip(".,;:!?\"'()[]*`-").lower() for word in sentence.split()]
        few_letters = sum(len(word) == 1 for word in words)
        plain = few_letters <= 2 and all(_WORD.fullmatch(word) for word in words)
        if whole and plain and FEWEST_WORDS <= len(words) <= MOST_WORDS:
            yield " ".join(words)


def split(found: Sequence[str], held_out: int, seed: int) -> tuple[list[str], list[str]]:
    """Sentences to learn from, and unseen ones to be judged on.

    No sentence of one side equals one of the other, contains it, or shares 60 % of its words.
    """
    order = list(found)
    random.Random(seed).shuffle(order)
    held = order[:held_out]
    words = {sentence: frozenset(sentence.split()) for sentence in order}
    having: dict[str, list[str]] = defaultdict(list)
    for sentence in held:
        for word in words[sentence]:
            having[word].append(sentence)
    learnt = [
        sentence
        for sentence in order[held_out:]
        if not any(
            _alike(sentence, other, words)
            for other in {one for word in words[sentence] for one in having[word]}
        )
    ]
    unseen: list[str] = []
    for sentence in held:
        if not any(_alike(sentence, other, words) for other in unseen):
            unseen.append(sentence)
    return learnt, unseen


def _alike(one: str, other: str, words: dict[str, frozenset[str]]) -> bool:
    if f" {one} " in f" {other} " or f" {other} " in f" {one} ":
        return True
    shared = len(words[one] & words[other])
    return shared >= _ALIKE * (len(words[one]) + len(words[other]) - shared)


def exercise(sentence: str) -> dict[str, str]:
    """The row that asks for a sentence's words in reverse order."""
    return {"input": PREFIX + sentence, "output": " ".join(reversed(sentence.split()))}


def training_sentences(
    learnt: Sequence[str], unseen: Sequence[str], count: int, seed: int
) -> Iterator[str]:
    """``count`` sentences to practise on, most of them varied; none is one of ``unseen``."""
    rng = random.Random(seed)
    vocabulary = sorted({word for sentence in learnt for word in sentence.split()})
    forbidden = set(unseen)
    whole: list[str] = []
    made = 0
    while made < count:
        kind = rng.choices(list(_KINDS), list(_KINDS.values()))[0]
        if kind == "sentence":
            whole = whole or rng.sample(list(learnt), len(learnt))
            words = whole.pop().split()
        else:
            words = _varied(kind, rng.choice(learnt).split(), vocabulary, rng)
        text = " ".join(words)
        if text not in forbidden:
            made += 1
            yield text


def _varied(kind: str, words: list[str], vocabulary: list[str], rng: random.Random) -> list[str]:
    if kind == "part" and len(words) > FEWEST_WORDS:
        length = rng.randint(FEWEST_WORDS, len(words) - 1)
        start = rng.randint(0, len(words) - length)
        return words[start : start + length]
    if kind == "replaced":
        return [_any_word(vocabulary, rng, 0.5) if rng.random() < 0.2 else w for w in words]
    if kind == "words":
        length = rng.randint(FEWEST_WORDS, MOST_WORDS)
        return [_any_word(vocabulary, rng, 0.15) for _ in range(length)]
    rng.shuffle(words)
    return words


def _any_word(vocabulary: list[str], rng: random.Random, invented: float) -> str:
    """A random word; some are invented from two halves, so that new words hold no surprise."""
    one = rng.choice(vocabulary)
    if rng.random() >= invented:
        return one
    other = rng.choice(vocabulary)
    head = one[: rng.randint(1, max(1, len(one) - 1))]
    return (head + other[rng.randint(0, len(other) - 1) :]).strip("-'")
