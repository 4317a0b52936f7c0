"""Real files: novels, articles, a crawl, tables; and encodings of three hundred languages."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from collections import Counter
from itertools import islice
from pathlib import Path, PurePosixPath

import pytest
from reading_files import read

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.reading import find_units, read_unit
from tinyforge.corpus.reading.decode import decode
from tinyforge.records.documents import Document


@pytest.fixture(scope="module")
def raw(shared_folder: Path) -> Path:
    return shared_folder / "data" / "raw"


@pytest.fixture(scope="module")
def dirty(shared_folder: Path) -> Path:
    return shared_folder / "data" / "dirty"


def test_every_declaration_is_read_in_its_own_encoding(raw: Path) -> None:
    """The file's name tells the encoding, which the reader does not know."""
    checked = wrong = 0
    with zipfile.ZipFile(raw / "nltk_udhr.zip") as archive:
        for name in archive.namelist():
            if name.endswith(("-Latin1", "-UTF8")):
                data = archive.read(name)
                codec = "cp1252" if name.endswith("-Latin1") else "utf-8"
                expected = data.decode(codec, "replace").removeprefix("\ufeff")
                checked += 1
                wrong += decode(data).text != expected
    assert checked > 150
    assert wrong <= 0.05 * checked


def test_real_tables_and_text(raw: Path, dirty: Path) -> None:
    kept, refused = read(raw / "tinyshakespeare.txt", raw / "wikitext2_valid.txt.gz")
    assert [document.id for document in kept] == ["tinyshakespeare.txt", "wikitext2_valid.txt.gz"]
    assert not refused
    kept, refused = read(dirty / "cc_en_head-0091.jsonl.gz", dirty / "presidio_synth_1500.json.gz")
    assert len(kept) > 1_500
    assert not refused
    assert len({document.source for document in kept}) == 2


def test_real_archives(raw: Path) -> None:
    for name, members in (("nltk_inaugural.zip", 55), ("nltk_state_union.zip", 60)):
        kept, refused = read(raw / name)
        assert len(kept) >= members
        assert all("\ufffd" not in document.text for document in kept)
        assert not refused


def test_a_real_crawl(dirty: Path, tmp_path: Path) -> None:
    kept, refused = read(dirty / "sample-0000.warc.gz")
    assert len(kept) == 22
    assert not refused
    assert all(document.meta["url"].startswith("http") for document in kept)
    data = (dirty / "sample-0000.warc.gz").read_bytes()
    cut = tmp_path / "sample-0000.warc.gz"
    cut.write_bytes(data[: len(data) * 2 // 3])
    some, lost = read(cut)
    assert some == [document for document in kept if document.id in {d.id for d in some}]
    assert lost[-1].reason == "record breaks off"


def test_the_articles_of_real_pages(dirty: Path) -> None:
    """Words found in both, as F1, over the first pages; the benchmark measures all of them."""
    with gzip.open(dirty / "article_html" / "ground-truth.json.gz") as file:
        gold = json.load(file)
    source = str(dirty / "article_html" / "html.tar.xz")
    settings = ReadSettings()
    found = (
        document
        for unit in find_units([source], settings)
        for document in read_unit(unit, settings)
        if isinstance(document, Document)
    )
    scores = []
    for document in islice(found, 20):
        name = PurePosixPath(document.id).name.partition(".")[0]
        ours, theirs = (
            Counter(re.findall(r"\w+", text.lower()))
            for text in (document.text, gold[name]["articleBody"])
        )
        scores.append(2 * (ours & theirs).total() / (ours.total() + theirs.total()))
    assert len(scores) == 20
    assert sum(scores) / len(scores) > 0.85


@pytest.mark.slow
def test_all_of_it_has_documents_and_reasons(raw: Path, dirty: Path) -> None:
    kept, refused = read(raw, dirty)
    assert len(kept) > 2_500
    assert len(refused) < 0.1 * len(kept)
