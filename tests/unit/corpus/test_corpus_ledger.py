"""The ledger: every document is found by its id, in bounded memory."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tinyforge.corpus import ledger
from tinyforge.corpus.ledger import Entry, bucket_of, entries, look_up, write_ledger
from tinyforge.errors import DataError, FolderError


def make(count: int) -> list[Entry]:
    return [
        Entry(f"s/{i}", "s", "train", "en", 10 + i, 10, '{"mended":1}', "train/0.parquet", i)
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 500])
def test_all_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(ledger, "_BUCKET_ENTRIES", 60)
    monkeypatch.setattr(ledger, "_HELD", 37)
    made = make(count)
    write_ledger(iter(made), count, tmp_path, tmp_path / "work")
    assert not (tmp_path / "work").exists()
    assert sorted(entries(tmp_path), key=lambda e: e.row) == made
    for entry in made[:: max(1, count // 20)]:
        assert look_up(tmp_path, entry.id) == [entry]
    files = sorted((tmp_path / "ledger").iterdir())
    assert len(files) == max(1, -(-count // 60))


def test_spilling_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = []
    for held in (10_000, 7):
        monkeypatch.setattr(ledger, "_HELD", held)
        folder = tmp_path / str(held)
        write_ledger(iter(make(90)), 90, folder, folder / "work")
        (path,) = (folder / "ledger").iterdir()
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_an_unknown_id_is_answered_with_near_ones(tmp_path: Path) -> None:
    write_ledger(iter(make(30)), 30, tmp_path, tmp_path / "work")
    with pytest.raises(DataError, match="'s/1', 's/10', 's/11'"):
        look_up(tmp_path, "/1")
    with pytest.raises(DataError, match=r"no such document was read.*'s/7'"):
        look_up(tmp_path, "s-7")


def test_two_documents_of_one_id_are_both_told(tmp_path: Path) -> None:
    twice = [Entry("x", "s", "train"), Entry("x", "s", "dropped", reason="spam")]
    write_ledger(iter(twice), 2, tmp_path, tmp_path / "work")
    assert [entry.outcome for entry in look_up(tmp_path, "x")] == ["train", "dropped"]


def test_a_folder_without_a_ledger(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="has no ledger"):
        look_up(tmp_path, "x")


def test_an_entry_as_json_leaves_out_what_is_empty() -> None:
    assert Entry("x", "s", "dropped", reason="spam").to_json() == {
        "id": "x", "source": "s", "outcome": "dropped", "size": 0, "reason": "spam",
    }  # fmt: skip
    assert make(1)[0].to_json()["changes"] == {"mended": 1}


def test_buckets_are_fixed_for_good() -> None:
    """With another hash, the entries of older corpora would not be found."""
    assert [bucket_of(f"s/{i}", 7) for i in range(6)] == [1, 6, 5, 0, 3, 5]
