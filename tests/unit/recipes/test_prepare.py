"""Preparing a corpus with all its real parts: what comes out, and what is said of it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

import tinyforge
from tinyforge.config.load import load_tree
from tinyforge.config.prepare import PrepareSettings
from tinyforge.corpus.ledger import entries
from tinyforge.corpus.prepared import is_prepared, open_prepared
from tinyforge.errors import ConditionError, DataError, FolderError, SettingError
from tinyforge.recipes.prepare import prepare
from tinyforge.recipes.prepare_result import Preparation, Step, explain
from tinyforge.recipes.verify import verify

WORDS = str.split(
    "the of and a to in that it was he for on with his at by I this not but had which from they "
    "she you were her all there been one so an said when we who would what their more no if out "
    "up into could them time some other then about like our over man me even most made after also "
    "river garden window morning letter house father evening winter summer country road village"
)


def passage(rng: random.Random, words: int = 160) -> str:
    """Sentences of common words, which no filter minds."""
    lines = []
    for _ in range(words // 16):
        chosen = rng.choices(WORDS, k=16)
        lines.append(" ".join(chosen).capitalize() + ".")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders and a file, with doubles, near-doubles, junk and broken files."""
    top = tmp_path_factory.mktemp("sources")
    rng = random.Random(7)
    for source, count in (("letters", 30), ("notes", 20)):
        (top / source).mkdir()
        for i in range(count):
            (top / source / f"{i:02d}.txt").write_text(passage(rng), encoding="utf-8")
    first = (top / "letters" / "00.txt").read_text(encoding="utf-8")
    (top / "notes" / "copy.txt").write_text(first, encoding="utf-8")
    second = (top / "letters" / "01.txt").read_text(encoding="utf-8")
    (top / "notes" / "edited.txt").write_text(second.replace("river", "stream", 1) + " The end.")
    (top / "notes" / "mail.txt").write_text(
        passage(rng) + "\nWrite to jane.miller@posthorn.net today.\n"
    )
    (top / "notes" / "broken.gz").write_bytes(gzip.compress(b"some text " * 500)[:40])
    rows = [{"text": passage(rng), "url": f"http://example.org/{i}"} for i in range(12)]
    (top / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return top


def named(sources: Path) -> list[Path]:
    return [sources / "letters", sources / "notes", sources / "rows.jsonl"]


SETTINGS = ("workers=1", "split.validation_share=0.1", "split.test_share=0.1", "seed=3")


def make(sources: list[Path], output: Path, *overrides: str, **how: Any) -> Preparation:
    settings = load_tree(PrepareSettings, None, [*SETTINGS, *overrides])
    return prepare(sources, settings=settings, output_dir=output, **how)


@pytest.fixture(scope="module")
def made(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Preparation:
    return make(named(sources), tmp_path_factory.mktemp("made") / "corpus", "workers=2")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_document_is_accounted_for(sources: Path, made: Preparation) -> None:
    found = {entry.id: entry for entry in entries(made.output_dir)}
    read = {f"letters/{i:02d}.txt" for i in range(30)} | {f"notes/{i:02d}.txt" for i in range(20)}
    read |= {f"notes/{name}" for name in ("copy.txt", "edited.txt", "mail.txt", "broken.gz")}
    assert read <= set(found)
    assert sum(entry.source == "rows.jsonl" for entry in found.values()) == 12
    assert len(found) == made.report["documents"]["read"] == len(read) + 12
    outcomes = Counter(entry.outcome for entry in found.values())
    assert outcomes["dropped"] == 3
    assert made.report["documents"]["kept"] == len(found) - 3
    corpus = open_prepared(made.output_dir)
    for part in ("train", "validation", "test"):
        documents = list(corpus.documents(part))
        assert corpus.count(part) == len(documents) == outcomes[part]
        for row, document in enumerate(documents):
            entry = found[document.id]
            assert (entry.outcome, entry.row) == (part, row)  # one file for each part
            assert entry.characters == len(document.text)


def test_doubles_are_named_with_what_is_kept(made: Preparation) -> None:
    copy, original = explain(made.output_dir, "notes/copy.txt")
    assert (copy.reason, copy.duplicate_of) == ("exact duplicate", "letters/00.txt")
    assert original.id == "letters/00.txt"
    assert original.outcome != "dropped"
    edited = explain(made.output_dir, "notes/edited.txt")[0]
    assert (edited.reason, edited.duplicate_of) == ("near-duplicate", "letters/01.txt")
    assert 0.8 < edited.similarity < 1
    between = {(row["dropped"], row["kept"]) for row in made.report["doubles"]["between"]}
    assert between == {("notes", "letters")}
    pairs = [(pair["id"], pair["duplicate_of"]) for pair in made.report["doubles"]["pairs"]]
    assert sorted(pairs) == [
        ("notes/copy.txt", "letters/00.txt"), ("notes/edited.txt", "letters/01.txt"),
    ]  # fmt: skip


def test_personal_data_is_masked_and_said_so(made: Preparation) -> None:
    (entry,) = explain(made.output_dir, "notes/mail.txt")
    assert "masked.email" in entry.changes
    corpus = open_prepared(made.output_dir)
    (text,) = [d.text for d in corpus.documents(entry.outcome) if d.id == entry.id]
    assert "jane.miller@posthorn.net" not in text
    assert "today." in text


def test_broken_files_are_rejected_by_name(made: Preparation) -> None:
    (entry,) = explain(made.output_dir, "notes/broken.gz")
    assert (entry.outcome, entry.step) == ("dropped", "read")
    with zstandard.open(made.output_dir / "dropped.jsonl.zst", "rb") as file:
        dropped = [orjson.loads(line) for line in io.BytesIO(file.read())]
    assert {row["id"] for row in dropped} == {
        "notes/broken.gz", "notes/copy.txt", "notes/edited.txt",
    }  # fmt: skip
    assert all(row["reason"] and row["step"] for row in dropped)


def test_the_counts_add_up(made: Preparation) -> None:
    report = made.report
    documents = [step["documents"] for step in report["steps"]]
    assert documents == sorted(documents, reverse=True)
    assert documents[0] - documents[-1] == sum(r["documents"] for r in report["reasons"])
    kept = sum(counts["documents"] for counts in report["parts"].values())
    assert kept == documents[-1] == sum(row["documents"] for row in report["languages"])
    for source in report["sources"]:
        left = sum(counts["documents"] for counts in source["parts"].values())
        gone = sum(counts["documents"] for counts in source["dropped"].values())
        assert left + gone == source["read"]["documents"]
    assert sum(report["lengths"]["kept"]) == kept
    held = {part: counts["documents"] for part, counts in report["parts"].items()}
    assert held["validation"] >= 3
    assert held["test"] >= 3


def test_the_number_of_workers_changes_no_byte(
    sources: Path, made: Preparation, tmp_path: Path
) -> None:
    make(named(sources), tmp_path / "corpus", "workers=1")
    assert digests(tmp_path / "corpus") == digests(made.output_dir)


def test_shards_hold_the_same_documents(sources: Path, made: Preparation, tmp_path: Path) -> None:
    make(named(sources), tmp_path / "corpus", "shard_characters=5000")
    small, whole = open_prepared(tmp_path / "corpus"), open_prepared(made.output_dir)
    assert len(list((tmp_path / "corpus" / "train").iterdir())) > 5
    for part in ("train", "validation", "test"):
        assert list(small.documents(part)) == list(whole.documents(part))
    one = list(small.documents("train", "rows.jsonl"))
    assert one == [d for d in small.documents("train") if d.source == "rows.jsonl"]
    assert one[0].meta["url"].startswith("http://example.org/")
    assert small.fingerprint != whole.fingerprint


def test_adding_a_source_moves_nothing(sources: Path, made: Preparation, tmp_path: Path) -> None:
    make(named(sources)[:1], tmp_path / "one")
    before = {e.id: e.outcome for e in entries(tmp_path / "one")}
    after = {e.id: e.outcome for e in entries(made.output_dir)}
    assert before == {name: after[name] for name in before}


def test_a_finished_corpus_verifies_until_it_is_touched(made: Preparation, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(made.output_dir, folder)
    assert verify(folder).problems == []
    assert not (folder / "tinyforge" / "work").exists()
    shard = folder / "train" / "00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert verify(folder).problems == [
        "train/00000.parquet: changed, its SHA-256 is not the one in the manifest"
    ]
    with pytest.raises(ConditionError):
        verify(folder).require_sound()


def test_resuming_a_finished_corpus_changes_nothing(
    sources: Path, made: Preparation, caplog: pytest.LogCaptureFixture
) -> None:
    before = digests(made.output_dir)
    again = make(named(sources), made.output_dir, "workers=3", resume=True)
    assert again.report == made.report
    assert digests(made.output_dir) == before


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["seed=4"], "seed: the corpus was begun with 3"),
        (["clean.normal_form=NFKC"], "clean.normal_form: the corpus was begun with NFC"),
        (["split.by=documents"], "split.by: the corpus was begun with characters"),
    ],
)
def test_another_setting_is_refused(
    sources: Path, made: Preparation, overrides: list[str], expected: str
) -> None:
    with pytest.raises(SettingError) as caught:
        make(named(sources), made.output_dir, *overrides, resume=True)
    assert expected in str(caught.value)
    assert "--force" in str(caught.value)


