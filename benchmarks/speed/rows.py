"""The rows that both sides learn from: real text, each row once, none of them held out too."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyforge.recipes.sentences import PREFIX, sentences

Row = dict[str, str]
FEWEST, MOST = 4, 16
"""Words of a row whose order is to be reversed."""

CLASSIFICATION = {
    # Name to file below the shared data, its text's column and its label's.
    "banking77": ("cls/banking77_train.jsonl.gz", "text", "category"),
    "sms_spam": ("cls/sms_spam_train.jsonl.gz", "text", "label"),
}


def reversal(count: int, seed: int) -> list[Row]:
    """Stretches of 4 to 16 words of the Python documentation, to be written backwards."""
    chooser = random.Random(seed)
    found = [text.split() for text in sentences()]
    whole = [words for words in found if len(words) >= FEWEST]
    rows: dict[str, Row] = {}
    while len(rows) < count:
        words = chooser.choice(whole)
        length = chooser.randint(FEWEST, min(MOST, len(words)))
        start = chooser.randint(0, len(words) - length)
        part = words[start : start + length]
        rows[" ".join(part)] = {
            "input": PREFIX + " ".join(part),
            "output": " ".join(reversed(part)),
        }
    return list(rows.values())


def alpaca(data: Path) -> list[Row]:
    """Instructions with their answers."""
    return [
        {
            "input": "\n\n".join(filter(None, [row["instruction"].strip(), row["input"].strip()])),
            "output": row["output"].strip(),
        }
        for row in read(data / "inst/alpaca_5000.jsonl.gz")
        if row["output"].strip()
    ]


def classification(data: Path, name: str) -> list[Row]:
    """Texts with their labels."""
    path, text, label = CLASSIFICATION[name]
    return [{"text": row[text].strip(), "label": str(row[label])} for row in read(data / path)]


def read(path: Path) -> Iterable[Mapping[str, Any]]:
    """The rows of a compressed JSON Lines file."""
    if not path.is_file():
        raise SystemExit(f"{path} is not there; say where the data are with --data-folder")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from (json.loads(line) for line in file)


def without_repeats(rows: Iterable[Row], key: str) -> list[Row]:
    """The first of all rows whose text is equal but for case and spaces."""
    seen: dict[str, Row] = {}
    for row in rows:
        seen.setdefault(" ".join(row[key].casefold().split()), row)
    return list(seen.values())


def shuffled(rows: Sequence[Row], seed: int) -> list[Row]:
    """The rows in another order."""
    order = list(rows)
    random.Random(seed).shuffle(order)
    return order


def of_two_labels(rows: Sequence[Row]) -> list[Row]:
    """The rows of the two most frequent labels, or of those with equal counts that come first."""
    frequent = [label for label, _ in Counter(row["label"] for row in rows).most_common(2)]
    return [row for row in rows if row["label"] in frequent]


def few_of_each(rows: Sequence[Row], shots: int) -> list[Row]:
    """The first ``shots`` rows of each label."""
    taken: dict[str, int] = {}
    kept = []
    for row in rows:
        taken[row["label"]] = taken.get(row["label"], 0) + 1
        if taken[row["label"]] <= shots:
            kept.append(row)
    return kept


def take(
    rows: Sequence[Row], count: int, held_out: int, fits: Callable[[Row], bool], *, shots: int = 0
) -> tuple[list[Row], list[Row]]:
    """``held_out`` rows to measure the end loss on, then ``count`` rows to learn from.

    Args:
        fits: whether a row is short enough, so that no side has to cut it.
        shots: so many rows of each label to learn from, instead of ``count`` rows.
    """
    fitting = [row for row in rows if fits(row)]
    if shots:
        few = few_of_each(fitting[held_out:], shots)
        fitting, count = [*fitting[:held_out], *few], len(few)
    if len(fitting) < held_out + count:
        raise SystemExit(f"{len(fitting)} rows are too few for {count} and {held_out} held out")
    return fitting[held_out : held_out + count], fitting[:held_out]


def write(path: Path, rows: Iterable[Row]) -> None:
    """JSON Lines."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
