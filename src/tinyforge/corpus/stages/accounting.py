"""The last stage: one entry for every document that was read, in the order of reading."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import orjson

from tinyforge.artifacts.files import disk_errors, sync_file
from tinyforge.corpus.ledger import Entry
from tinyforge.corpus.shards import Outcome, Shard, ShardTools, read_outcomes
from tinyforge.corpus.stages.chunks import ChunkFile, Chunks, Head, Turned
from tinyforge.corpus.stages.index import Index

_EXCERPT = 200


@dataclass(frozen=True, slots=True)
class Account:
    """One document's entry.

    Attributes:
        cleaned: characters after cleaning; 0 where it was dropped before.
        text: its whole text as it was read, where dropped texts are kept.
        kept_source: source of the document that is kept in its place.
    """

    entry: Entry
    cleaned: int = 0
    text: str | None = None
    kept_source: str = ""


def accounts(
    chunks: Chunks, index: Index, shards: Sequence[Shard], tools: ShardTools
) -> Iterator[Account]:
    """An account of every document and every file that could not be read."""
    originals, exact = index.array("duplicate_of"), index.array("exact")
    similarity = index.array("similarity")
    outcomes = _outcomes(shards, tools)
    for first, chunk in chunks:
        for turned in chunk.dropped():
            yield _turned(turned)
        heads = chunk.heads()
        here = slice(first, first + len(heads))
        of, same, like = (np.asarray(array[here]) for array in (originals, exact, similarity))
        for place, head in enumerate(heads):
            kept_source = ""
            if of[place] >= 0:
                kept_source = index.sources[int(index.home[of[place]])]
                reason = "exact duplicate" if same[place] else "near-duplicate"
                entry = Entry(
                    head.id, head.source, "dropped", head.language, head.size, step="duplicates",
                    reason=reason, duplicate_of=index.id(int(of[place])),
                    similarity=1.0 if same[place] else round(float(like[place]), 4),
                    excerpt=_excerpt(chunk, place), changes=_json(head.changes),
                )  # fmt: skip
            else:
                entry = _kept(head, *next(outcomes), chunk, place)
            yield Account(entry, head.characters, kept_source=kept_source)


def _outcomes(shards: Sequence[Shard], tools: ShardTools) -> Iterator[tuple[Outcome, Shard]]:
    """What became of the kept documents, in the order of their numbers through all parts."""

    def of_part(part: str) -> Iterator[tuple[int, Outcome, Shard]]:
        for shard in shards:
            if shard.part == part:
                for outcome in read_outcomes(tools.outcome_path(shard))[1]:
                    yield outcome.document, outcome, shard

    parts = dict.fromkeys(shard.part for shard in shards)
    merged = heapq.merge(*(of_part(part) for part in parts), key=lambda found: found[0])
    return ((outcome, shard) for _, outcome, shard in merged)


def _turned(turned: Turned) -> Account:
    dropped = turned.dropped
    entry = Entry(
        dropped.id, dropped.source, "dropped", size=dropped.size, step=dropped.step,
        reason=dropped.reason, detail=dropped.detail, excerpt=dropped.excerpt[:_EXCERPT],
    )  # fmt: skip
    return Account(entry, 0, turned.text)


def _kept(head: Head, outcome: Outcome, shard: Shard, chunk: ChunkFile, place: int) -> Entry:
    changes = _json({**head.changes, **outcome.changes})
    if outcome.row < 0:
        return Entry(
            head.id, head.source, "dropped", head.language, head.size, step="duplicates",
            reason="only repeated passages", changes=changes, excerpt=_excerpt(chunk, place),
            detail="all of its text stands in other documents",
        )  # fmt: skip
    return Entry(
        head.id, head.source, shard.part, head.language, head.size, outcome.characters, changes,
        shard.file, outcome.row,
    )  # fmt: skip


def _excerpt(chunk: ChunkFile, place: int) -> str:
    return chunk.text(place)[:_EXCERPT]


def _json(changes: dict[str, int]) -> str:
    return orjson.dumps(changes, option=orjson.OPT_SORT_KEYS).decode("utf-8")


class DroppedFile:
    """``dropped.jsonl.zst``: what was dropped, one JSON line each; whole or not there at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._file: IO[bytes]

    def __enter__(self) -> Self:
        import zstandard

        with disk_errors(self._path):
            self._file = zstandard.open(self._temporary, "wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with disk_errors(self._path):
            self._file.close()
            if kind is None:
                sync_file(self._temporary)
                self._temporary.replace(self._path)
            else:
                self._temporary.unlink(missing_ok=True)

    def passing(self, found: Iterable[Account]) -> Iterator[Account]:
        """Hand on all accounts; write down those of dropped documents."""
        for account in found:
            if account.entry.outcome == "dropped":
                record = account.entry.to_json()
                if account.text is not None:
                    record["text"] = account.text
                self._file.write(orjson.dumps(record) + b"\n")
            yield account