def test_other_sources_are_refused(sources: Path, made: Preparation, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="made from other files"):
        make(named(sources)[:2], made.output_dir, resume=True)


class _StopError(Exception):
    pass


def _stop_at(stage: str) -> Any:
    def tell(step: Step) -> None:
        if step.stage == stage:
            raise _StopError

    return tell


@pytest.mark.parametrize("stage", ["read", "duplicates", "repeats", "write", "account"])
def test_stopped_in_any_stage_it_goes_on(
    sources: Path, made: Preparation, tmp_path: Path, stage: str
) -> None:
    output = tmp_path / "corpus"
    with pytest.raises(_StopError):
        make(named(sources), output, tell=_stop_at(stage))
    assert not is_prepared(output)
    with pytest.raises(FolderError, match="is not finished"):
        open_prepared(output)
    with pytest.raises(FolderError, match="--resume"):
        make(named(sources), output)
    with pytest.raises(SettingError, match="seed: the corpus was begun with 3"):
        make(named(sources), output, "seed=4", resume=True)
    make(named(sources), output, resume=True)
    assert digests(output) == digests(made.output_dir)


def test_a_changed_file_is_refused_by_name(sources: Path, tmp_path: Path) -> None:
    inside = tmp_path / "letters"
    shutil.copytree(sources / "letters", inside)
    output = tmp_path / "corpus"
    with pytest.raises(_StopError):
        make([inside], output, tell=_stop_at("duplicates"))
    text = (inside / "03.txt").read_text()
    for content, expected in (
        ("x" + text, "letters/03.txt: has changed"), (None, "letters/03.txt: was there"),
    ):  # fmt: skip
        if content is None:
            (inside / "03.txt").unlink()
        else:
            (inside / "03.txt").write_text(content)
        with pytest.raises(DataError) as caught:
            make([inside], output, resume=True)
        assert expected in str(caught.value)
    (inside / "03.txt").write_text(text)
    (inside / "new.txt").write_text(text)
    with pytest.raises(DataError, match=r"letters/(03|new).txt"):
        make([inside], output, resume=True)
    make([inside], output, force=True)
    assert is_prepared(output)
    assert verify(output).problems == []


