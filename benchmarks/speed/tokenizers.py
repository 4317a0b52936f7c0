"""Learning tokenizers and encoding with them, beside the package ``tokenizers`` called plainly.

Both sides have the same documents (English novels) in memory when the clock starts. Learning ends
with a tokenizer, encoding with all ids in a file as uint16. Where the algorithm is the same (all
encoding, and learning BPE) a time counts only if the output is the same: the same entries and
merges, the same bytes of tokens. The package breaks ties of WordPiece by the order of a hash map,
and Unigram is learnt here by an algorithm whose result does not depend on chance; for these two the
tokens that each side needs for the text stand beside the time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

from benchmarks.speed import compare, figures, harness, machine, options, table

KINDS = ("bpe", "wordpiece", "unigram")
SIZE = 8_192
PROGRAMS = {"ours": "our_tokenizers", "plain": "peers.plain_tokenizers"}


def main() -> None:
    """Compare."""
    flags = options.parser(__doc__)
    flags.add_argument("--megabytes", type=int, default=40, help="of novels (40)")
    flags.add_argument("--kind", choices=KINDS, action="append", help="default: all")
    chosen = options.parse(flags)
    compare.finish(measure(chosen), chosen, table.tokenizers)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Every job of every kind, the sides in turn."""
    size = 1_000_000 if chosen.quick else chosen.megabytes * 1_000_000
    points = []
    with harness.workplace() as place:
        texts = place / "texts"
        amount = novels(chosen.data_folder, texts, size)
        for kind in chosen.kind or KINDS:
            spec = {"kind": kind, "size": 1_000 if chosen.quick else SIZE, "texts": str(texts)}
            learning = point(spec | {"job": "train"}, place, chosen)
            ours = place / f"train-{kind}-ours-0" / "tokenizer.json"
            encoding = point(spec | {"job": "encode", "tokenizer": str(ours)}, place, chosen)
            if kind != "bpe":
                learning |= {"tokens": unlike(learning, spec, place, chosen)}
            points += [learning, encoding]
    return {
        "format": compare.FORMAT, "case": "tokenizers", "variant": "",
        "title": f"Tokenizers of {SIZE:,} entries, {amount / 1e6:.0f} MB of novels",
        "quick": chosen.quick, "machine": machine.describe(chosen.threads),
        "repeat": chosen.repeat, "bytes": amount, "points": points,
    }  # fmt: skip


def novels(data: Path, texts: Path, size: int) -> int:
    """Novels as files, up to ``size`` bytes; the bytes written."""
    texts.mkdir()
    written = 0
    with tarfile.open(data / "raw" / "english_novels.tar.xz") as archive:
        for member in archive:
            if not member.isfile() or not member.name.endswith(".txt"):
                continue
            file = archive.extractfile(member)
            content = file.read() if file else b""
            text = content.decode("utf-8-sig", "replace")[: size - written]
            (texts / f"{written:012d}.txt").write_text(text, encoding="utf-8", newline="")
            written += len(text.encode())
            if written >= size:
                break
    return written


def point(spec: dict[str, Any], place: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """One job, so often on each side."""
    sides: dict[str, list[dict[str, Any]]] = {name: [] for name in PROGRAMS}
    for number in range(chosen.repeat):
        for name, program in PROGRAMS.items():
            folder = place / f"{spec['job']}-{spec['kind']}-{name}-{number}"
            ended = harness.run_program(program, spec, folder, threads=chosen.threads)
            found = harness.read_json(folder / "result.json")
            found |= {"peak_bytes": ended.peak_bytes, "output": fingerprint(folder, spec)}
            sides[name].append(found)
            harness.say(f"{spec['job']} {spec['kind']} {name}: {found['seconds']:.2f} s")
    seconds = {name: [run["seconds"] for run in runs] for name, runs in sides.items()}
    outputs = {run["output"] for runs in sides.values() for run in runs}
    other = spec["job"] == "train" and spec["kind"] != "bpe"
    return {
        "job": spec["job"],
        "kind": spec["kind"],
        "seconds": {name: figures.summary(values) for name, values in seconds.items()},
        "peak_bytes": {
            name: max(run["peak_bytes"] for run in runs) for name, runs in sides.items()
        },
        "speed": figures.ratios(seconds["plain"], seconds["ours"]),
        "same": None if other else len(outputs) == 1,
    }


def fingerprint(folder: Path, spec: dict[str, Any]) -> str:
    """What has to be the same on both sides, as a hash."""
    if spec["job"] == "encode":
        return hashlib.sha256((folder / "tokens.bin").read_bytes()).hexdigest()
    model = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
    text = json.dumps([model["vocab"], model.get("merges")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def unlike(
    learning: dict[str, Any], spec: dict[str, Any], place: Path, chosen: argparse.Namespace
) -> dict[str, int]:
    """Tokens of the text by each side's own tokenizer."""
    found = {}
    for name in learning["seconds"]:
        path = place / f"train-{spec['kind']}-{name}-0" / "tokenizer.json"
        folder = place / f"count-{name}"
        job = spec | {"job": "encode", "tokenizer": str(path)}
        harness.run_program(PROGRAMS["plain"], job, folder, threads=chosen.threads)
        found[name] = harness.read_json(folder / "result.json")["tokens"]
    return found


if __name__ == "__main__":
    main()
