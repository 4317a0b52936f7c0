"""datatrove's own local pipeline: filters, then MinHash deduplication, two workers.

The stages are those of its examples (``fineweb.py``, ``minhash_deduplication.py``) with their
filters for text. It runs in a Python of its own: ``--peer-python``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
)
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.typeshelper import Languages

from benchmarks.speed.harness import read_spec, write_json


def main() -> None:
    """Run all stages one after the other and time them."""
    spec = read_spec()
    folder = Path(spec["folder"])
    workers = int(spec["workers"])
    config = MinhashConfig(
        hash_config=HashConfig(precision=64),
        n_grams=spec["n_grams"],
        num_buckets=spec["buckets"],
        hashes_per_bucket=spec["rows"],
    )
    seconds: dict[str, float] = {}

    def stage(name: str, steps: list[Any], tasks: int) -> None:
        started = time.perf_counter()
        LocalPipelineExecutor(
            pipeline=steps,
            tasks=tasks,
            workers=workers,
            logging_dir=str(folder / "logs" / name),
        ).run()
        seconds[name] = time.perf_counter() - started

    at = {name: str(folder / name) for name in ("clean", "signatures", "buckets", "ids", "out")}
    stage(
        "clean",
        [JsonlReader(spec["corpus"]), *_cleaning(spec), JsonlWriter(at["clean"])],
        spec["files"],
    )
    language = Languages.english
    signature = MinhashDedupSignature(at["signatures"], config=config, language=language)
    stage("signatures", [JsonlReader(at["clean"]), signature], spec["files"])
    stage(
        "buckets",
        [MinhashDedupBuckets(at["signatures"], at["buckets"], config=config)],
        spec["buckets"],
    )
    stage("clusters", [MinhashDedupCluster(at["buckets"], at["ids"], config=config)], 1)
    stage(
        "filter",
        [JsonlReader(at["clean"]), MinhashDedupFilter(at["ids"]), JsonlWriter(at["out"])],
        spec["files"],
    )
    write_json(folder / "result.json", {"seconds": sum(seconds.values()), "stages": seconds})


def _cleaning(spec: dict[str, Any]) -> list[Any]:
    """The steps that both sides have."""
    return [
        FTFYFormatter(),
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
        PIIFormatter(),
    ]


if __name__ == "__main__":
    main()
