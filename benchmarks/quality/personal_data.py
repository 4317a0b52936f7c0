"""How much of the personal data in Presidio's public set of invented sentences is found, by kind.

Strict: the same characters and kind. Overlap: a common character and the same kind. Precision is
counted per kind of ours; what the set has no spans for (a password, an IPv6 address it did not
mark) counts as wrong. Kinds that rules cannot find (places, organisations, dates, titles) are
listed with how often they occur. With ``--names MODEL`` names are looked for by Presidio and a
spaCy model, where both are installed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.harness import say
from tinyforge.safety.personal_data import Span, find, find_names

OURS = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "US_SSN": "national_id",
    "PERSON": "name",
}
SHOWN = 10


def main() -> None:
    """Find, compare, and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--data-folder", type=Path, default=Path("../shared/data"))
    flags.add_argument("--names", help="spaCy model for names of people")
    flags.add_argument("--show", help="kind whose misses and wrong spans are shown")
    chosen = flags.parse_args()
    path = chosen.data_folder / "dirty" / "presidio_synth_1500.json.gz"
    rows = json.loads(gzip.decompress(path.read_bytes()))
    result = figures(rows, chosen.names, chosen.show)
    if chosen.json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    say(f"{len(rows):,} sentences, {result['characters']:,} characters, {result['seconds']:.2f} s")
    say("kind          gold  strict: recall precision   overlap: recall precision")
    for kind, f in result["kinds"].items():
        say(
            f"{kind:12} {f['gold']:5}          {f['strict_recall']:.3f}     "
            f"{f['strict_precision']:.3f}            {f['overlap_recall']:.3f}     "
            f"{f['overlap_precision']:.3f}"
        )
    others = ", ".join(f"{kind} {count}" for kind, count in result["not_looked_for"].items())
    say(f"not looked for: {others}")


def figures(rows: Sequence[dict[str, Any]], model: str | None, show: str | None) -> dict[str, Any]:
    """All figures; ``show`` names a kind whose mistakes are printed."""
    counts: dict[str, Counter[str]] = {}
    others: Counter[str] = Counter()
    shown = 0
    seconds = 0.0
    for row in rows:
        text = row["full_text"]
        started = time.perf_counter()
        spans = find(text) + (find_names(text, model) if model else [])
        seconds += time.perf_counter() - started
        gold = []
        for span in row["spans"]:
            kind = OURS.get(span["entity_type"])
            if kind is None or (kind == "name" and not model):
                others[span["entity_type"]] += 1
            else:
                gold.append(
                    Span(span["start_position"], span["end_position"], kind, span["entity_value"])
                )
        mistakes = _count(gold, spans, counts, show)
        for mistake in mistakes[: SHOWN - shown]:
            say(f"  {mistake}: {text[:300]!r}")
        shown += len(mistakes)
    return {
        "kinds": {kind: _shares(counts[kind]) for kind in sorted(counts)},
        "not_looked_for": dict(others.most_common()),
        "seconds": seconds,
        "characters": sum(len(row["full_text"]) for row in rows),
    }


def _count(
    gold: list[Span], spans: list[Span], counts: dict[str, Counter[str]], show: str | None
) -> list[str]:
    mistakes = []
    for mine, theirs, side in ((gold, spans, "recall"), (spans, gold, "precision")):
        for one in mine:
            same = [other for other in theirs if other.kind == one.kind]
            count = counts.setdefault(one.kind, Counter())
            count[f"{side} all"] += 1
            strict = any((o.start, o.end) == (one.start, one.end) for o in same)
            overlap = any(o.start < one.end and one.start < o.end for o in same)
            count[f"{side} strict"] += strict
            count[f"{side} overlap"] += overlap
            if one.kind == show and not strict:
                word = "missed" if side == "recall" else "wrong"
                mistakes.append(f"{word} {one.text!r}")
    return mistakes


def _shares(count: Counter[str]) -> dict[str, Any]:
    shares: dict[str, Any] = {"gold": count["recall all"], "found": count["precision all"]}
    for how in ("strict", "overlap"):
        for side in ("recall", "precision"):
            shares[f"{how}_{side}"] = count[f"{side} {how}"] / max(1, count[f"{side} all"])
    return shares


if __name__ == "__main__":
    main()
