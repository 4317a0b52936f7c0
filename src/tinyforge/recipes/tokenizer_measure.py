"""Measure tokenizers on texts, and say which vocabulary size to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.config.tokenizer import TokenizerSettings
from tinyforge.corpus.texts import Corpus
from tinyforge.errors import DataError, SettingError
from tinyforge.models.folder import TOKENIZER_FILES
from tinyforge.recipes.tokenizer import Tell, curve_and_advice, sample_corpus, smaller_sample
from tinyforge.text.measuring import Count, Measure, measure
from tinyforge.text.vocabulary import Advice, Point

MEASURE_BYTES = 20_000_000
"""Text that tokenizers are measured on, at most: an even sample."""

MANY = 12
"""Sources or languages shown on the terminal, at most; the largest."""


@dataclass(frozen=True)
class Measured:
    """What was found.

    Attributes:
        tokenizers: name to what it makes of the texts.
        shares: name to preset to the share of the preset's parameters that the embeddings of this
            vocabulary would be.
        points: the curve over sizes; empty where it was not asked for.
        advice: which size to take; None without a curve.
        advice_shares: preset to the share that the advised size would cost.
        corpus: what was read.
        bytes: how much of it was measured on.
    """

    tokenizers: dict[str, Measure]
    shares: dict[str, dict[str, float]]
    points: list[Point]
    advice: Advice | None
    advice_shares: dict[str, float]
    corpus: dict[str, Any]
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "tokenizers": {
                name: found.to_json() | {"embedding_share": self.shares.get(name, {})}
                for name, found in self.tokenizers.items()
            },
            "curve": [point.to_json() for point in self.points],
            "advice": self.advice.to_json() if self.advice else None,
            "advice_embedding_share": self.advice_shares,
            "corpus": self.corpus,
            "measured_bytes": self.bytes,
        }

    def render(self) -> str:
        """Tables for the terminal."""
        blocks = [f"measured on {self.bytes:,} of {self.corpus['bytes']:,} bytes"]
        if self.tokenizers:
            blocks.append(self._tokenizers())
            for title, of in (("source", "by_source"), ("language", "by_language")):
                counts = {name: getattr(found, of) for name, found in self.tokenizers.items()}
                if title == "language" or any(len(own) > 1 for own in counts.values()):
                    blocks += _by(title, counts)
            blocks += self._notes()
            blocks.append(_shares(self.shares))
        if self.points:
            blocks.append(_curve(self.points))
        if self.advice:
            costs = ", ".join(f"{name} {share:.0%}" for name, share in self.advice_shares.items())
            advice = [f"advice: {self.advice.why[0]}", *self.advice.why[1:]]
            blocks.append("\n".join([*advice, f"share of the parameters: {costs}"]))
        return "\n\n".join(blocks)

    def _tokenizers(self) -> str:
        rows = [("tokenizer", "entries", "used", "bytes/token", "chars/token", "unknown", "exact")]
        for name, found in self.tokenizers.items():
            tried, good = (
                found.tried[0] + found.hostile[0],
                found.tried[1] + found.hostile[1],
            )
            rows.append(
                (
                    name, f"{found.vocab_size:,}", f"{found.used:,}",
                    f"{found.all.bytes_per_token:.3f}", f"{found.all.characters_per_token:.3f}",
                    f"{found.all.unknown_share:.2%}", f"{good:,}/{tried:,}",
                )
            )  # fmt: skip
        return table(rows)

    def _notes(self) -> list[str]:
        notes = []
        for name, found in self.tokenizers.items():
            if found.damaged:
                text, back = found.damaged
                notes.append(f"{name}: does not give back {text!r}, but {back!r}")
            if found.unknown_characters:
                shown = " ".join(map(repr, found.unknown_characters))
                notes.append(f"{name}: unknown characters, the most frequent first: {shown}")
        return ["\n".join(notes)] if notes else []


def measure_tokenizers(
    words: Sequence[str],
    *,
    settings: TokenizerSettings | None = None,
    with_curve: bool = False,
    read: ReadSettings | None = None,
    tell: Tell | None = None,
) -> Measured:
    """Measure tokenizers on texts; with a curve, over vocabulary sizes learnt from them as well.

    Args:
        words: tokenizers (folders, ``tokenizer.json`` files or hub ids) and texts (files, folders
            or prepared folders), in any order.
        settings: what the tokenizers of the curve are like.

    Raises:
        SettingError: neither a tokenizer nor a curve is asked for.
        DataError: no texts are named, or none can be read.
        ModelError: a tokenizer cannot be loaded.
    """
    say = tell or (lambda _: None)
    settings = settings or TokenizerSettings()
    names, sources = sort_words(words)
    if not names and not with_curve:
        raise SettingError(
            "names no tokenizer", where="measure", value=list(words)[:3],
            fix="Give a folder with a tokenizer.json before the texts, or --curve",
        )  # fmt: skip
    if not sources:
        raise DataError("names no texts to measure on", fix="Give a file or folder after them")
    loaded = {name: open_tokenizer(name) for name in names}
    corpus = Corpus(sources, read or ReadSettings())
    sample = sample_corpus(corpus, settings.sample_bytes)
    pieces = smaller_sample(sample.pieces(), MEASURE_BYTES)
    found = {}
    for name, tokenizer in loaded.items():
        say(f"measuring {name}")
        found[name] = measure(tokenizer, pieces)
    points: list[Point] = []
    advice = None
    if with_curve:
        points, advice = curve_and_advice(sample.pieces(), sample.total, settings, say)
    shares, advised = _embedding_shares(loaded, advice, settings.family)
    size = sum(len(piece.text.encode("utf-8", "replace")) for piece in pieces)
    return Measured(found, shares, points, advice, advised, corpus.to_json(), size)


def sort_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which words name tokenizers, and which name texts.

    A folder with tokenizer files, a file called ``tokenizer.json`` and a name of the form
    OWNER/NAME where no such file is are tokenizers.
    """
    names: list[str] = []
    sources: list[str] = []
    for word in words:
        path = Path(word).expanduser()
        folder = path.is_dir() and any((path / name).is_file() for name in TOKENIZER_FILES)
        hub = not path.exists() and word.count("/") == 1 and not path.suffix
        (names if folder or path.name == "tokenizer.json" or hub else sources).append(word)
    return names, sources


