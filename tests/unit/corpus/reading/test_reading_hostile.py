"""Whatever the bytes are: an end, a reason, the same result twice, and nothing on the terminal."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading_files import docx, page, pdf, tarred, warc_record, write, zipped

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.reading import Unit, read_unit
from tinyforge.corpus.reading.kinds import SUFFIXES
from tinyforge.records.documents import Document, Dropped

KINDS = sorted({suffix for suffix in SUFFIXES if suffix != ".rest"} | {".py", "", ".gz", ".ipynb"})
LIMITS = ReadSettings(parser_seconds=5, max_file_bytes=1_000_000, max_unpacked_bytes=3_000_000)


def results(path: Path, values: ReadSettings = LIMITS) -> list[Document | Dropped]:
    unit = Unit(path.name, str(path), "", path.stat().st_size, "")
    return list(read_unit(unit, values))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=400), st.sampled_from(KINDS))
def test_any_bytes_under_any_name(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", data)
    found = results(path)
    assert found
    assert len({result.id for result in found}) == len(found)


def samples() -> dict[str, bytes]:
    members = {"a.txt": "Alpha. " * 50, "b.jsonl": '{"text": "Row."}\n', "c.html": page()}
    records = [warc_record(page(f"Page {i}. " * 30)) for i in range(3)]
    return {
        "a.zip": zipped(members),
        "a.tar": tarred(members),
        "a.tar.gz": tarred(members, "w:gz"),
        "a.warc": b"".join(records),
        "a.warc.gz": b"".join(map(gzip.compress, records)),
        "a.pdf": pdf(["One page.", "Two pages."]),
        "a.docx": docx(["One.", "Two."]),
        "a.txt.gz": gzip.compress(b"Some words. " * 100),
    }


@pytest.mark.parametrize("name", sorted(samples()))
def test_good_files_with_bytes_cut_and_changed(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    good = samples()[name]
    chance = random.Random(name)
    for turn in range(25):
        data = bytearray(good)
        for _ in range(chance.choice((1, 3, 30))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if turn % 3 == 0:
            del data[chance.randrange(len(data)) :]
        path = write(tmp_path / name, bytes(data))
        found = results(path)
        assert found, "nothing was said"
        assert found == results(path)
    assert capfd.readouterr() == ("", "")


def test_the_same_in_another_process_with_other_hashes(tmp_path: Path) -> None:
    for name, data in samples().items():
        write(tmp_path / "raw" / name, data)
    program = f"""
from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.reading import find_units, read_unit
settings = ReadSettings()
for unit in find_units([{str(tmp_path / "raw")!r}], settings):
    for result in read_unit(unit, settings):
        print(repr(result))
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        for seed in ("1", "2")
    ]
    assert said[0].stdout.count("Document(") > 10
    assert said[0].stdout == said[1].stdout
    assert said[0].stderr == ""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_is_bounded_by_the_largest_document(tmp_path: Path) -> None:
    """A 60 MB file of rows, packed twice, is read in a process that may grow by 60 MB."""
    row = b'{"text": "' + b"A line of some text. " * 50 + b'"}\n'
    path = write(
        tmp_path / "a.tar.gz", tarred({"rows.jsonl.gz": gzip.compress(row * 60_000)}, "w:gz")
    )
    program = f"""
import resource
from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.reading import find_units, read_unit
settings = ReadSettings()
unit = find_units([{str(path)!r}], settings)[0]
rows = read_unit(unit, settings)
for _ in range(100):
    next(rows)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = 100 + sum(1 for _ in rows)
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    count, grown = map(int, done.stdout.split())
    assert count == 60_000
    assert grown < 60
