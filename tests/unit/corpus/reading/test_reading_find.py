"""What a source is made of: names, order, stamps, and what is left out."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from reading_files import read, reasons, texts, write

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.reading import Unit, find, find_units, read_unit
from tinyforge.errors import DataError, MissingPackageError, SettingError

PLAIN = ReadSettings()


def names(*sources: Path | str) -> list[str]:
    return [unit.name for unit in find_units([str(source) for source in sources], PLAIN)]


def test_a_folder_is_read_in_sorted_order_and_ids_hold_no_absolute_path(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/b/c.txt", "B.txt", "a.txt"):
        write(tmp_path / "raw" / name, f"I am {name}.")
    expected = ["raw/B.txt", "raw/a/b/c.txt", "raw/a/z.txt", "raw/a.txt", "raw/b.txt"]
    assert names(tmp_path / "raw") == expected
    found = texts(tmp_path / "raw")
    assert list(found) == expected
    assert found["raw/a/b/c.txt"] == "I am a/b/c.txt."


def test_the_order_does_not_depend_on_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "dacb":
        write(tmp_path / "raw" / f"{name}.txt", name)
    before = find_units([str(tmp_path / "raw")], PLAIN)
    scan = os.scandir

    class Backwards:
        def __init__(self, folder: Path) -> None:
            with scan(folder) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *error: object) -> None:
            return None

    monkeypatch.setattr(os, "scandir", Backwards)
    assert find_units([str(tmp_path / "raw")], PLAIN) == before


def test_equal_names_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    first = write(tmp_path / "x" / "raw" / "a.txt", "one").parent
    second = write(tmp_path / "y" / "raw" / "a.txt", "two").parent
    units = find_units([str(first), str(second), str(write(tmp_path / "c.txt", "three"))], PLAIN)
    assert [unit.source for unit in units] == ["x/raw", "y/raw", "c.txt"]
    assert [unit.name for unit in units] == ["x/raw/a.txt", "y/raw/a.txt", "c.txt"]


def test_units_are_picklable_and_have_a_stamp_of_their_content(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one")
    unit = find_units([str(path)], PLAIN)[0]
    assert pickle.loads(pickle.dumps(unit)) == unit
    assert (unit.source, unit.path, unit.kind, unit.size) == ("a.txt", str(path), "text", 3)
    write(path, "two")
    os.utime(path, ns=(1, 1))
    assert find_units([str(path)], PLAIN)[0].stamp != unit.stamp


def test_a_unit_without_a_name_is_called_like_its_source(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one")
    unit = Unit("a.txt", str(path), "text", 3, "")
    assert [result.id for result in read_unit(unit, PLAIN)] == ["a.txt"]


def test_a_source_inside_another_is_read_once_as_its_own(tmp_path: Path) -> None:
    inner = write(tmp_path / "raw" / "books" / "a.txt", "one").parent
    write(tmp_path / "raw" / "b.txt", "two")
    write(tmp_path / "raw" / "c.txt", "three")
    units = find_units([str(tmp_path / "raw"), str(inner), str(tmp_path / "raw" / "c.txt")], PLAIN)
    assert [unit.name for unit in units] == ["raw/b.txt", "books/a.txt", "c.txt"]


def test_a_source_named_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one")
    with pytest.raises(DataError, match="named twice"):
        find_units([str(path), f"{tmp_path}/./a.txt"], PLAIN)


def test_a_missing_source_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path / "novels.txt", "one")
    with pytest.raises(DataError, match=r"no such file.*novels\.txt"):
        find_units([str(tmp_path / "novel.txt")], PLAIN)
    with pytest.raises(DataError, match="no source"):
        find_units([], PLAIN)


def test_a_folder_with_nothing_to_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "a.png", b"\x89PNG")
    write(tmp_path / "raw" / ".git" / "HEAD", "ref")
    with pytest.raises(DataError, match="nothing to read"):
        find_units([str(tmp_path / "raw")], PLAIN)


def test_folders_of_no_text_are_left_out_and_accounted_for(tmp_path: Path) -> None:
    write(tmp_path / "raw" / ".git" / "objects" / "a", b"\x01\x02")
    write(tmp_path / "raw" / "node_modules" / "b.js", "b()")
    write(tmp_path / "raw" / "a.txt", "one")
    write(tmp_path / "raw" / "a.png", b"\x89PNG")
    kept, refused = read(tmp_path / "raw")
    assert [document.id for document in kept] == ["raw/a.txt"]
    assert {item.id: (item.reason, item.detail) for item in refused} == {
        "raw/.git": ("left out", "version control"),
        "raw/node_modules": ("left out", "vendored code"),
        "raw/a.png": ("not a kind that is read", ".png"),
    }


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "far.txt", "far")
    write(tmp_path / "raw" / "a" / "near.txt", "near")
    (tmp_path / "raw" / "books").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "raw" / "a" / "up").symlink_to(tmp_path / "raw")
    (tmp_path / "raw" / "one.txt").symlink_to(tmp_path / "elsewhere" / "far.txt")
    assert names(tmp_path / "raw") == ["raw/a/near.txt", "raw/books/far.txt", "raw/one.txt"]


def test_a_broken_link_and_a_pipe_are_named_not_read(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "a.txt", "one")
    (tmp_path / "raw" / "b.txt").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "raw" / "c.txt")
    kept, refused = read(tmp_path / "raw")
    assert [document.id for document in kept] == ["raw/a.txt"]
    assert [(item.id, item.reason) for item in refused] == [
        ("raw/b.txt", "left out"),
        ("raw/c.txt", "not a regular file"),
    ]


def test_a_file_name_that_is_not_unicode_can_be_read_and_stored(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "raw")
    (tmp_path / "raw").mkdir()
    with open(folder + b"/caf\xe9.txt", "wb") as file:  # noqa: PTH123 - a name in bytes
        file.write(b"one")
    unit = find_units([str(tmp_path / "raw")], PLAIN)[0]
    assert unit.path.startswith("file://")
    assert unit.path.encode()
    assert unit.name.encode()
    assert [result.text for result in read_unit(unit, PLAIN)] == ["one"]  # type: ignore[union-attr]


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one")
    unit = find_units([str(path)], PLAIN)[0]
    path.unlink()
    result = next(read_unit(unit, PLAIN))
    assert getattr(result, "reason", "") == "gone"


def test_a_missing_package_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.docx", b"PK\x03\x04")
    monkeypatch.setattr(find, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="python-docx"):
        find_units([str(path)], PLAIN)


def test_an_unknown_encoding_is_refused_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one")
    with pytest.raises(SettingError, match="encoding"):
        find_units([str(path)], ReadSettings(encoding="latin-99"))


def test_kinds_are_told_by_content_where_names_tell_none(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "README", "Plain words.")
    write(tmp_path / "raw" / "page", "<!doctype html><html><body><p>Words.</p></body></html>")
    write(tmp_path / "raw" / "rows", '{"text": "A row."}\n')
    write(tmp_path / "raw" / "noise", bytes(range(256)) * 10)
    kept, refused = read(tmp_path / "raw", html="page")
    assert {document.id: document.text for document in kept} == {
        "raw/README": "Plain words.",
        "raw/page": "Words.",
        "raw/rows:1": "A row.",
    }
    assert [(item.id, item.reason) for item in refused] == [("raw/noise", "not text")]


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    assert reasons(write(tmp_path / "a.txt", "")) == {"a.txt": "empty"}
    assert reasons(write(tmp_path / "b.txt", " \n\n")) == {"b.txt": "empty"}
