"""Tokens of a corpus on disk, by source and document, mapped into memory to be read.

For each source the folder holds ``NNNN/tokens.bin`` (all ids one behind the other, little-endian)
and ``NNNN/offsets.bin`` (int64: where each document starts, and the end); ``tokens.json`` names the
sources and is written last. While it is made, ``progress.json`` says how far it is on disk for
certain, and a process that is started again goes on from there to the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.files import disk_errors, read_json, sync_folder, write_json
from tinyforge.errors import DataError, FolderError
from tinyforge.records.documents import Document
from tinyforge.registry import suggest
from tinyforge.text.encoding import Encoder
from tinyforge.text.sampling import utf8_size

FORMAT = 1
DONE, PROGRESS = "tokens.json", "progress.json"
BATCH_CHARACTERS = 1_000_000
COMMIT_SECONDS = 10.0
"""What is not on disk for certain after a kill is at most the work of so many seconds."""


@dataclass
class SourceTotals:
    """What the store holds of one source.

    Attributes:
        name: the source.
        documents: how many.
        tokens: ids, the ends of documents included.
        bytes: UTF-8 bytes of the texts.
    """

    name: str
    documents: int = 0
    tokens: int = 0
    bytes: int = 0


@dataclass
class _State:
    """How far a store is written."""

    identity: dict[str, Any]
    documents: int = 0
    read: str = ""
    sources: list[SourceTotals] = field(default_factory=list)


def write_tokens(
    documents: Iterable[Document],
    tokenizer: Any,
    folder: Path,
    *,
    end: int | None = None,
    fingerprint: str = "",
    on_progress: Callable[[int, int], None] | None = None,
    commit_seconds: float = COMMIT_SECONDS,
) -> None:
    """Write the tokens of all documents; a store that is begun is gone on with, a whole one kept.

    The package ``tokenizers`` uses every core; the bytes depend on documents and tokenizer alone.

    Args:
        documents: the same ones in the same order each time it is started for a folder.
        tokenizer: a ``transformers`` tokenizer; no special tokens are put around a document.
        folder: made where it does not exist.
        end: an id to put behind every document, for example ``tokenizer.eos_token_id``.
        fingerprint: of the corpus; a store of another one is refused.
        on_progress: told now and then of the documents and tokens so far.
        commit_seconds: time between two points to go on from.

    Raises:
        FolderError: the folder holds tokens of another corpus or tokenizer, or the disk is full.
        DataError: there are no documents.
    """
    folder = Path(folder)
    encoder = Encoder(tokenizer)
    identity = {
        "format": FORMAT,
        "tokenizer": tokenizer_digest(tokenizer),
        "vocab_size": encoder.size,
        "dtype": np.dtype(encoder.dtype).name,
        "end": end,
        "fingerprint": fingerprint,
    }
    if (folder / DONE).is_file():
        _same(read_json(folder / DONE), identity, folder)
        return
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        state = _begun(folder, identity)
        rest, reading = _skip(documents, state, folder)
        _write(rest, reading, encoder, folder, state, end, on_progress, commit_seconds)
    if not state.documents:
        raise DataError("there are no documents to write tokens of", where=str(folder))
    write_json(folder / DONE, {**identity, **_plain(state)})
    (folder / PROGRESS).unlink(missing_ok=True)


def tokenizer_digest(tokenizer: Any) -> str:
    """SHA-256 of what a tokenizer does: its ``tokenizer.json``, or its vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if hasattr(backend, "to_str"):
        plan = json.loads(backend.to_str())
        plan["padding"] = plan["truncation"] = None  # state of its last call, not of itself
        text = json.dumps(plan, sort_keys=True)
    else:
        text = json.dumps(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(state: _State) -> dict[str, Any]:
    return {
        "documents": state.documents,
        "read": state.read,
        "sources": [asdict(source) for source in state.sources],
    }


def _same(found: Any, identity: dict[str, Any], folder: Path) -> None:
    """Raises FolderError where a store was made of something else."""
    different = [name for name in identity if found.get(name) != identity[name]]
    if different:
        what = "corpus" if different[0] == "fingerprint" else different[0]
        raise FolderError(
            f"holds tokens made with another {what}",
            where=str(folder),
            fix="Delete the folder, or give another one",
        )


def _begun(folder: Path, identity: dict[str, Any]) -> _State:
    """The state to go on from; what was written after it is cut off."""
    if not (folder / PROGRESS).is_file():
        state = _State(identity)
    else:
        found = read_json(folder / PROGRESS)
        _same(found, identity, folder)
        sources = [SourceTotals(**source) for source in found["sources"]]
        state = _State(identity, found["documents"], found["read"], sources)
    width = np.dtype(identity["dtype"]).itemsize
    for number, source in enumerate(state.sources):
        tokens, offsets = _files(folder, number)
        for path, size in ((tokens, source.tokens * width), (offsets, source.documents * 8 + 8)):
            if not path.is_file() or path.stat().st_size < size:
                raise FolderError(
                    "is damaged: shorter than it was written", where=str(path),
                    fix="Delete the folder, and start again",
                )  # fmt: skip
            os.truncate(path, size)
    for path in folder.glob("[0-9]*/*.bin"):
        if int(path.parent.name) >= len(state.sources):
            path.unlink()
    return state


def _skip(documents: Iterable[Document], state: _State, folder: Path) -> tuple[Any, Any]:
    """The documents after those that are written, and the hash of what was read so far."""
    reading = hashlib.blake2b(digest_size=16)
    rest = iter(documents)
    count = 0
    for document in islice(rest, state.documents):
        _note(reading, document)
        count += 1
    if state.documents and (count < state.documents or reading.hexdigest() != state.read):
        raise FolderError(
            "was begun with other documents than these",
            where=str(folder),
            fix="Delete the folder, or put the documents back as they were",
        )
    return rest, reading


def _note(reading: Any, document: Document) -> None:
    reading.update(
        f"{document.id}\0{document.source}\0{len(document.text)}\n".encode("utf-8", "replace")
    )


def _write(
    documents: Iterator[Document],
    reading: Any,
    encoder: Encoder,
    folder: Path,
    state: _State,
    end: int | None,
    on_progress: Callable[[int, int], None] | None,
    commit_seconds: float,
) -> None:
    closing = b"" if end is None else np.asarray([end], dtype=encoder.dtype).tobytes()
    numbers = {source.name: number for number, source in enumerate(state.sources)}
    committed = time.monotonic()
    for batch in _batches(documents):
        parts: dict[int, list[bytes]] = {}
        offsets: dict[int, list[int]] = {}
        found = encoder.encode([document.text for document in batch])
        for document, ids in zip(batch, found, strict=True):
            number = numbers.setdefault(document.source, len(numbers))
            if number == len(state.sources):
                state.sources.append(SourceTotals(document.source))
                _start(folder, number)
            source = state.sources[number]
            parts.setdefault(number, []).extend((ids.tobytes(), closing))
            source.documents += 1
            source.tokens += len(ids) + bool(closing)
            source.bytes += utf8_size(document.text)
            offsets.setdefault(number, []).append(source.tokens)
            _note(reading, document)
        for number, data in parts.items():
            _append(folder, number, b"".join(data), offsets[number])
        state.documents += len(batch)
        state.read = reading.hexdigest()
        if on_progress is not None:
            on_progress(state.documents, sum(source.tokens for source in state.sources))
        if time.monotonic() - committed >= commit_seconds:
            _commit(folder, state)
            committed = time.monotonic()
    _commit(folder, state)


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text) + 1
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _files(folder: Path, number: int) -> tuple[Path, Path]:
    place = folder / f"{number:04d}"
    return place / "tokens.bin", place / "offsets.bin"


