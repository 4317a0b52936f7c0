"""Ordinary text of many kinds, in which no safeguard should find anything."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.speed.rows import read


def ordinary_texts(data: Path, most: int, seed: int = 0) -> dict[str, list[str]]:
    """Name to texts, as many of each at most, chosen at random."""
    found = {}
    for name, texts in _sets(data).items():
        each = [text for text in texts if text.strip()]
        random.Random(seed).shuffle(each)
        found[name] = each[:most]
    return found


def _sets(data: Path) -> dict[str, Iterator[str]]:
    return {
        "instructions (Alpaca)": _joined(read(data / "inst/alpaca_5000.jsonl.gz")),
        "instructions (Self-Instruct)": _plain_lines(
            data / "inst/self_instruct_seed_tasks.jsonl", "instruction"
        ),
        "programming (GPTeacher)": _joined(
            _array(data / "inst/gpteacher_codegen-instruct.json.gz")
        ),
        "role play (GPTeacher)": _joined(
            _array(data / "inst/gpteacher_roleplay-simple-deduped-roleplay-instruct.json.gz")
        ),
        "bank questions (Banking77)": _column(data / "cls/banking77_train.jsonl.gz", "text"),
        "assistant (CLINC150)": _column(data / "cls/clinc150_val.jsonl.gz", "text"),
        "dialogues (DialogSum)": _column(data / "t2t/dialogsum_dev.jsonl.gz", "dialogue"),
        "maths (GSM8K)": _column(data / "t2t/gsm8k_train.jsonl.gz", "question"),
        "film reviews (SST-2)": _column(data / "cls/sst2_dev.jsonl.gz", "text"),
        "news (AG News)": _column(data / "cls/agnews7600_train.jsonl.gz", "text"),
        "messages (SMS, ham)": (
            str(row["text"])
            for row in read(data / "cls/sms_spam_train.jsonl.gz")
            if row["label"] == "ham"
        ),
    }


def _column(path: Path, name: str) -> Iterator[str]:
    return (str(row[name]) for row in read(path))


def _joined(rows: Any) -> Iterator[str]:
    for row in rows:
        yield "\n\n".join(str(row[key]) for key in ("instruction", "input") if row.get(key))


def _array(path: Path) -> Iterator[dict[str, Any]]:
    yield from json.loads(gzip.decompress(path.read_bytes()))


def _plain_lines(path: Path, name: str) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield str(json.loads(line)[name])
