"""The stages of preparing a corpus, one after the other; what is done is not done again."""

from __future__ import annotations

import functools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinyforge.artifacts.corpus_folder import CorpusFolder
from tinyforge.artifacts.files import write_json, write_text
from tinyforge.artifacts.prepare_page import render_preparation
from tinyforge.config.prepare import PrepareSettings
from tinyforge.corpus.cleaning import Cleaner, build_contamination_index
from tinyforge.corpus.duplicates import signatures
from tinyforge.corpus.ledger import Entry, write_ledger
from tinyforge.corpus.reading import Unit, read_unit
from tinyforge.corpus.record import build_record
from tinyforge.corpus.report import Tally
from tinyforge.corpus.shards import (
    ShardTools,
    plan_shards,
    read_outcomes,
    remove_halves,
    write_shard,
)
from tinyforge.corpus.stages.accounting import DroppedFile, accounts
from tinyforge.corpus.stages.chunks import Chunks
from tinyforge.corpus.stages.finding_stage import find_duplicates, find_repeats
from tinyforge.corpus.stages.index import Index, build_index
from tinyforge.corpus.stages.pool import Pool, default_memory, default_workers
from tinyforge.corpus.stages.reading_job import Tools
from tinyforge.corpus.stages.reading_stage import read_all
from tinyforge.corpus.stages.tasks import make_tasks
from tinyforge.errors import DataError
from tinyforge.recipes.prepare_result import Preparation, Step, Tell

log = logging.getLogger("tinyforge")


