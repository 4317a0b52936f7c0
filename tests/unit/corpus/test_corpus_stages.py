"""Reading and cleaning in worker processes: the same whatever happens to the workers."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare_fakes import FakeSignatures, make_tools, unit_of

from tinyforge.corpus.stages import reading_stage, tasks
from tinyforge.corpus.stages.chunks import (
    ChunkFile,
    Chunks,
    Content,
    Turned,
    clean_text,
    meta_text,
    write_chunk,
)
from tinyforge.corpus.stages.reading_job import split_key
from tinyforge.corpus.stages.reading_stage import read_all
from tinyforge.corpus.stages.tasks import CHUNK_CHARACTERS, cut, make_tasks
from tinyforge.errors import FolderError
from tinyforge.records.documents import Document, Dropped


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of a few files; the workers make chunks of their usual size."""
    monkeypatch.setattr(tasks, "TASK_UNITS", 2)


def write_files(folder: Path, files: dict[str, Iterable[str]]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, lines in files.items():
        paths.append(folder / name)
        paths[-1].write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return paths


def run(
    folder: Path, paths: list[Path], *, workers: int = 2, patience: float = 60.0
) -> tuple[list[str], list[Dropped]]:
    """Kept texts and what was dropped, read back from the chunks."""
    work = make_tasks([unit_of(path) for path in paths])
    seen: list[tuple[int, int, int]] = []
    read_all(
        work, make_tools(folder), workers=workers, memory=None, patience=patience,
        tell=lambda *far: seen.append(far),
    )  # fmt: skip
    assert seen == [] or seen[-1][0] == seen[-1][1]
    assert not (folder / "raw").exists()
    chunks = Chunks(folder / "chunks")
    texts = [text for _, chunk in chunks for text in chunk.texts()]
    dropped = [turned.dropped for _, chunk in chunks for turned in chunk.dropped()]
    chunks.close()
    return texts, dropped


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_everything_arrives_in_order(tmp_path: Path, small_chunks: None) -> None:
    files = {f"{i}.txt": [f"{i} one", f"{i} LOUD", f"{i} spam", "UNREADABLE"] for i in range(5)}
    texts, dropped = run(tmp_path / "w", write_files(tmp_path / "in", files))
    assert texts == [f"{i} {word}" for i in range(5) for word in ("one", "loud")]
    assert [d.reason for d in dropped] == ["spam", "unreadable"] * 5


def test_workers_do_not_change_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One large file among small ones, so that its chunks are shared."""
    rng = random.Random(0)
    long = [rng.randbytes(450_000).hex() for _ in range(12)]
    files = {"a.txt": ["first"], "long.txt": long, "z.txt": ["last"]}
    paths = write_files(tmp_path / "in", files)
    found = []
    given: list[str] = []
    answer = reading_stage.Pool.answer

    def spy(self: reading_stage.Pool, worker: reading_stage.Worker, message: object) -> None:
        given.extend([message] if isinstance(message, str) else [])
        answer(self, worker, message)

    monkeypatch.setattr(reading_stage.Pool, "answer", spy)
    for workers in (1, 2, 3):
        texts, _ = run(tmp_path / f"w{workers}", paths, workers=workers)
        assert texts == ["first", *long, "last"]
        found.append(hashes(tmp_path / f"w{workers}"))
    assert found[0] == found[1] == found[2]
    assert {"give", "keep"} <= set(given)


@pytest.mark.parametrize(
    ("line", "reason"),
    [("KILL THE READER", "the reader crashed"), ("RAISE", "the reader failed"),
     ("MEMORY", "reading takes too much memory")],
)  # fmt: skip
def test_a_reader_that_fails_costs_the_rest_of_its_file(
    tmp_path: Path, small_chunks: None, line: str, reason: str
) -> None:
    files = {
        "a.txt": ["a one", "a two"], "b.txt": ["b one", line, "b lost"], "c.txt": ["c one"],
        "d.txt": ["d one"],
    }  # fmt: skip
    paths = write_files(tmp_path / "in", files)
    texts, dropped = run(tmp_path / "w", paths)
    assert texts == ["a one", "a two", "b one", "c one", "d one"]
    assert [(d.id, d.reason, d.step) for d in dropped] == [("texts/b.txt", reason, "read")]
    assert "after 1 documents" in dropped[0].detail
    run(tmp_path / "one", paths, workers=1)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "w")


def test_a_reader_that_hangs_is_given_up(tmp_path: Path) -> None:
    paths = write_files(tmp_path / "in", {"a.txt": ["one", "HANG"], "b.txt": ["two"]})
    texts, dropped = run(tmp_path / "w", paths, workers=1, patience=3.0)
    assert texts == ["one", "two"]
    assert dropped[0].reason == "the reader crashed"
    assert "too long" in dropped[0].detail


@pytest.mark.parametrize(
    ("text", "reason"),
    [("KILL THE CLEANER", "cleaning crashed"), ("RAISE IN CLEANER", "cleaning failed")],
)
def test_a_cleaner_that_fails_costs_one_document(tmp_path: Path, text: str, reason: str) -> None:
    paths = write_files(tmp_path / "in", {"a.txt": ["one", text, "two", "three"]})
    texts, dropped = run(tmp_path / "w", paths, workers=1)
    assert texts == ["one", "two", "three"]
    assert [(d.id, d.reason, d.size) for d in dropped] == [("texts/a.txt:2", reason, len(text))]


def test_a_shared_chunk_whose_cleaner_dies_costs_one_document(tmp_path: Path) -> None:
    lines = ["x" * 700_000 + str(i) for i in range(12)]
    lines[4] = "KILL THE CLEANER" + lines[4]
    paths = write_files(tmp_path / "in", {"a.txt": lines})
    texts, dropped = run(tmp_path / "w", paths, workers=3)
    assert texts == lines[:4] + lines[5:]
    assert [d.id for d in dropped] == ["texts/a.txt:5"]


def test_what_is_done_is_not_done_again(tmp_path: Path, small_chunks: None) -> None:
    files = {f"{i}.txt": [f"{i} {j}" for j in range(3)] for i in range(6)}
    paths = write_files(tmp_path / "in", files)
    run(tmp_path / "whole", paths)
    expected = hashes(tmp_path / "whole")
    again = tmp_path / "again"
    run(again, paths)
    untouched = again / "tasks" / "000000002.json"
    written = untouched.stat().st_mtime_ns
    (again / "tasks" / "000000000.json").unlink()  # killed between the last chunk and the marker
    (again / "tasks" / "000000001.json").unlink()
    (again / "chunks" / "000000001-000000000").unlink()  # killed before the chunk was whole
    (again / "chunks" / ".000000001-000000000.77.tmp").write_bytes(b"half a chunk")
    assert run(again, paths)[0] == [f"{i} {j}" for i in range(6) for j in range(3)]
    (again / "chunks" / ".000000001-000000000.77.tmp").unlink()
    assert hashes(again) == expected
    assert untouched.stat().st_mtime_ns == written


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, CHUNK_CHARACTERS // 2), max_size=12), st.integers(0, 11))
def test_a_chunk_depends_only_on_what_comes_before_its_end(sizes: list[int], end: int) -> None:
    items = [Document(str(i), "x" * size, "s") for i, size in enumerate(sizes)]
    whole = list(cut(items))
    assert [item for chunk in whole for item in chunk] == items
    part = list(cut(items[:end]))
    assert part[:-1] == whole[: max(len(part) - 1, 0)]


def test_chunks_hold_everything(tmp_path: Path) -> None:
    (tmp_path / "chunks").mkdir()
    texts = ["", "Grüße", "日本語 " * 50, "a"]
    for number in range(2):
        documents = [
            Document(f"s/{number}/{i}", text, "s", "de", {"n": i}) for i, text in enumerate(texts)
        ]
        content = Content(
            documents, [{"mended": 1}] * 4, [9] * 4,
            np.array([split_key(d.id, 3) for d in documents], dtype=np.uint64),
            [Turned(Dropped("x", "s", "read", "why", "d", "e", 5), "whole text"),
             Turned(Dropped("y", "s", "clean", "why"))],
            FakeSignatures(np.arange(8, dtype=np.uint64).reshape(4, 2)),
        )  # fmt: skip
        write_chunk(tmp_path / "chunks" / f"{number}", content)
    chunks = Chunks(tmp_path / "chunks")
    assert len(chunks) == 8
    assert [chunks.text(i) for i in range(8)] == texts * 2
    first, chunk = list(chunks)[1]
    assert first == 4
    head = chunk.heads()[2]
    assert (head.id, head.meta, head.characters, head.size) == ("s/1/2", '{"n":2}', 200, 9)
    assert [t.text for t in chunk.dropped()] == ["whole text", None]
    assert chunk.signatures()["exact"].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert int(chunk.keys()[0]) == split_key("s/1/0", 3)
    chunks.close()


@pytest.mark.parametrize(
    "content", [b"", b"TFchunk1", b"something else entirely", b"TFchunk1" + b"\xff" * 30]
)
def test_a_damaged_chunk_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0").write_bytes(content)
    with pytest.raises(FolderError, match="is damaged: not a chunk"):
        ChunkFile(tmp_path / "0")


def test_texts_that_utf8_cannot_hold() -> None:
    assert clean_text("a\ud800b") == "a\\ud800b"
    assert clean_text("plain") == "plain"
    assert meta_text({}) == "{}"
    assert meta_text({"b": 1, "a": "x"}) == '{"a":"x","b":1}'
    assert (
        meta_text({"n": 2**70, "s": "\ud800"}) == '{"n":"1180591620717411303424","s":"\\\\ud800"}'
    )


def test_split_keys_are_fixed_for_good() -> None:
    """A change here would reshuffle the corpora of all users."""
    assert split_key("novels.tar.xz!/emma.txt", 0) == 6960851094250767412
    assert split_key("a", 2**32 - 1) == 8339894946032627767
