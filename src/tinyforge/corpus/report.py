"""What ``report.json`` says of a prepared corpus: counts, samples of what was dropped, lengths."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from tinyforge.corpus.ledger import Entry
from tinyforge.corpus.split import PARTS
from tinyforge.corpus.stages.accounting import Account

_SAMPLES = 5
_PAIRS = 200
_BINS = 32

STEPS = (
    ("read", "read"),
    ("clean", "cleaned"),
    ("exact", "exact duplicates removed"),
    ("near", "near-duplicates removed"),
    ("repeats", "repeated passages cut"),
)
"""What the corpus goes through, and what it is afterwards."""


@dataclass
class _Amount:
    documents: int = 0
    characters: int = 0

    def add(self, characters: int) -> None:
        self.documents += 1
        self.characters += characters

    def plain(self) -> dict[str, int]:
        return {"documents": self.documents, "characters": self.characters}


@dataclass
class _Samples:
    """A few of many, chosen by their ids' hashes, so that they do not depend on the order."""

    most: int
    held: list[tuple[int, str, int, dict[str, Any]]] = field(default_factory=list)
    offered: int = 0

    def offer(self, rank: int, name: str, record: dict[str, Any]) -> None:
        self.offered += 1  # so that two of one name are never compared by what they hold
        entry = (rank, name, self.offered, record)
        if len(self.held) < self.most:
            heapq.heappush(self.held, entry)
        elif entry > self.held[0]:
            heapq.heapreplace(self.held, entry)

    def plain(self) -> list[dict[str, Any]]:
        return [entry[-1] for entry in sorted(self.held, key=lambda e: (-e[0], e[1], e[2]))]