def open_tokenizer(name: str) -> Any:
    """A tokenizer's folder, its ``tokenizer.json``, or a hub id.

    Raises:
        ModelError: it cannot be found or loaded.
    """
    from tinyforge.models.source import local_folder, locate
    from tinyforge.models.tokens import load_tokenizer

    path = Path(name).expanduser()
    if path.is_file():
        path = path.parent
    if path.is_dir():
        return load_tokenizer(path)
    return load_tokenizer(local_folder(locate(name, task="")))


def _embedding_shares(
    loaded: Mapping[str, Any], advice: Advice | None, family: str
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    from tinyforge.models.embedding_cost import embedding_costs

    costs = embedding_costs()
    shares = {
        name: {cost.preset: cost.share(len(tokenizer)) for cost in costs}
        for name, tokenizer in loaded.items()
    }
    if advice is None:
        return shares, {}
    own = [cost for cost in costs if cost.family == family]
    return shares, {cost.preset: cost.share(advice.vocab_size) for cost in own}


def _by(title: str, counts: Mapping[str, Mapping[str, Count]]) -> list[str]:
    """Bytes per token of each source or language, a column for each tokenizer."""
    sizes: dict[str, int] = {}
    for own in counts.values():
        for name, count in own.items():
            sizes[name] = count.bytes
    if not sizes:
        return []
    shown = sorted(sizes, key=lambda name: (-sizes[name], name))[:MANY]
    rows = [(title, "bytes", *(f"{name}: bytes/token" for name in counts))]
    for name in shown:
        values = (f"{own[name].bytes_per_token:.3f}" for own in counts.values())
        rows.append((name or "(none)", f"{sizes[name]:,}", *values))
    more = [f"and {len(sizes) - MANY:,} more (--json)"] if len(sizes) > MANY else []
    return ["\n".join([table(rows), *more])]


def _shares(shares: Mapping[str, Mapping[str, float]]) -> str:
    presets = list(next(iter(shares.values())))
    rows = [("share of parameters", *presets)]
    rows += [(name, *(f"{own[p]:.0%}" for p in presets)) for name, own in shares.items()]
    return table(rows)


def _curve(points: Sequence[Point]) -> str:
    rows = [("entries", "bytes/token", "tokens saved", "seen 100 times", "unknown")]
    for point in points:
        saved = "" if point.saved is None else f"{point.saved:.1%}"
        rows.append(
            (
                f"{point.entries:,}", f"{point.bytes_per_token:.3f}", saved,
                f"{point.often:.0%}", f"{point.unknown_share:.2%}",
            )
        )  # fmt: skip
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns, the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
