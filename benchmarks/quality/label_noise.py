"""How many planted wrong labels are found, and how many of those found were planted.

A share of the labels is replaced by another label at random (each seed other ones); the rows' own
wrong labels, which real data has too, count as false alarms here, so that the true precision is
higher. Where vectors are asked for, all-MiniLM-L6-v2 gives them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.harness import say
from benchmarks.speed.models import minilm_folder
from benchmarks.speed.rows import read
from tinyforge.evaluate.findings.label_errors import MARGIN, find_label_errors
from tinyforge.recipes.label_errors import clusters_of
from tinyforge.records.examples import Example
from tinyforge.records.rows import Source

SETS = {
    "banking77": ("cls/banking77_train.jsonl.gz", "text", "category"),
    "trec": ("cls/trec_train.jsonl.gz", "text", "coarse"),
    "sst2": ("cls/sst2_train.jsonl.gz", "text", "label"),
    "sms_spam": ("cls/sms_spam_train.jsonl.gz", "text", "label"),
    "clinc150": ("cls/clinc150_train.jsonl.gz", "text", "intent"),
    "agnews": ("cls/agnews7600_train.jsonl.gz", "text", "label"),
}


def main() -> None:
    """Plant, look, and print what was found."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--data-folder", type=Path, default=Path("../shared/data"))
    flags.add_argument("--sets", nargs="+", default=["banking77", "trec", "sst2"], choices=SETS)
    flags.add_argument("--share", type=float, default=0.05, help="of the labels (0.05)")
    flags.add_argument("--seeds", type=int, default=3)
    flags.add_argument("--vectors", action="store_true", help="with MiniLM's sentence vectors")
    flags.add_argument("--margins", type=float, nargs="+", default=[MARGIN], help="cuts")
    chosen = flags.parse_args()
    found = []
    for name in chosen.sets:
        each = figures(name, chosen)
        found.append(each)
        say(f"{each['set']}: {each['rows']:,} rows, {each['labels']} labels")
        for name, value in each["figures"].items():
            spread = f"{min(value):.3f} to {max(value):.3f}"
            say(f"  {name:34} {statistics.mean(value):.3f}   {spread}")
    if chosen.json:
        sys.stdout.write(json.dumps(found) + "\n")


def figures(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """All figures of one data set, one value a seed."""
    path, text, label = SETS[name]
    rows = read(chosen.data_folder / path)
    examples = [
        Example(str(row[text]), str(row[label]), source=Source(name, line))
        for line, row in enumerate(rows, 1)
    ]
    vectors = _vectors([example.input for example in examples]) if chosen.vectors else None
    seen: dict[str, list[float]] = {}
    for seed in range(chosen.seeds):
        for key, value in _once(examples, vectors, chosen, seed).items():
            seen.setdefault(key, []).append(value)
    labels = len({example.output for example in examples})
    return {"set": name, "rows": len(examples), "labels": labels, "share": chosen.share,
            "seeds": chosen.seeds, "vectors": chosen.vectors, "figures": seen}  # fmt: skip


def _once(
    examples: list[Example], vectors: Any, chosen: argparse.Namespace, seed: int
) -> dict[str, float]:
    random = np.random.default_rng(seed)
    names = sorted({example.output or "" for example in examples})
    wrong = random.random(len(examples)) < chosen.share
    noisy = [
        dataclasses.replace(e, output=random.choice([n for n in names if n != e.output]))
        if bad
        else e
        for e, bad in zip(examples, wrong, strict=True)
    ]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        clusters = clusters_of(noisy, 0.7, Path(folder))
    # A higher cut keeps the first of the suspects and no others.
    result = find_label_errors(
        noisy, clusters=clusters, vectors=vectors, margin=min(chosen.margins), seed=seed
    )
    order = np.array([suspect.row for suspect in result.suspects], dtype=np.int64)
    scores = np.array([suspect.score for suspect in result.suspects])
    figures: dict[str, float] = {}
    for margin in chosen.margins:
        kept = order[scores > margin]
        figures |= {f"{key} (cut {margin:g})": v for key, v in _score(kept, wrong).items()}
    figures["seconds"] = time.monotonic() - started
    figures["agreement"] = result.agreement
    return figures


def _score(order: NDArray[np.int64], wrong: NDArray[np.bool_]) -> dict[str, float]:
    planted = int(wrong.sum())
    right = wrong[order]
    tops = {"half": planted // 2, "all": planted}
    found = {
        "base rate": float(wrong.mean()),
        "precision": float(right.mean()) if len(order) else 0.0,
        "recall": float(right.sum() / planted),
        "suspects": float(len(order)),
    }
    for name, k in tops.items():
        found[f"precision at {name} planted"] = float(right[:k].mean()) if len(order) else 0.0
    found["precision at 100"] = float(right[:100].mean()) if len(order) else 0.0
    return found


def _vectors(texts: list[str]) -> Any:
    from tinyforge.inference.vectors import sentence_vectors

    return sentence_vectors(minilm_folder(), texts)


if __name__ == "__main__":
    main()
