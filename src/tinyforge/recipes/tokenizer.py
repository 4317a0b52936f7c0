"""Learn a tokenizer from a corpus, and write it as a folder that plain ``AutoTokenizer`` loads."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyforge.artifacts.files import disk_errors, sync_file, sync_folder, write_json
from tinyforge.artifacts.manifest import covered, write_manifest
from tinyforge.config.corpus_read import ReadSettings
from tinyforge.config.tokenizer import TokenizerSettings
from tinyforge.corpus.texts import Corpus
from tinyforge.errors import FolderError
from tinyforge.text.sampling import Piece, Sample, pieces_of
from tinyforge.text.tokenizer_training import gives_back, train_tokenizer
from tinyforge.text.vocabulary import Advice, Point, advise, curve

RECORD = Path("tinyforge") / "tokenizer.json"
"""What a tokenizer was learnt from, beside it."""

CURVE_BYTES = 10_000_000
"""Text that a curve over sizes is made from, at most."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Learnt:
    """A tokenizer that was learnt.

    Attributes:
        folder: where it lies; loads with ``transformers.AutoTokenizer.from_pretrained``.
        tokenizer: the tokenizer itself.
        record: what it was learnt from, as ``tinyforge/tokenizer.json`` holds it.
        seconds: what reading and learning took.
    """

    folder: Path
    tokenizer: Any
    record: dict[str, Any]
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"output_dir": str(self.folder), **self.record, "seconds": self.seconds}

    def summary(self) -> str:
        """For the terminal."""
        record, corpus = self.record, self.record["corpus"]
        back = record["round_trip"]
        lines = [
            f"{record['kind']} tokenizer of {record['vocab_size']:,} entries, learnt from "
            f"{_megabytes(record['sample_bytes'])} of {_megabytes(corpus['bytes'])} "
            f"({corpus['documents']:,} documents)",
            "every text comes back byte for byte"
            if back["exact"]
            else f"not every text comes back: {back['why_not']}",
        ]
        if record["advice"]:
            lines += record["advice"]["why"]
        if corpus["not_read"]:
            reasons = ", ".join(f"{why} ({n:,})" for why, n in corpus["not_read"].items())
            lines.append(f"not read: {reasons}")
        return "\n".join([*lines, f"Tokenizer: {self.folder}"])


def learn_tokenizer(
    corpus: Sequence[str],
    *,
    output: Path,
    settings: TokenizerSettings,
    read: ReadSettings | None = None,
    force: bool = False,
    tell: Tell | None = None,
) -> Learnt:
    """Read the corpus once, learn a tokenizer from an even sample of it, and save it.

    The same texts and settings give the same folder, byte for byte.

    Args:
        corpus: prepared folders, or anything that ``prepare`` reads.
        output: a folder that does not exist yet, or is empty.
        force: replace a tokenizer that lies there.
        tell: told in a sentence what is being done.

    Raises:
        DataError: no text can be read.
        SettingError: the vocabulary is too small for the kind.
        FolderError: the folder is not empty, or cannot be written.
    """
    say = tell or (lambda _: None)
    _check_output(output, force=force)
    started = time.monotonic()
    texts = Corpus(list(corpus), read or ReadSettings())
    sample = sample_corpus(texts, settings.sample_bytes)
    say(f"read {texts.documents_read:,} documents, {_megabytes(texts.bytes)}")
    after_reading = time.monotonic()
    pieces = sample.pieces()
    size, points, advice = _size(pieces, sample.total, settings, say)
    say(f"learning {size:,} entries ({settings.learnt_kind}) from {_megabytes(sample.kept)}")
    tokenizer = train_tokenizer(
        [piece.text for piece in pieces],
        settings.learnt_kind,
        size,
        family=settings.family,
        lowercase=settings.lowercase,
        byte_fallback=settings.byte_fallback,
        sentinels=settings.sentinel_count,
        max_length=settings.max_length,
    )
    record = _record(texts, sample, settings, tokenizer, points, advice)
    _save(tokenizer, record, output)
    seconds = {
        "reading": round(after_reading - started, 3),
        "learning": round(time.monotonic() - after_reading, 3),
    }
    return Learnt(output, tokenizer, record, seconds)


