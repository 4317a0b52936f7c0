"""The token store: what it holds, and that a kill at any moment changes no byte."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyforge.corpus import token_shards
from tinyforge.corpus.token_shards import open_tokens, write_tokens
from tinyforge.errors import DataError, FolderError
from tinyforge.records.documents import Document
from tinyforge.text.tokenizer_training import train_tokenizer

TEXTS = ["The cat sat on the mat. ", "Größe und Straße, naïve café — ", "漢字 and more, ", ""]


def documents(count: int = 60) -> list[Document]:
    return [
        Document(
            id=f"{'ab' if i % 3 else 'c'}/{i}",
            text=TEXTS[i % len(TEXTS)] * (1 + i % 7) + str(i) * (i % 2),
            source="web" if i % 3 else "books",
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer([d.text for d in documents()], "bpe", 400)


@pytest.fixture
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_shards, "BATCH_CHARACTERS", 150)


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    parts = [str(f.relative_to(folder)).encode() + b"\0" + f.read_bytes() for f in files]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def test_every_document_is_there(tokenizer: Any, tmp_path: Path) -> None:
    given = documents()
    write_tokens(given, tokenizer, tmp_path, end=tokenizer.eos_token_id)
    store = open_tokens(tmp_path)
    assert store.sources == ("books", "web")
    assert store.dtype == np.uint16
    for source in store.sources:
        own = [d for d in given if d.source == source]
        assert store.documents(source) == len(own)
        assert store.bytes(source) == sum(len(d.text.encode()) for d in own)
        stream: list[int] = []
        for number, document in enumerate(own):
            ids = tokenizer(document.text, add_special_tokens=False)["input_ids"]
            ids.append(tokenizer.eos_token_id)
            assert store.document(source, number).tolist() == ids
            stream += ids
        assert store.tokens(source) == len(stream)
        assert store.stretch(source, 0, len(stream))[0].tolist() == stream
    with pytest.raises(IndexError):
        store.document("web", 40)
    with pytest.raises(DataError, match="Did you mean 'web'"):
        store.tokens("wep")


def test_a_stretch_says_where_documents_start(tokenizer: Any, tmp_path: Path) -> None:
    given = [Document(str(i), text, "s") for i, text in enumerate(["a b", "", "c", "d e f"])]
    write_tokens(given, tokenizer, tmp_path)
    store = open_tokens(tmp_path)
    assert store.end is None
    sizes = [len(store.document("s", i)) for i in range(4)]
    assert sizes[1] == 0
    begins = [0, sizes[0], sizes[0] + sizes[2]]
    assert store.offsets("s").tolist() == [0, sizes[0], sizes[0], begins[2], sum(sizes)]
    for start, stop in itertools.combinations(range(sum(sizes) + 1), 2):
        ids, starts = store.stretch("s", start, stop)
        assert len(ids) == stop - start
        expected = [0] + [b - start for b in begins if start < b < stop]
        assert starts.tolist() == expected


@pytest.mark.usefixtures("_small_batches")
def test_a_failure_at_any_document_and_another_start_give_the_same_bytes(
    tokenizer: Any, tmp_path: Path
) -> None:
    given = documents()
    write_tokens(given, tokenizer, tmp_path / "whole", end=1)
    expected = digest(tmp_path / "whole")
    for stop in range(0, len(given) + 1, 7):
        folder = tmp_path / str(stop)

        def broken(stop: int = stop) -> Iterator[Document]:
            yield from given[:stop]
            raise KeyboardInterrupt

        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                write_tokens(broken(), tokenizer, folder, end=1, commit_seconds=0)
        with pytest.raises(FolderError, match=r"not all written|holds no tokens"):
            open_tokens(folder)
        write_tokens(iter(given), tokenizer, folder, end=1)
        assert digest(folder) == expected


@pytest.mark.usefixtures("_small_batches")
def test_what_was_written_after_the_last_commit_is_cut_off(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = documents()
    write_tokens(given, tokenizer, tmp_path / "whole")
    real = token_shards._commit

    def broken() -> Iterator[Document]:
        yield from given[:50]
        raise KeyboardInterrupt

    def seldom(folder: Path, state: Any) -> None:
        if state.documents < 20:
            real(folder, state)

    monkeypatch.setattr(token_shards, "_commit", seldom)
    with pytest.raises(KeyboardInterrupt):
        write_tokens(broken(), tokenizer, tmp_path / "cut", commit_seconds=0)
    monkeypatch.setattr(token_shards, "_commit", real)
    assert json.loads((tmp_path / "cut" / "progress.json").read_text())["documents"] < 20
    write_tokens(given, tokenizer, tmp_path / "cut")
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")


@pytest.mark.usefixtures("_small_batches")
def test_what_is_written_is_not_encoded_again(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = documents()

    def broken() -> Iterator[Document]:
        yield from given[:50]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tokens(broken(), tokenizer, tmp_path, commit_seconds=0)
    encoded: list[str] = []
    real = token_shards.Encoder.encode

    def noting(self: Any, texts: Any) -> Any:
        encoded.extend(texts)
        return real(self, texts)

    monkeypatch.setattr(token_shards.Encoder, "encode", noting)
    write_tokens(given, tokenizer, tmp_path)
    assert len(encoded) < 25
    encoded.clear()
    write_tokens(given, tokenizer, tmp_path)  # finished: nothing is done
    assert encoded == []


@pytest.mark.usefixtures("_small_batches")
def test_another_corpus_or_tokenizer_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    given = documents()
    write_tokens(given, tokenizer, tmp_path / "a", fingerprint="one")
    with pytest.raises(FolderError, match="another corpus"):
        write_tokens(given, tokenizer, tmp_path / "a", fingerprint="two")
    other = train_tokenizer([d.text for d in given], "bpe", 300)
    with pytest.raises(FolderError, match="another tokenizer"):
        write_tokens(given, other, tmp_path / "a", fingerprint="one")

    def broken() -> Iterator[Document]:
        yield from given[:50]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tokens(broken(), tokenizer, tmp_path / "b", commit_seconds=0)
    for changed in (given[1:], given[:5]):
        with pytest.raises(FolderError, match="begun with other documents"):
            write_tokens(changed, tokenizer, tmp_path / "b")


def test_padding_of_the_last_call_does_not_make_another_tokenizer(tmp_path: Path) -> None:
    own = train_tokenizer([d.text for d in documents()], "bpe", 300)
    before = token_shards.tokenizer_digest(own)
    own(["a", "b c"], padding=True, truncation=True, max_length=5)
    assert token_shards.tokenizer_digest(own) == before


def test_damage_is_seen(tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="holds no tokens"):
        open_tokens(tmp_path)
    with pytest.raises(DataError, match="no documents"):
        write_tokens([], tokenizer, tmp_path / "empty")
    write_tokens(documents(), tokenizer, tmp_path / "a")
    path = tmp_path / "a" / "0001" / "tokens.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(FolderError, match="is damaged"):
        open_tokens(tmp_path / "a")


def test_it_can_be_sent_to_another_process(tokenizer: Any, tmp_path: Path) -> None:
    write_tokens(documents(), tokenizer, tmp_path)
    store = open_tokens(tmp_path)
    again = pickle.loads(pickle.dumps(store))
    assert again.document("web", 3).tolist() == store.document("web", 3).tolist()


def test_progress_is_told(tokenizer: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_tokens(documents(), tokenizer, tmp_path, on_progress=lambda *n: told.append(n))
    store = open_tokens(tmp_path)
    assert told[-1] == (60, sum(store.tokens(source) for source in store.sources))


PROGRAM = """
import sys, time
from pathlib import Path
sys.path[:0] = [{here!r}]
from test_corpus_token_shards import documents
from tinyforge.corpus import token_shards
from tokenizers import Tokenizer
token_shards.BATCH_CHARACTERS = 150
def slow():
    for document in documents(400):
        yield document
        if {slow} and len(document.text) % 5 == 0:
            time.sleep(0.01)
