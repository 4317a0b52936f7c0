"""WARC files: whole, packed, damaged in the middle, cut off."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from reading_files import ARTICLE, page, read, reasons, warc_record, write

INFO = warc_record("software: test\r\n", kind="warcinfo", content_type="application/warc-fields")
REQUEST = warc_record("GET / HTTP/1.1\r\n\r\n", kind="request", content_type="application/http")


NOTE = warc_record(
    "wget -r", url="metadata://gnu.org/log", kind="resource", content_type="text/plain"
)


def article(number: int) -> bytes:
    text = f"Article number {number}. {ARTICLE}"
    return warc_record(page(text), url=f"http://example.org/{number}")


def numbers(path: Path, **values: object) -> tuple[list[str], list[tuple[str, str]]]:
    kept, refused = read(path, **values)
    found = [document.text.split("Article number ")[1].split(".")[0] for document in kept]
    return found, [(item.id.partition(":")[2], item.reason) for item in refused]


PACKED = {
    "plain": lambda records: b"".join(records),
    "a member each": lambda records: b"".join(map(gzip.compress, records)),
    "one member": lambda records: gzip.compress(b"".join(records)),
}


@pytest.mark.parametrize("packing", PACKED)
def test_pages_with_address_and_date(tmp_path: Path, packing: str) -> None:
    data = PACKED[packing]([INFO, REQUEST, article(1), article(2), NOTE])
    kept, refused = read(write(tmp_path / "crawl.warc.gz", data))
    assert not refused
    assert [document.id for document in kept] == ["crawl.warc.gz:3", "crawl.warc.gz:4"]
    assert ARTICLE in kept[0].text
    assert kept[1].meta["url"] == "http://example.org/2"
    assert kept[1].meta["date"] == "2024-05-06T07:08:09Z"


def test_damage_in_the_middle_costs_only_the_records_it_hits(tmp_path: Path) -> None:
    members = [gzip.compress(article(i)) for i in range(5)]
    broken = bytearray(members[2])
    broken[len(broken) // 2 : len(broken) // 2 + 8] = b"\xff" * 8
    members[2] = bytes(broken)
    found, refused = numbers(write(tmp_path / "a.warc.gz", b"".join(members)))
    assert found == ["0", "1", "3", "4"]
    assert [reason for _, reason in refused] == ["record breaks off"]


def test_foreign_bytes_between_members(tmp_path: Path) -> None:
    members = [gzip.compress(article(i)) for i in range(3)]
    data = (
        members[0] + b"garbage \x1f\x8b\x08 garbage" * 500 + members[1] + b"\0" * 600 + members[2]
    )
    found, refused = numbers(write(tmp_path / "a.warc.gz", data))
    assert found == ["0", "1", "2"]
    assert [reason for _, reason in refused] == ["record breaks off"]


@pytest.mark.parametrize("packing", PACKED)
def test_a_file_that_is_cut_off(tmp_path: Path, packing: str) -> None:
    data = PACKED[packing]([article(i) for i in range(3)])
    cut = len(data) - (len(data) // 6 if packing != "one member" else 12)
    found, refused = numbers(write(tmp_path / "a.warc", data[:cut]))
    assert found == ["0", "1"]
    assert [reason for _, reason in refused] == ["record breaks off"]


def test_damage_in_a_plain_file(tmp_path: Path) -> None:
    first = article(1).replace(b"Content-Length: ", b"Content-Lengths ")
    found, refused = numbers(write(tmp_path / "a.warc", article(0) + first + article(2)))
    assert found == ["0", "2"]
    assert [reason for _, reason in refused] == ["damaged record"]


def test_a_record_that_is_too_large_is_passed_over(tmp_path: Path) -> None:
    large = warc_record("x" * 300_000)
    path = write(tmp_path / "a.warc", article(0) + large + article(2))
    found, refused = numbers(path, max_file_bytes=100_000)
    assert found == ["0", "2"]
    assert refused == [("2", "record too large")]


def test_what_is_no_document_is_named(tmp_path: Path) -> None:
    data = b"".join(
        [
            warc_record(page(), status="404 Not Found"),
            warc_record(b"\x89PNG", content_type="image/png"),
            warc_record(b"x", headers="Content-Encoding: br\r\n"),
            warc_record(b"", content_type="text/plain"),
            warc_record("", kind="resource", content_type="text/plain"),
        ]
    )
    assert list(reasons(write(tmp_path / "a.warc", data)).values()) == [
        "not a successful answer",
        "not text",
        "unknown packing",
        "empty",
        "empty",
    ]


def test_a_crawl_without_pages_is_named(tmp_path: Path) -> None:
    assert reasons(write(tmp_path / "a.warc", INFO + REQUEST)) == {"a.warc": "no text"}


def test_plain_text_chunked_and_packed_payloads(tmp_path: Path) -> None:
    packed = gzip.compress("Déjà vu.".encode())
    chunked = f"{len(packed):x}\r\n".encode() + packed + b"\r\n0\r\n\r\n"
    data = b"".join(
        [
            warc_record("One.\r\nTwo.", content_type="text/plain"),
            warc_record("Déjà".encode("latin-1"), content_type="text/plain; charset=latin1"),
            warc_record(
                chunked,
                content_type="text/plain",
                headers="Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            ),
            warc_record("From a WET file.", kind="conversion", content_type="text/plain"),
        ]
    )
    kept, refused = read(write(tmp_path / "a.wet", data))
    assert not refused
    assert [d.text for d in kept] == ["One.\nTwo.", "Déjà", "Déjà vu.", "From a WET file."]


def test_a_damaged_payload_says_nothing_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = random.Random(0)
    records = b""
    for size in (1_000, 100_000):
        packed = bytearray(gzip.compress(bytes(noise.choices(b"abcdefgh ", k=size))))
        packed[len(packed) * 3 // 4] ^= 255
        headers = "Content-Encoding: gzip\r\n"
        records += warc_record(bytes(packed), content_type="text/plain", headers=headers)
    found, refused = numbers(write(tmp_path / "a.warc", records + article(1)))
    assert found == ["1"]
    assert refused == [("1", "damaged record"), ("2", "damaged record")]
    assert capsys.readouterr() == ("", "")


def test_a_bomb_in_a_payload_stops_at_the_limit(tmp_path: Path) -> None:
    packed = gzip.compress(b"a" * 30_000_000)
    record = warc_record(packed, content_type="text/plain", headers="Content-Encoding: gzip\r\n")
    path = write(tmp_path / "a.warc", record + article(1))
    found, refused = numbers(path, max_file_bytes=1_000_000)
    assert found == ["1"]
    assert refused == [("1", "unpacks to too much")]


def test_a_bomb_around_the_records_stops_at_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.warc.gz", gzip.compress(article(1) + b"\0" * 30_000_000))
    kept, refused = read(path, max_unpacked_bytes=5_000_000)
    assert len(kept) == 1
    assert [item.reason for item in refused] == ["unpacks to too much"]


def test_the_words_of_a_header_in_a_page_begin_no_record(tmp_path: Path) -> None:
    record = warc_record(page(f"Article number 7. It says WARC/1.0 here.\nWARC/1.0\n{ARTICLE}"))
    found, refused = numbers(write(tmp_path / "a.warc", record + article(8)))
    assert (found, refused) == (["7", "8"], [])