def sample_corpus(texts: Corpus, limit: int) -> Sample:
    """An even sample of all documents, with their sources and languages.

    Raises:
        DataError: there is no text.
    """
    sample = Sample(limit)
    for document in texts.documents():
        for piece in pieces_of(document.text):
            sample.add(Piece(piece, document.source, document.language))
    texts.require_text()
    return sample


def smaller_sample(pieces: Sequence[Piece], limit: int) -> list[Piece]:
    """An even sample of a sample."""
    sample = Sample(limit)
    for piece in pieces:
        sample.add(piece)
    return sample.pieces()


def curve_and_advice(
    pieces: Sequence[Piece], total_bytes: int, settings: TokenizerSettings, say: Tell
) -> tuple[list[Point], Advice]:
    """The curve over vocabulary sizes on some of the pieces, and what it says."""
    points = curve(
        smaller_sample(pieces, CURVE_BYTES),
        total_bytes,
        settings.learnt_kind,
        family=settings.family,
        lowercase=settings.lowercase,
        byte_fallback=settings.byte_fallback,
        on_size=lambda size: say(f"trying {size:,} entries"),
    )
    return points, advise(points, total_bytes)


def _size(
    pieces: Sequence[Piece], total_bytes: int, settings: TokenizerSettings, say: Tell
) -> tuple[int, list[Point], Advice | None]:
    if settings.vocab_size != "auto":
        return settings.vocab_size, [], None
    points, advice = curve_and_advice(pieces, total_bytes, settings, say)
    return advice.vocab_size + settings.sentinel_count, points, advice


def _record(
    texts: Corpus,
    sample: Sample,
    settings: TokenizerSettings,
    tokenizer: Any,
    points: Sequence[Point],
    advice: Advice | None,
) -> dict[str, Any]:
    """Nothing in it depends on time, place or machine."""
    from importlib.metadata import version

    kind = settings.learnt_kind
    why_not = gives_back(kind, lowercase=settings.lowercase, byte_fallback=settings.byte_fallback)
    return {
        "format": 1,
        "kind": kind,
        "family": settings.family,
        "vocab_size": len(tokenizer),
        "settings": settings.model_dump(),
        "round_trip": {"exact": why_not is None, "why_not": why_not},
        "corpus": texts.to_json(),
        "sample_bytes": sample.kept,
        "curve": [point.to_json() for point in points],
        "advice": advice.to_json() if advice else None,
        "versions": {name: version(name) for name in ("tinyforge", "tokenizers", "transformers")},
    }


def _check_output(output: Path, *, force: bool) -> None:
    if output.exists() and not output.is_dir():
        raise FolderError("is a file, not a folder", where=str(output), fix="Give another --output")
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not (output / RECORD).is_file():
        raise FolderError(
            "the folder is not empty, and what is in it is not a tokenizer of TinyForge",
            where=str(output),
            fix="Give another --output",
        )
    if not force:
        raise FolderError(
            "the folder already holds a tokenizer",
            where=str(output),
            fix="Replace it with --force, or give another --output",
        )


def _save(tokenizer: Any, record: dict[str, Any], output: Path) -> None:
    """Write a folder beside it and move it there, so that it is whole or not there."""
    new = output.with_name(f".{output.name}.new")
    with disk_errors(output):
        shutil.rmtree(new, ignore_errors=True)
        (new / RECORD).parent.mkdir(parents=True)
        tokenizer.save_pretrained(str(new))
        write_json(new / RECORD, record)
        for name in covered(new):
            sync_file(new / name)
        write_manifest(new)
        if output.exists():
            shutil.rmtree(output)
        new.rename(output)
        sync_folder(output.parent)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"