tokenizer = Tokenizer.from_file(sys.argv[1])
token_shards.write_tokens(slow(), tokenizer, Path(sys.argv[2]), commit_seconds=0)
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bytes(tokenizer: Any, tmp_path: Path) -> None:
    """SIGKILL at several moments; other numbers of threads on each start."""
    path = tmp_path / "tokenizer.json"
    tokenizer.backend_tokenizer.save(str(path))
    here = str(Path(__file__).parent)

    def start(folder: Path, threads: str, slow: bool) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(here=here, slow=slow), str(path), str(folder)],
            env={**os.environ, "RAYON_NUM_THREADS": threads},
        )  # fmt: skip

    def written(folder: Path) -> int:
        progress = folder / token_shards.PROGRESS
        return int(json.loads(progress.read_text())["documents"]) if progress.is_file() else 0

    assert start(tmp_path / "whole", "1", False).wait(120) == 0
    folder = tmp_path / "killed"
    for threads, documents_written in (("2", 20), ("4", 150), ("1", 280)):
        process = start(folder, threads, True)
        while written(folder) < documents_written and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        assert process.wait(60) == -signal.SIGKILL, "it was killed before its end"
        assert written(folder) >= documents_written
    assert start(folder, "3", False).wait(120) == 0
    assert digest(folder) == digest(tmp_path / "whole")