def test_the_output_may_lie_within_a_source(sources: Path, tmp_path: Path) -> None:
    inside = tmp_path / "all"
    shutil.copytree(sources / "letters", inside)
    output = inside / "corpus"
    with pytest.raises(_StopError):
        make([inside], output, tell=_stop_at("write"))
    make([inside], output, resume=True)
    assert {entry.id for entry in entries(output)} == {f"all/{i:02d}.txt" for i in range(30)}


def test_what_is_not_ours_is_never_touched(sources: Path, tmp_path: Path) -> None:
    output = tmp_path / "thesis"
    output.mkdir()
    (output / "train").mkdir()
    (output / "train" / "mine.txt").write_text("years of work")
    for how in ({}, {"force": True}, {"resume": True}):
        with pytest.raises(FolderError, match="no prepared corpus"):
            make(named(sources), output, **how)
    model = tmp_path / "model"
    (model / "tinyforge").mkdir(parents=True)
    (model / "tinyforge" / "run.json").write_text("{}")
    with pytest.raises(FolderError, match="no prepared corpus"):
        make(named(sources), model, force=True)
    assert (output / "train" / "mine.txt").read_text() == "years of work"


def test_an_error_leaves_an_old_corpus_alone(
    sources: Path, made: Preparation, tmp_path: Path
) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(made.output_dir, folder)
    with pytest.raises(DataError):
        make([tmp_path / "absent"], folder, force=True)
    with pytest.raises(FolderError, match="already holds a finished corpus"):
        make(named(sources), folder)
    assert digests(folder) == digests(made.output_dir)


def test_mistakes_leave_nothing_behind(sources: Path, tmp_path: Path) -> None:
    for overrides, expected in (
        (["split.test_share=0.95"], "nothing is left to train on"),
        (["weights.leters=2"], "Did you mean 'letters'?"),
        (["clean.contamination=absent.jsonl"], "absent.jsonl"),
    ):
        with pytest.raises((SettingError, DataError)) as caught:
            make(named(sources), tmp_path / "corpus", *overrides)
        assert expected in str(caught.value)
        assert not (tmp_path / "corpus").exists()


def test_weights_are_recorded(sources: Path, tmp_path: Path) -> None:
    output = tmp_path / "corpus"
    make(named(sources), output, "weights.rows.jsonl=2.5", "weights.notes=0")
    assert open_prepared(output).weights == {"letters": 1.0, "notes": 0.0, "rows.jsonl": 2.5}


def test_nothing_left_says_why(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text("")
    (tmp_path / "short.txt").write_text("too short")
    with pytest.raises(DataError, match=r"no document is left of \d+ .*read: empty"):
        make([tmp_path], tmp_path.parent / "out")


def test_from_python(sources: Path, tmp_path: Path) -> None:
    done = tinyforge.prepare(
        sources / "letters", tmp_path / "corpus", workers=1, split={"test_share": 0.2}
    )
    assert done.result()["parts"]["test"]["documents"] >= 5
    assert "of 30 documents are kept" in done.summary()
    json.dumps(done.result())
    with pytest.raises(SettingError, match=r"Did you mean 'clean\.languages'"):
        tinyforge.prepare(sources, tmp_path / "other", langauges=["en"])


def test_a_prepared_corpus_refuses_what_it_does_not_hold(made: Preparation) -> None:
    corpus = open_prepared(made.output_dir)
    with pytest.raises(DataError, match="One of: train, validation, test"):
        corpus.documents("training")
    with pytest.raises(DataError, match=r"One of: letters, notes, rows\.jsonl"):
        corpus.documents("train", "leters")
    assert not is_prepared(made.output_dir / "train")
    with pytest.raises(FolderError, match="is no prepared corpus"):
        open_prepared(made.output_dir / "train")
