"""datasketch's MinHash and LSH: each text asks the index for texts like it, and enters it.

``MinHash.bulk`` shares the permutations, and the index takes no time to look for equal keys: both
faster than the plain way. Texts are folded by the same rule as ours (case and punctuation), which
costs it least.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import xxhash
from datasketch import MinHash, MinHashLSH
from datasketch.hashfunc import sha1_hash32

from benchmarks.speed.harness import read_spec, write_json
from tinyforge.data.store import FlatFile

WORD = re.compile(r"\w+")
BATCH = 1_000
HASHES: dict[str, Callable[[bytes], int]] = {
    "sha1": sha1_hash32,
    "xxhash": xxhash.xxh32_intdigest,
}


def shingles(text: str, kind: str, size: int) -> set[bytes]:
    """Shingles of words, or of characters."""
    words = WORD.findall(text.lower())
    if kind == "characters":
        joined = " ".join(words).encode()
        return {joined[i : i + size] for i in range(max(1, len(joined) - size + 1))}
    if size == 1:
        return {word.encode() for word in words}
    parts = zip(*(words[i:] for i in range(size)), strict=False)
    return {" ".join(part).encode() for part in parts}


def batches(texts: FlatFile) -> Iterator[list[str]]:
    """Texts, many at a time."""
    batch: list[str] = []
    for data in texts:
        batch.append(data.decode())
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def main() -> None:
    """Time the whole search."""
    spec = read_spec()
    corpus, folder = Path(spec["corpus"]), Path(spec["folder"])
    texts = FlatFile(corpus / "texts.bin", np.load(corpus / "offsets.npy"))
    index = MinHashLSH(threshold=spec["threshold"], num_perm=spec["values"])
    pairs: list[tuple[int, int]] = []
    number = 0
    started, began = time.perf_counter(), time.process_time()
    for batch in batches(texts):
        sets = [shingles(text, spec["shingle"], spec["size"]) for text in batch]
        made = MinHash.bulk(sets, num_perm=spec["values"], hashfunc=HASHES[spec["hash"]])
        for signature in made:
            pairs += [(int(other), number) for other in index.query(signature)]
            index.insert(number, signature, check_duplication=False)
            number += 1
    seconds, used = time.perf_counter() - started, time.process_time() - began
    np.save(folder / "pairs.npy", np.array(pairs, dtype=np.int64).reshape(-1, 2))
    write_json(
        folder / "result.json",
        {"seconds": seconds, "processor_seconds": used, "bands": [index.b, index.r]},
    )


if __name__ == "__main__":
    main()