class Tally:
    """Counts accounts as they pass. Takes no more memory for more documents."""

    def __init__(self) -> None:
        self.documents = 0
        self._found = _Amount()
        self._after: dict[str, _Amount] = {step: _Amount() for step, _ in STEPS}
        self._reasons: defaultdict[tuple[str, str], _Amount] = defaultdict(_Amount)
        self._samples: dict[tuple[str, str], _Samples] = {}
        self._changes: defaultdict[str, _Amount] = defaultdict(_Amount)
        self._languages: defaultdict[str, _Amount] = defaultdict(_Amount)
        self._sources: defaultdict[str, defaultdict[str, _Amount]] = defaultdict(
            lambda: defaultdict(_Amount)
        )
        self._between: Counter[tuple[str, str, str]] = Counter()
        self._pairs = _Samples(_PAIRS)
        self._lengths = {"read": [0] * _BINS, "kept": [0] * _BINS}

    def passing(self, accounts: Iterable[Account]) -> Iterator[Entry]:
        """Hand on all entries, and count them."""
        for account in accounts:
            self._add(account)
            yield account.entry

    def _add(self, account: Account) -> None:
        entry = account.entry
        self.documents += 1
        source = self._sources[entry.source]
        self._found.add(entry.size)
        source["found"].add(entry.size)
        left = _steps_passed(entry)
        for step, _ in STEPS[:left]:
            self._after[step].add(self._size_after(step, account))
        if entry.size:
            self._lengths["read"][_bin(entry.size)] += 1
        for name, times in orjson.loads(entry.changes).items() if entry.changes != "{}" else ():
            self._changes[name].add(int(times))
        if entry.outcome == "dropped":
            self._drop(account, source)
            return
        source[entry.outcome].add(entry.characters)
        self._languages[entry.language].add(entry.characters)
        self._lengths["kept"][_bin(entry.characters)] += 1

    def _size_after(self, step: str, account: Account) -> int:
        if step == "read":
            return account.entry.size
        return account.entry.characters if step == "repeats" else account.cleaned

    def _drop(self, account: Account, source: dict[str, _Amount]) -> None:
        entry, kept = account.entry, account.kept_source
        key = (entry.step, entry.reason)
        source[entry.step].add(entry.size)
        self._reasons[key].add(entry.size)
        rank = _hash(entry.id)
        samples = self._samples.setdefault(key, _Samples(_SAMPLES))
        samples.offer(rank, entry.id, _sample(entry))
        if entry.duplicate_of:
            self._between[entry.source, kept, entry.reason] += 1
            if kept != entry.source:
                self._pairs.offer(entry.size, entry.id, _sample(entry) | {"size": entry.size})

    def report(self, sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """All counts as plain data.

        Args:
            sources: name, files, bytes and weight of each, in the order given.
        """
        steps = [{"step": "found", "title": "found", **self._found.plain()}]
        steps += [
            {"step": step, "title": title, **self._after[step].plain()} for step, title in STEPS
        ]
        return {
            "format": 1,
            "documents": {"read": self.documents, "kept": self._after["repeats"].documents},
            "steps": steps,
            "parts": self._parts(),
            "sources": [dict(source) | self._of_source(source["name"]) for source in sources],
            "reasons": [
                {"step": key[0], "reason": key[1], **amount.plain(),
                 "samples": self._samples[key].plain()}
                for key, amount in sorted(
                    self._reasons.items(), key=lambda found: (-found[1].documents, found[0])
                )
            ],
            "changes": [
                {"change": name, "documents": amount.documents, "times": amount.characters}
                for name, amount in sorted(
                    self._changes.items(), key=lambda found: (-found[1].documents, found[0])
                )
            ],
            "languages": [
                {"language": name, **amount.plain()}
                for name, amount in sorted(
                    self._languages.items(), key=lambda found: (-found[1].characters, found[0])
                )
            ],
            "lengths": self._histogram(),
            "doubles": {
                "between": [
                    {"dropped": dropped, "kept": kept, "reason": reason, "documents": count}
                    for (dropped, kept, reason), count in sorted(self._between.items())
                ],
                "pairs": self._pairs.plain(),
            },
        }  # fmt: skip

    def _parts(self) -> dict[str, dict[str, int]]:
        found = {part: _Amount() for part in PARTS}
        for amounts in self._sources.values():
            for part in PARTS:
                found[part].documents += amounts[part].documents
                found[part].characters += amounts[part].characters
        return {part: amount.plain() for part, amount in found.items()}

    def _of_source(self, name: str) -> dict[str, Any]:
        amounts = self._sources[name]
        steps = [step for step in amounts if step not in (*PARTS, "found")]
        return {
            "read": amounts["found"].plain(),
            "dropped": {step: amounts[step].plain() for step in sorted(steps)},
            "parts": {part: amounts[part].plain() for part in PARTS},
        }

    def _histogram(self) -> dict[str, Any]:
        used = [i for i in range(_BINS) if any(counts[i] for counts in self._lengths.values())]
        if not used:
            return {"from": [], "read": [], "kept": []}
        span = range(used[0], used[-1] + 1)
        return {
            "from": [2**i for i in span],
            **{name: [counts[i] for i in span] for name, counts in self._lengths.items()},
        }


def _steps_passed(entry: Entry) -> int:
    """How many of ``STEPS`` a document came through."""
    if entry.outcome != "dropped":
        return len(STEPS)
    if entry.step == "read":
        return 0
    if entry.step != "duplicates":
        return 1
    return {"exact duplicate": 2, "near-duplicate": 3}.get(entry.reason, 4)


def _sample(entry: Entry) -> dict[str, Any]:
    record: dict[str, Any] = {"id": entry.id, "detail": entry.detail, "excerpt": entry.excerpt}
    if entry.duplicate_of:
        record |= {"duplicate_of": entry.duplicate_of, "similarity": entry.similarity}
    return record


def _bin(characters: int) -> int:
    return min(max(characters, 1).bit_length() - 1, _BINS - 1)


def _hash(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8"), digest_size=6, person=b"sample").digest()
    return int.from_bytes(digest, "little")