def _start(folder: Path, number: int) -> None:
    tokens, offsets = _files(folder, number)
    tokens.parent.mkdir(exist_ok=True)
    tokens.write_bytes(b"")
    offsets.write_bytes(np.zeros(1, dtype="<i8").tobytes())


def _append(folder: Path, number: int, data: bytes, ends: list[int]) -> None:
    tokens, offsets = _files(folder, number)
    with tokens.open("ab") as file:
        file.write(data)
    with offsets.open("ab") as file:
        file.write(np.asarray(ends, dtype="<i8").tobytes())


def _commit(folder: Path, state: _State) -> None:
    """Make all that was written a point to go on from."""
    for number in range(len(state.sources)):
        for path in _files(folder, number):
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        sync_folder(folder / f"{number:04d}")
    sync_folder(folder)
    write_json(folder / PROGRESS, {**state.identity, **_plain(state)})


class TokenStore:
    """The tokens of a corpus, read where they lie. Made by ``open_tokens``; can be pickled.

    Attributes:
        folder: where it lies.
        sources: their names, in the order in which they first came.
        dtype: of the ids: uint16 or uint32.
        vocab_size: one more than the tokenizer's largest id.
        end: the id behind every document; None: there is none.
        tokenizer: SHA-256 of the tokenizer, as ``tokenizer_digest`` gives it.
        fingerprint: of the corpus, as ``write_tokens`` was told.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        about = read_json(self.folder / DONE)
        self.dtype = np.dtype(about["dtype"])
        self.vocab_size: int = about["vocab_size"]
        self.end: int | None = about["end"]
        self.tokenizer: str = about["tokenizer"]
        self.fingerprint: str = about["fingerprint"]
        self._totals = {source["name"]: SourceTotals(**source) for source in about["sources"]}
        self.sources: tuple[str, ...] = tuple(self._totals)
        self._tokens: dict[str, NDArray[Any]] = {}
        self._offsets: dict[str, NDArray[np.int64]] = {}
        for number, source in enumerate(self._totals.values()):
            tokens, offsets = _files(self.folder, number)
            self._tokens[source.name] = _mapped(tokens, self.dtype, source.tokens)
            self._offsets[source.name] = _mapped(offsets, np.dtype("<i8"), source.documents + 1)

    def __reduce__(self) -> tuple[type[TokenStore], tuple[Path]]:
        return TokenStore, (self.folder,)

    def documents(self, source: str) -> int:
        """How many documents the source has."""
        return self._of(source).documents

    def tokens(self, source: str) -> int:
        """How many tokens the source has, the ends of documents included."""
        return self._of(source).tokens

    def bytes(self, source: str) -> int:
        """UTF-8 bytes of the source's texts, for bits per byte."""
        return self._of(source).bytes

    def document(self, source: str, number: int) -> NDArray[Any]:
        """The ids of one document: shape (tokens,), its end included."""
        count = self.documents(source)
        if not 0 <= number < count:
            raise IndexError(f"document {number} of {count}")
        offsets = self._offsets[source]
        return np.array(self._tokens[source][offsets[number] : offsets[number + 1]])

    def stretch(self, source: str, start: int, stop: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """A range of the source's ids, over as many documents as it takes.

        Returns:
            The ids, shape (stop - start,), and where documents start among them, int64, rising;
            the first is 0, whether or not a document starts there.
        """
        self._of(source)
        offsets = self._offsets[source]
        first = int(np.searchsorted(offsets, start, side="right"))
        last = int(np.searchsorted(offsets, stop, side="left"))
        inner = np.unique(np.asarray(offsets[first:last])) - start
        starts = np.concatenate([np.zeros(1, dtype=np.int64), inner])
        return np.array(self._tokens[source][start:stop]), starts

    def offsets(self, source: str) -> NDArray[np.int64]:
        """Where each document starts in the source's ids, and the end: int64, (documents + 1,)."""
        self._of(source)
        return self._offsets[source]

    def _of(self, source: str) -> SourceTotals:
        if source not in self._totals:
            raise DataError(
                "no such source among the tokens", value=source, fix=suggest(source, self.sources)
            )
        return self._totals[source]


def open_tokens(folder: Path) -> TokenStore:
    """The finished store in a folder.

    Raises:
        FolderError: there is none, it is not finished, or a file is not as it was written.
    """
    folder = Path(folder)
    if not (folder / DONE).is_file():
        begun = (folder / PROGRESS).is_file()
        raise FolderError(
            "the tokens are not all written" if begun else "holds no tokens",
            where=str(folder),
            fix="Write them again; what is there is gone on with" if begun else None,
        )
    return TokenStore(folder)


def _mapped(path: Path, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    try:
        size = path.stat().st_size
        if size != count * dtype.itemsize:
            raise FolderError(
                f"is damaged: {size:,} bytes instead of {count * dtype.itemsize:,}",
                where=str(path),
                fix="Delete the folder, and write the tokens again",
            )
        # A file without bytes cannot be mapped.
        return np.memmap(path, dtype=dtype, mode="r") if count else np.zeros(0, dtype=dtype)
    except OSError as error:
        raise FolderError("cannot be read", where=str(path), value=error.strerror) from error


def total_tokens(store: TokenStore, sources: Sequence[str] | None = None) -> int:
    """Tokens of all sources, or of some."""
    return sum(store.tokens(source) for source in sources or store.sources)
