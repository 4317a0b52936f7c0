"""PDF and DOCX in a process of their own: good, damaged, encrypted, endless."""

from __future__ import annotations

import io
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from reading_files import (
    docx,
    encrypted_pdf,
    exponential_pdf,
    page,
    pdf,
    read,
    reasons,
    stream,
    texts,
    write,
    zlib_bomb,
)

from tinyforge.corpus.reading import isolated


def test_pages_of_a_pdf(tmp_path: Path) -> None:
    data = pdf(["First page (one).\nSecond line.", "Page two: café."], title="Two pages")
    kept, refused = read(write(tmp_path / "a.pdf", data))
    assert not refused
    assert kept[0].text == "First page (one).\nSecond line.\n\nPage two: café."
    assert kept[0].meta == {"pages": 2, "title": "Two pages", "date": "2024-02-29"}


def test_a_pdf_that_asks_for_a_password(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "a.pdf", encrypted_pdf("secret"))
    write(tmp_path / "raw" / "b.pdf", encrypted_pdf(""))
    kept, refused = read(tmp_path / "raw")
    assert [(item.id, item.reason) for item in refused] == [("raw/a.pdf", "encrypted")]
    assert [document.text for document in kept] == ["A secret page."]


def test_a_pdf_without_text_or_without_sense(tmp_path: Path) -> None:
    good = pdf(["Words."])
    write(tmp_path / "raw" / "a.pdf", pdf([""]))
    write(tmp_path / "raw" / "b.pdf", b"%PDF-1.7\n" + b"\0" * 500)
    write(tmp_path / "raw" / "c.pdf", "not a PDF at all")
    write(tmp_path / "raw" / "d.pdf", good[:150])
    found = reasons(tmp_path / "raw")
    assert found["raw/a.pdf"] == "no text"
    assert found["raw/c.pdf"] == "damaged"
    assert set(found.values()) <= {"no text", "damaged"}


def test_a_pdf_whose_pages_go_in_a_circle(tmp_path: Path) -> None:
    circle = {2: b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"}
    kept, refused = read(write(tmp_path / "a.pdf", pdf(["x"], objects=circle)), parser_seconds=5)
    assert not kept
    assert len(refused) == 1


def test_a_pdf_without_end_is_stopped_and_the_next_one_is_read(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "a.pdf", exponential_pdf())
    write(tmp_path / "raw" / "b.pdf", pdf(["Still here."]))
    kept, refused = read(tmp_path / "raw", parser_seconds=1)
    assert [document.text for document in kept] == ["Still here."]
    assert [item.id for item in refused] == ["raw/a.pdf"]
    assert refused[0].reason in ("takes too long", "unpacks to too much", "damaged")


def test_a_pdf_that_unpacks_to_too_much(tmp_path: Path) -> None:
    bomb = stream(zlib_bomb(100_000_000), "/Filter /FlateDecode")
    path = write(tmp_path / "a.pdf", pdf(["x"], objects={5: bomb}))
    _, refused = read(path, parser_seconds=20)
    assert len(refused) == 1


def test_paragraphs_and_tables_of_a_word_file(tmp_path: Path) -> None:
    data = docx(["One.", "Two."], [["a", "b"], ["c", "d"]], title="A letter")
    kept, refused = read(write(tmp_path / "a.docx", data))
    assert not refused
    assert kept[0].text == "One.\nTwo.\na\tb\nc\td"
    assert kept[0].meta["title"] == "A letter"


def test_word_files_that_cannot_be_read(tmp_path: Path) -> None:
    good = docx(["One."])
    write(tmp_path / "raw" / "a.docx", good[: len(good) // 2])
    write(tmp_path / "raw" / "b.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)
    write(tmp_path / "raw" / "c.docx", docx([]))
    write(tmp_path / "raw" / "d.docx", b"words")
    assert reasons(tmp_path / "raw") == {
        "raw/a.docx": "damaged",
        "raw/b.docx": "encrypted",
        "raw/c.docx": "no text",
        "raw/d.docx": "damaged",
    }


def with_part(data: bytes, name: str, content: bytes) -> bytes:
    """A ZIP file with one member replaced."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for info in old.infolist():
            new.writestr(info.filename, content if info.filename == name else old.read(info))
    return out.getvalue()


def test_word_files_that_explode(tmp_path: Path) -> None:
    good = docx(["One."])
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10 if i else "ha"}">' for i in range(12))
    laughs = f"<?xml version='1.0'?><!DOCTYPE x [{entities}]><x>&a11;</x>".encode()
    write(tmp_path / "raw" / "a.docx", with_part(good, "word/document.xml", laughs))
    write(tmp_path / "raw" / "b.docx", with_part(good, "word/media.bin", b""))
    bomb = b"<w>" + b" " * 6_000_000 + b"</w>"
    write(tmp_path / "raw" / "c.docx", with_part(good, "word/document.xml", bomb))
    kept, refused = read(tmp_path / "raw", parser_seconds=5, max_file_bytes=1_000_000)
    assert [document.id for document in kept] == ["raw/b.docx"]
    assert [item.id for item in refused] == ["raw/a.docx", "raw/c.docx"]
    assert refused[1].reason == "unpacks to too much"


def test_a_file_too_large_to_be_read_as_a_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pdf", pdf(["x" * 3_000]))
    assert reasons(path, max_file_bytes=2_000) == {"a.pdf": "file too large"}


def test_one_process_serves_many_documents(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / "raw" / f"{name}.pdf", pdf([name]))
    texts(tmp_path / "raw")
    first = isolated._parser
    texts(tmp_path / "raw")
    assert first is not None
    assert isolated._parser is first
    assert first.documents >= 6


def test_a_dead_parser_is_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pdf", pdf(["Words."]))
    texts(path)
    parser = isolated._parser
    assert parser is not None
    parser._process.kill()
    parser._process.wait()
    assert texts(path) == {"a.pdf": "Words."}
    assert isolated._parser is not parser


def test_a_parser_is_not_shared_with_a_forked_process(tmp_path: Path) -> None:
    program = f"""
import os
from pathlib import Path
from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.reading import find_units, read_unit
settings = ReadSettings()
unit = find_units([{str(write(tmp_path / "a.pdf", pdf(["Words."])))!r}], settings)[0]
assert [r.text for r in read_unit(unit, settings)] == ["Words."]
child = os.fork()
if child == 0:
    os._exit(0 if [r.text for r in read_unit(unit, settings)] == ["Words."] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert [r.text for r in read_unit(unit, settings)] == ["Words."]
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_secrets_and_files_of_the_folder_do_not_reach_the_parser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolated.close_parser()
    monkeypatch.setenv("MY_API_KEY", "hidden")
    monkeypatch.chdir(write(tmp_path / "pypdf.py", "raise SystemExit('imported')").parent)
    assert texts(write(tmp_path / "a.pdf", pdf(["Words."]))) == {"a.pdf": "Words."}
    parser = isolated._parser
    assert parser is not None
    environment = Path(f"/proc/{parser._process.pid}/environ")
    if environment.exists():
        assert b"hidden" not in environment.read_bytes()


def test_the_parser_ends_with_its_owner(tmp_path: Path) -> None:
    path = write(tmp_path / "a.html", page())
    program = f"""
from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.reading import find_units, isolated, read_unit
settings = ReadSettings()
list(read_unit(find_units([{str(path)!r}], settings)[0], settings))
print(isolated._parser._process.pid, flush=True)
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    pid = int(done.stdout)
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("the parser goes on without its owner")
