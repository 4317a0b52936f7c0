"""How many planted copies of test rows are found among the training rows, by how they were changed.

A data set is halved; test rows are copied into the training half as they are, with other case and
punctuation, or with some words replaced by other words of the data. What is found without any
planting is counted too: real data holds near-duplicates of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.label_noise import SETS
from benchmarks.speed.harness import say
from benchmarks.speed.rows import read
from tinyforge.evaluate.findings.leaks import nearest_in, plain_text
from tinyforge.records.examples import Example
from tinyforge.records.rows import Source

PLANTED = 200


def main() -> None:
    """Plant, look, and print what was found."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--data-folder", type=Path, default=Path("../shared/data"))
    flags.add_argument("--sets", nargs="+", default=["banking77", "sms_spam", "agnews"])
    flags.add_argument("--seeds", type=int, default=3)
    flags.add_argument("--threshold", type=float, default=0.7)
    chosen = flags.parse_args()
    found = [figures(name, chosen) for name in chosen.sets]
    if chosen.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for each in found:
        say(f"{each['set']}: {each['rows']:,} rows, {each['words']:.0f} words each")
        for name, value in each["figures"].items():
            say(f"  {name:28} {statistics.mean(value):.3f}   {min(value):.3f} to {max(value):.3f}")


def figures(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """All figures of one data set, one value a seed."""
    path, text, label = SETS[name]
    rows = [
        Example(str(row[text]), str(row[label]), source=Source(name, line))
        for line, row in enumerate(read(chosen.data_folder / path), 1)
    ]
    unique = list({plain_text(row): row for row in rows}.values())
    words = statistics.mean(len(row.input.split()) for row in unique)
    seen: dict[str, list[float]] = {}
    for seed in range(chosen.seeds):
        for key, value in _once(unique, chosen.threshold, seed).items():
            seen.setdefault(key, []).append(value)
    return {"set": name, "rows": len(unique), "words": words, "figures": seen}


def _once(rows: list[Example], threshold: float, seed: int) -> dict[str, float]:
    chooser = random.Random(seed)
    order = rows[:]
    chooser.shuffle(order)
    test, train = order[: len(order) // 2], order[len(order) // 2 :]
    vocabulary = [word for row in train[:2_000] for word in row.input.split()]
    changes: dict[str, Callable[[str], str]] = {
        "as it is": lambda text: text,
        "other case and punctuation": lambda text: f"«{text.upper().replace(' ', ', ')}»!",
        "one word in twenty": lambda text: _replaced(text, 0.05, vocabulary, chooser),
        "one word in ten": lambda text: _replaced(text, 0.1, vocabulary, chooser),
        "one word in five": lambda text: _replaced(text, 0.2, vocabulary, chooser),
    }
    started = time.monotonic()
    before = _found(test, train, threshold)
    found = {"seconds": time.monotonic() - started, "without planting": float(before.mean())}
    for name, change in changes.items():
        picked = [i for i in chooser.sample(range(len(test)), len(test)) if not before[i]][:PLANTED]
        copies = [Example(change(test[i].input), source=Source("planted", i)) for i in picked]
        after = _found([test[i] for i in picked], [*train, *copies], threshold)
        found[f"found: {name}"] = float(after.mean())
    return found


def _found(test: list[Example], train: list[Example], threshold: float) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        like, _ = nearest_in(test, train, threshold, Path(folder))
    return np.asarray(like) >= 0


def _replaced(text: str, share: float, vocabulary: list[str], chooser: random.Random) -> str:
    """That share of the words replaced by others, one at least."""
    words = text.split()
    for place in chooser.sample(range(len(words)), max(1, round(share * len(words)))):
        words[place] = chooser.choice(vocabulary)
    return " ".join(words)


if __name__ == "__main__":
    main()
