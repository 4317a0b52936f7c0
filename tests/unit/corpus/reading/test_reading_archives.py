"""Archives: members of every kind, nested, hostile and damaged ones."""

from __future__ import annotations

import gzip
import io
import lzma
import random
import sqlite3
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard
from reading_files import (
    ARTICLE,
    docx,
    gzip_bomb,
    page,
    parquet,
    pdf,
    read,
    reasons,
    tarred,
    texts,
    warc_record,
    write,
    zipped,
)

PACKERS = {
    ".zip": zipped,
    ".tar": tarred,
    ".tar.gz": lambda members: tarred(members, "w:gz"),
    ".tgz": lambda members: tarred(members, "w:gz"),
    ".tar.xz": lambda members: tarred(members, "w:xz"),
    ".tar.bz2": lambda members: tarred(members, "w:bz2"),
    ".tar.zst": lambda members: zstandard.ZstdCompressor().compress(tarred(members)),
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_members_go_to_the_reader_of_their_name(tmp_path: Path, suffix: str) -> None:
    members = {
        "b/one.txt": "One.",
        "a/rows.jsonl": '{"text": "Row one."}\n{"text": "Row two."}\n',
        "two.txt.gz": gzip.compress(b"Two."),
        "page.html": page(),
        "paper.pdf": pdf(["A paper."]),
        "letter.docx": docx(["A letter."]),
        "crawl.warc": warc_record("Crawled.", content_type="text/plain"),
        "notes.md": "# Notes",
    }
    name = f"raw{suffix}"
    found = texts(write(tmp_path / name, PACKERS[suffix](members)))
    assert ARTICLE in found.pop(f"{name}!/page.html")
    assert found == {
        f"{name}!/b/one.txt": "One.",
        f"{name}!/a/rows.jsonl:1": "Row one.",
        f"{name}!/a/rows.jsonl:2": "Row two.",
        f"{name}!/two.txt.gz": "Two.",
        f"{name}!/paper.pdf": "A paper.",
        f"{name}!/letter.docx": "A letter.",
        f"{name}!/crawl.warc:1": "Crawled.",
        f"{name}!/notes.md": "# Notes",
    }


def test_archives_in_archives_to_a_depth(tmp_path: Path) -> None:
    data = zipped({"a.txt": "Deep."})
    for level in range(5):
        data = (tarred if level % 2 else zipped)(
            {f"{level}.zip" if level % 2 else f"{level}.x": data}
        )
    path = write(tmp_path / "raw.zip", data)
    kept, refused = read(path)
    assert not kept
    assert [item.reason for item in refused] == ["nested too deeply"]
    kept, refused = read(path, max_depth=8)
    assert [document.text for document in kept] == ["Deep."]
    assert kept[0].id.count("!/") == 6


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize(
    "name",
    ["../evil.txt", "a/../../evil.txt", "/etc/evil.txt", "C:\\evil.txt", "..\\evil.txt",
     "\\\\host\\evil.txt", "a\nb.txt", "x" * 2_000 + ".txt"],
)  # fmt: skip
def test_unsafe_names_are_refused_and_the_rest_goes_on(
    tmp_path: Path, suffix: str, name: str
) -> None:
    data = PACKERS[suffix]({name: "Evil.", "good.txt": "Good."})
    before = set(tmp_path.parent.rglob("*evil*"))
    kept, refused = read(write(tmp_path / f"raw{suffix}", data))
    assert [document.text for document in kept] == ["Good."]
    assert [item.reason for item in refused] == ["unsafe member name"]
    assert set(tmp_path.parent.rglob("*evil*")) == before


def test_links_devices_and_sparse_files_of_a_tar_are_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind in (("s", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("d", tarfile.CHRTYPE),
                           ("f", tarfile.FIFOTYPE)):  # fmt: skip
            header = tarfile.TarInfo(f"{name}.txt")
            header.type = kind
            header.linkname = "/etc/passwd"
            archive.addfile(header)
        header = tarfile.TarInfo("folder")
        header.type = tarfile.DIRTYPE
        archive.addfile(header)
        header = tarfile.TarInfo("good.txt")
        header.size = 5
        archive.addfile(header, io.BytesIO(b"Good."))
    kept, refused = read(write(tmp_path / "raw.tar", out.getvalue()))
    assert [document.text for document in kept] == ["Good."]
    assert {item.id: item.reason for item in refused} == {
        "raw.tar!/s.txt": "link",
        "raw.tar!/h.txt": "link",
        "raw.tar!/d.txt": "not a regular file",
        "raw.tar!/f.txt": "not a regular file",
    }


def test_links_of_a_zip_are_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("s.txt")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
        archive.writestr("good.txt", "Good.")
    kept, refused = read(write(tmp_path / "raw.zip", out.getvalue()))
    assert [document.text for document in kept] == ["Good."]
    assert [(item.id, item.reason) for item in refused] == [("raw.zip!/s.txt", "link")]


def encrypted_zip() -> bytes:
    """The flag of encryption set on the first of two members."""
    data = bytearray(zipped({"secret.txt": "Secret.", "good.txt": "Good."}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(mark) + offset] |= 1
    return bytes(data)


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    kept, refused = read(write(tmp_path / "raw.zip", encrypted_zip()))
    assert [document.text for document in kept] == ["Good."]
    assert [(item.id, item.reason) for item in refused] == [("raw.zip!/secret.txt", "encrypted")]


def test_a_zip_bomb_costs_only_itself(tmp_path: Path) -> None:
    data = zipped(
        {"bomb.txt": b"\0" * 30_000_000, "b.html": b" " * 30_000_000, "good.txt": "Good."}
    )
    kept, refused = read(write(tmp_path / "raw.zip", data), max_unpacked_bytes=5_000_000)
    assert [document.text for document in kept] == ["Good."]
    assert {item.id: item.reason for item in refused} == {
        "raw.zip!/bomb.txt": "not text",
        "raw.zip!/b.html": "unpacks to too much",
    }


def test_a_size_that_lies_is_not_believed(tmp_path: Path) -> None:
    """A member that says it is small and unpacks to much."""
    data = bytearray(zipped({"a.txt": b"a" * 20_000_000}))
    place = data.find(b"PK\x01\x02")
    data[place + 24 : place + 28] = (10).to_bytes(4, "little")
    _, refused = read(write(tmp_path / "raw.zip", bytes(data)), max_unpacked_bytes=1_000_000)
    assert len(refused) == 1


def test_a_tar_bomb_stops_the_archive(tmp_path: Path) -> None:
    data = gzip.compress(tarred({"a.txt": "First.", "b.txt": b"b" * 30_000_000, "c.txt": "Last."}))
    kept, refused = read(write(tmp_path / "raw.tar.gz", data), max_unpacked_bytes=5_000_000)
    assert [document.text for document in kept] == ["First."]
    assert [(item.id.partition("!/")[2], item.reason) for item in refused] == [
        ("b.txt", "unpacks to too much"),
        ("", "archive breaks off"),
    ]


def test_a_packed_bomb_in_an_archive(tmp_path: Path) -> None:
    data = zipped({"a.txt.gz": gzip_bomb(20_000_000), "good.txt": "Good."}, zipfile.ZIP_STORED)
    kept, refused = read(write(tmp_path / "raw.zip", data), max_unpacked_bytes=5_000_000)
    assert [document.text for document in kept] == ["Good."]
    assert [(item.id, item.reason) for item in refused] == [
        ("raw.zip!/a.txt.gz", "unpacks to too much")
    ]


def test_all_layers_of_an_archive_together_have_a_limit(tmp_path: Path) -> None:
    inner = zipped({f"{i}.txt": b"i" * 900_000 for i in range(20)})
    data = zipped({f"{i}.zip": inner for i in range(3)})
    kept, refused = read(write(tmp_path / "raw.zip", data), max_unpacked_bytes=1_000_000)
    assert 0 < len(kept) < 20
    assert {item.reason for item in refused} == {"unpacks to too much"}


def test_a_header_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type = tarfile.XHDTYPE
    header.size = 40_000_000
    data = header.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 40_000_000 + tarred({"a.txt": "A."})
    kept, refused = read(write(tmp_path / "raw.tar", data))
    assert not kept
    assert [item.reason for item in refused] == ["damaged archive"]


def test_too_many_members_are_counted_before_they_are_listed(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.zip", zipped({f"{i}.txt": "x" for i in range(50)}))
    assert reasons(path, max_members=49) == {"raw.zip": "too many members"}
    assert len(texts(path, max_members=50)) == 50


def test_members_of_one_name_keep_names_of_their_own(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for text in (b"Old.", b"New.", b"Newest."):
            header = tarfile.TarInfo("./a.txt")
            header.size = len(text)
            archive.addfile(header, io.BytesIO(text))
    assert texts(write(tmp_path / "raw.tar", out.getvalue())) == {
        "raw.tar!/a.txt": "Old.",
        "raw.tar!/a.txt (2)": "New.",
        "raw.tar!/a.txt (3)": "Newest.",
    }


def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    header = tarfile.TarInfo("caf\udce9.txt")
    header.size = 2
    data = header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + b"A.".ljust(512, b"\0")
    found = texts(write(tmp_path / "raw.tar", data + b"\0" * 1024))
    assert found == {"raw.tar!/caf\\xe9.txt": "A."}
    flagged = zipped({"naïve.txt": "B."})
    plain = flagged.replace(b"\x00\x08\x00\x00", b"\x00\x00\x00\x00")
    assert list(texts(write(tmp_path / "b.zip", plain))) == ["b.zip!/naïve.txt"]


def test_a_damaged_header_in_the_middle_costs_one_member(tmp_path: Path) -> None:
    data = bytearray(tarred({f"{i}.txt": f"Text {i}. " * 200 for i in range(5)}))
    place = data.find(b"2.txt\0")
    data[place : place + 100] = b"\xff" * 100
    kept, refused = read(write(tmp_path / "raw.tar", bytes(data)))
    assert [document.id[-5] for document in kept] == ["0", "1", "3", "4"]
    assert [item.reason for item in refused] == ["damaged archive"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_an_archive_that_is_cut_off(tmp_path: Path, pack: object) -> None:
    noise = random.Random(1)
    members = {
        f"{i}.txt": "".join(noise.choice("abcdefgh ") for _ in range(100_000)) for i in range(4)
    }
    data = pack(tarred(members))  # type: ignore[operator]
    kept, refused = read(write(tmp_path / "raw.tar", data[: len(data) // 2]))
    assert 1 <= len(kept) <= 2
    assert {item.reason for item in refused} <= {"file breaks off", "archive breaks off"}
    assert any(item.reason == "file breaks off" for item in refused)


def test_an_archive_without_the_mark_of_its_end_is_named(tmp_path: Path) -> None:
    data = tarred({"a.txt": "A.", "b.txt": "B."})
    end = data.rfind(b"B.") // 512 * 512 + 512
    kept, refused = read(write(tmp_path / "raw.tar", data[:end]))
    assert len(kept) == 2
    assert [(item.id, item.reason) for item in refused] == [("raw.tar", "archive breaks off")]


def test_archives_that_are_none(tmp_path: Path) -> None:
    good = zipped({"a.txt": "A."})
    write(tmp_path / "raw" / "a.zip", good[: len(good) - 30])
    write(tmp_path / "raw" / "b.tar", b"no archive at all " * 100)
    write(tmp_path / "raw" / "c.tar.gz", gzip.compress(b""))
    write(tmp_path / "raw" / "d.zip", zipped({}))
    found = reasons(tmp_path / "raw")
    assert found == {
        "raw/a.zip": "damaged archive",
        "raw/b.tar": "damaged archive",
        "raw/c.tar.gz": "empty",
        "raw/d.zip": "empty",
    }


def test_a_damaged_member_of_a_zip_costs_only_itself(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": "Alpha.", "b.txt": "Beta."}, zipfile.ZIP_STORED))
    data[data.find(b"Alpha.")] = ord("X")
    kept, refused = read(write(tmp_path / "raw.zip", bytes(data)))
    assert [document.text for document in kept] == ["Beta."]
    assert [(item.id, item.reason) for item in refused] == [("raw.zip!/a.txt", "file breaks off")]


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_a_repository_in_an_archive(tmp_path: Path, suffix: str) -> None:
    members = {
        "repo/.git/HEAD": "ref: main",
        "repo/LICENSE": "MIT License\n\nPermission is hereby granted, free of charge, to any "
        "person obtaining a copy",
        "repo/src/a.py": "def f(): pass\n",
        "repo/vendor/b.py": "def g(): pass\n",
    }  # fmt: skip
    name = f"repo{suffix}"
    kept, refused = read(write(tmp_path / name, PACKERS[suffix](members)))
    code = next(document for document in kept if document.id.endswith(".py"))
    assert code.meta == {"licence_file": f"{name}!/repo/LICENSE", "licence": "MIT"}
    assert {item.id: item.reason for item in refused} == {
        f"{name}!/repo/.git/HEAD": "left out",
        f"{name}!/repo/vendor/b.py": "vendored code",
    }


def test_parquet_and_databases_inside_archives(tmp_path: Path) -> None:
    base = tmp_path / "x.db"
    with sqlite3.connect(base) as connection:
        connection.execute("CREATE TABLE pages (text TEXT)")
        connection.execute("INSERT INTO pages VALUES ('From a table.')")
    connection.close()
    members = {"a.parquet": parquet([{"text": "A row."}]), "b.db": base.read_bytes()}
    assert texts(write(tmp_path / "raw.tar.gz", tarred(members, "w:gz"))) == {
        "raw.tar.gz!/a.parquet:1": "A row.",
        "raw.tar.gz!/b.db!/pages:1": "From a table.",
    }