class Work:
    """The stages, one after the other; those that are marked as done are not done again."""

    def __init__(
        self,
        folder: CorpusFolder,
        settings: PrepareSettings,
        units: Sequence[Unit],
        made_from: dict[str, Any],
        tell: Tell,
    ) -> None:

        self.folder, self.work, self.settings = folder, folder.work, settings
        self.units, self.made_from, self.tell = units, made_from, tell
        self.workers = settings.workers or default_workers()
        self.memory = settings.worker_memory or default_memory(self.workers)
        self.seconds: dict[str, float] = {}

    def run(self) -> Preparation:
        """From the sources to a finished folder."""
        self._read()
        self._find_duplicates()
        report = self._write()
        with self._timed("finish"):
            self.folder.finish()
        return Preparation(self.folder.path, report, self.seconds, _peak_memory(self.workers))

    def _read(self) -> None:
        if self.folder.is_done("read"):
            return
        with self._timed("read"):
            contamination = self._contamination()
            tools = self._tools(contamination)
            read_all(
                make_tasks(self.units), tools, workers=self.workers, memory=self.memory,
                patience=self.settings.patience,
                tell=lambda done, total, count: self.tell(Step("read", done, total, count)),
            )  # fmt: skip
            self.folder.mark_done("read")

    def _contamination(self) -> Path | None:
        """The n-grams of the evaluation files, or None where none are named."""
        files = self.settings.clean.contamination
        if not files:
            return None
        path = self.work / "contamination"
        if not self.folder.is_done("contamination"):
            build_contamination_index(files, self.settings.clean, path)
            self.folder.mark_done("contamination")
        return path

    def _tools(self, contamination: Path | None) -> Any:

        chosen = self.settings
        return Tools(
            read=functools.partial(read_unit, settings=chosen.read),
            make_cleaner=functools.partial(Cleaner, chosen.clean, contamination),
            sign=functools.partial(signatures, settings=chosen.duplicates),
            work=self.work, seed=chosen.seed, keep_dropped=chosen.keep_dropped,
        )  # fmt: skip

    def _find_duplicates(self) -> None:
        if self.folder.is_done("duplicates") and self.folder.is_done("repeats"):
            return
        chunks = Chunks(self.work / "chunks")
        if not len(chunks):
            raise _nothing_left(chunks)
        if not self.folder.is_done("duplicates"):
            with self._timed("duplicates"):
                names = [unit.source for unit in self.units]
                index = build_index(chunks, names, self.work / "index")
                tell = self._teller("duplicates")
                find_duplicates(chunks, index, self.settings, self.work, tell)
                self.folder.mark_done("duplicates")
        if self._cuts_repeats:
            with self._timed("repeats"):
                index = Index(self.work / "index")
                find_repeats(chunks, index, self.settings, self.work, self._teller("repeats"))
        self.folder.mark_done("repeats")
        chunks.close()

    @property
    def _cuts_repeats(self) -> bool:
        chosen = self.settings.duplicates
        return bool(chosen.line_documents or chosen.passage_words)

    def _write(self) -> dict[str, Any]:
        repeats = self.work / "repeats" if self._cuts_repeats else None
        tools = ShardTools(self.work, self.folder.path, repeats)
        with self._timed("write"):
            index = Index(self.work / "index")
            shards = plan_shards(index, index.array("part"), self.settings.shard_characters)
            left = [shard for shard in shards if not tools.outcome_path(shard).is_file()]
            remove_halves(self.folder.path)
            done, total = 0, sum(shard.end - shard.start for shard in shards)
            if left:
                with Pool(min(self.workers, len(left)), tools, memory=self.memory) as pool:
                    jobs = ((shard,) for shard in left)
                    for (shard,), _ in pool.map(write_shard, jobs, patience=self.settings.patience):
                        done += shard.end - shard.start
                        self.tell(Step("write", done, total))
            written = [read_outcomes(tools.outcome_path(shard))[0] for shard in shards]
        with self._timed("account"):
            return self._account(tools, shards, written)

    def _account(self, tools: Any, shards: Sequence[Any], written: Sequence[Any]) -> dict[str, Any]:
        """Ledger, dropped documents, report and record."""

        tally = Tally()
        total = len(tools.index) + sum(chunk.turned for _, chunk in tools.chunks)
        with DroppedFile(self.folder.dropped) as dropped:
            found = accounts(tools.chunks, tools.index, shards, tools)
            entries = tally.passing(dropped.passing(found))
            told = self._telling(entries, total)
            write_ledger(told, total, self.folder.path, self.work / "ledger")
        tools.chunks.close()
        report = tally.report(self._sources())
        report["settings"] = self.made_from["settings"]
        report["notes"] = _notes(report)
        for note in report["notes"]:
            log.info(note)
        write_json(self.folder.record, build_record(self.made_from, report, written))
        write_json(self.folder.report, report)
        write_text(self.folder.page, render_preparation(report))
        return report

    def _telling(self, entries: Iterator[Entry], total: int) -> Iterator[Entry]:
        tell = self._teller("account")
        for number, entry in enumerate(entries):
            if number % 1_000 == 0:
                tell(number, total)
            yield entry

    def _sources(self) -> list[dict[str, Any]]:
        """Name, files, bytes and weight of each source, in the order given."""
        files = Counter(unit.source for unit in self.units)
        sizes: Counter[str] = Counter()
        for unit in self.units:
            sizes[unit.source] += unit.size
        weights = self.settings.weights
        return [
            {"name": name, "files": count, "bytes": sizes[name], "weight": weights.get(name, 1.0)}
            for name, count in files.items()
        ]

    def _teller(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self.tell(Step(stage, done, total))

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started


def _nothing_left(chunks: Any) -> DataError:
    reasons: Counter[str] = Counter()
    for _, chunk in chunks:
        reasons.update(f"{t.dropped.step}: {t.dropped.reason}" for t in chunk.dropped())
    told = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(3))
    return DataError(
        f"no document is left of {reasons.total():,}", value=told or "nothing was read",
        fix="Loosen the filters (--set clean.recipe=none), then begin again with --force",
    )  # fmt: skip


def _notes(report: dict[str, Any]) -> list[str]:
    """What a user should know, in sentences."""
    found = []
    for source in report["sources"]:
        if not any(counts["documents"] for counts in source["parts"].values()):
            found.append(f"nothing is left of the source {source['name']}")
    empty = [part for part in ("validation", "test") if not report["parts"][part]["documents"]]
    wanted = [part for part in empty if report["settings"]["split"][f"{part}_share"]]
    if wanted:
        found.append(
            f"nothing is held out for {' and '.join(wanted)}: no source has enough documents"
        )
    crashed = sum(r["documents"] for r in report["reasons"] if r["reason"] in _FAILED)
    if crashed:
        found.append(
            f"{crashed:,} files or documents crashed what read or cleaned them; the ledger names "
            "them"
        )
    return found


_FAILED = {
    "the reader crashed", "the reader failed", "cleaning crashed", "cleaning failed",
    "reading takes too much memory",
}  # fmt: skip


def _peak_memory(workers: int) -> int:
    """Bytes: this process at its peak, and as many workers as there were at theirs."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + workers * worker) * 1024
