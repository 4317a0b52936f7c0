"""The record of a prepared corpus: what it was made from, and which files it consists of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tinyforge.corpus.shards import Written

_PACKAGES = ("tinyforge", "ftfy", "py3langid", "trafilatura", "pypdf", "pyarrow", "zstandard")


def build_record(
    made_from: Mapping[str, Any], report: Mapping[str, Any], written: Sequence[Written]
) -> dict[str, Any]:
    """What ``tinyforge/prepare.json`` holds; nothing in it differs between two equal runs."""
    shards = [
        {
            "file": shard.file, "part": shard.part, "documents": shard.documents,
            "characters": shard.characters, "bytes": shard.bytes, "sha256": shard.sha256,
            "sources": {name: tuple(counts) for name, counts in shard.sources.items()},
        }
        for shard in written
    ]  # fmt: skip
    return {
        "format": 1,
        "identity": dict(made_from),
        "fingerprint": fingerprint(written),
        "documents": report["documents"],
        "sources": [
            {key: source[key] for key in ("name", "files", "bytes", "weight", "parts")}
            for source in report["sources"]
        ],
        "shards": shards,
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def fingerprint(written: Sequence[Written]) -> str:
    """SHA-256 over the names and contents of all files of documents, in hex."""
    lines = "".join(f"{shard.file} {shard.sha256}\n" for shard in written)
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
