"""Rows from file to split: counts add up, leaks are found, mistakes are named."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyforge.config.data import DataSettings
from tinyforge.data.dataset import Dataset, load_dataset
from tinyforge.data.survey import survey
from tinyforge.errors import DataError

WORDS = ("ember", "lamp", "river", "stone", "cloud", "maple", "quiet", "orbit", "velvet", "meadow")


def sentence(chance: random.Random, length: int = 14) -> str:
    return " ".join(chance.choice(WORDS) + str(chance.randrange(100)) for _ in range(length))


def labelled(count: int, seed: int = 0) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [{"text": sentence(chance), "label": "ab"[i % 2]} for i in range(count)]


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Dataset]:
    def loading(source: Any, task: str = "classify", seed: int = 0, **values: Any) -> Dataset:
        settings = DataSettings(**values)
        columns = survey(source, settings).columns
        rejected = tmp_path / "rejected.jsonl"
        return load_dataset(
            source, columns, task, settings, seed=seed, work=tmp_path / "work", rejected=rejected
        )

    return loading


def save(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_counts_add_up_and_rejects_are_written(load: Any, tmp_path: Path) -> None:
    rows: list[Any] = labelled(100)
    rows[10] = {"text": "", "label": "a"}
    rows[20] = {"text": "x"}
    rows[30] = [1]
    path = save(tmp_path / "a.jsonl", rows)
    with path.open("a") as file:
        file.write('{"text": "broken\n{"text": "\\ud800", "label": "a"}\n')
    data = load(path)
    report = data.report
    assert (report.read, report.kept, report.rejected) == (102, 97, 5)
    assert sum(report.reasons.values()) == 5
    lines = [json.loads(x) for x in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert [line["line"] for line in lines] == [11, 21, 31, 101, 102]
    assert all(set(x) == {"file", "line", "reason", "detail", "excerpt"} for x in lines)
    parts = np.concatenate([data.train, data.validation, data.test])
    assert sorted(parts.tolist()) == list(range(97))
    assert report.split == {"train": 77, "validation": 10, "test": 10, "dropped": 0}
    assert data.labels == ("a", "b")
    assert data.store[int(data.test[0])].source.file == str(path)
    orjson.dumps(report.as_dict())


def test_many_rows_are_not_held_out_for_nothing(load: Any) -> None:
    rows = labelled(6_000)
    assert load(rows).report.split == {"train": 4_900, "validation": 500, "test": 600, "dropped": 0}
    asked = load(rows, validation_share=0.1).report.split
    assert (asked["validation"], asked["test"]) == (600, 600)


def test_too_many_rejects_stop_with_the_commonest_reason(load: Any, tmp_path: Path) -> None:
    rows: list[Any] = labelled(40)
    for i in range(5, 30):
        rows[i] = {"text": None, "label": "a"}
    path = save(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match=r"a\.jsonl:6: 25 of 40 rows.*25 of them: empty input"):
        load(path)
    assert load(path, max_rejected_share=1.0).report.kept == 15
    with pytest.raises(DataError, match="only 15 of 40 rows can be used"):
        load(path, max_rejected_share=1.0, min_rows=16)


def test_near_duplicates_stay_together(load: Any) -> None:
    chance = random.Random(1)
    rows = []
    for number in range(150):
        text = sentence(chance, 20)
        label = "ab"[number % 2]
        rows.append({"text": text, "label": label, "of": number})
        rows.append({"text": text.upper() + "  ", "label": label, "of": number})
        rows.append({"text": text.replace("ember", "EMBER!", 1), "label": label, "of": number})
    data = load(rows)
    where = {}
    for part in ("train", "validation", "test"):
        for index in data.part(part):
            number = rows[int(index)]["of"]
            assert where.setdefault(number, part) == part
    assert data.report.duplicate_inputs >= 150
    assert len(data.test) == pytest.approx(45, abs=3)


def test_conflicting_labels_are_reported(load: Any) -> None:
    rows = [*labelled(50), {"text": "Same text here", "label": "a"}]
    rows += [{"text": "same  TEXT here", "label": "b"}, {"text": "same text here", "label": "b"}]
    found = load(rows).report.conflicts
    assert (found.inputs, found.rows) == (1, 3)
    assert found.examples[0]["labels"] == ["a", "b"]
    assert found.examples[0]["where"] == ["<list>:51", "<list>:52", "<list>:53"]


def test_leaks_of_a_given_test_file(load: Any, tmp_path: Path) -> None:
    rows = labelled(100)
    exact = [dict(row) for row in rows[:3]]
    near = [{**rows[5], "text": rows[5]["text"] + " more"}]
    path = save(tmp_path / "test.jsonl", [*exact, *near, *labelled(20, seed=9)])
    data = load(rows, test=str(path))
    leak = data.report.leaks[0]
    assert (leak.part, leak.rows, leak.exact, leak.near) == ("test", 24, 3, 1)
    assert leak.sentence() in data.report.notes
    assert leak.sentence().startswith("4 of 24 test rows also stand in the training data")
    assert data.report.split == {"train": 86, "validation": 10, "test": 24, "dropped": 4}
    assert not set(data.train.tolist()) & {0, 1, 2, 5}
    kept = load(rows, test=str(path), keep_leaks=True)
    assert kept.report.split["dropped"] == 0
    assert kept.report.leaks[0].exact == 3


def test_labels_only_in_the_test_are_noted(load: Any, tmp_path: Path) -> None:
    path = save(tmp_path / "test.jsonl", [{"text": "quite another thing", "label": "c"}])
    data = load(labelled(60), test=str(path))
    assert data.labels == ("a", "b")
    assert any("never stand in training: c (1 rows)" in note for note in data.report.notes)


def told_of(data: Dataset, part: str, label: str) -> str:
    """What is said about a label that a part lacks."""
    (sentence,) = (
        each.sentence
        for each in data.report.absent_labels
        if each.part == part and label in each.labels
    )
    assert sentence in data.report.notes
    return sentence


def test_a_template_for_each_label_is_explained(load: Any) -> None:
    """All rows of a label come from one template: they cannot be on both sides."""
    chance = random.Random(1)
    rows = [{**row, "label": "usual"} for row in labelled(300)]
    for label in ("refund", "parcel"):
        template = sentence(chance, 20)
        rows += [{"text": f"{template} {i}", "label": label} for i in range(30)]
    data = load(rows)
    learnt, asked = data.report.labels["train"], data.report.labels["test"]
    assert (learnt["refund"], learnt["parcel"]) == (30, 30)
    assert (asked["refund"], asked["parcel"]) == (0, 0)
    (absent,) = data.report.absent_labels
    assert (absent.part, absent.labels, absent.rows) == ("test", ["parcel", "refund"], 60)
    said = told_of(data, "test", "refund")
    assert "near-duplicates of one another" in said
    assert "--set data.near_duplicate=1" in said
    kept = {row["text"] for row in rows if row["label"] == "refund"}
    assert {data.store[int(i)].input for i in data.train} >= kept
    spread = load(rows, near_duplicate=1.0)
    assert spread.report.absent_labels == []
    assert min(spread.report.labels["test"].values()) > 0


def test_templates_that_hold_several_labels_leave_each_something_to_learn(load: Any) -> None:
    """One word in a long template decides: its near-duplicates have two labels."""
    chance = random.Random(2)
    rows = [{**row, "label": "usual"} for row in labelled(260)]
    for _ in range(2):
        template = sentence(chance, 40)
        for i in range(9):
            rows.append({"text": f"{template} {i}", "label": "usual"})
        rows.append({"text": f"{template} not", "label": "rare"})
    counts = []
    for seed in (*range(12), 53):  # with the last one, all rare rows would be held out
        data = load(rows, seed=seed)
        assert data.report.labels["train"]["rare"] > 0
        assert not any(each.part == "train" for each in data.report.absent_labels)
        counts.append(data.report.labels["test"]["rare"])
        if not counts[-1]:
            assert "too few rows" in told_of(data, "test", "rare")
    assert 1 in counts


def test_why_a_label_is_not_learnt_is_told(load: Any, tmp_path: Path) -> None:
    rows = [*labelled(100), {"text": "where is the grey parcel of mine", "label": "once"}]
    exam = save(tmp_path / "exam.jsonl", [rows[-1], *labelled(20, seed=4)])
    data = load(rows, test=str(exam))
    said = told_of(data, "train", "once")
    assert "like rows of the given file" in said
    assert "data.keep_leaks=true" in said
    kept = load(rows, test=str(exam), keep_leaks=True)
    assert not any(each.part == "train" for each in kept.report.absent_labels)
    exam = save(tmp_path / "exam.jsonl", [{"text": "quite another thing", "label": "A"}])
    data = load(rows, test=str(exam))
    assert "spelt the same in both files" in told_of(data, "train", "A")
    assert "the given test file has none" in told_of(data, "test", "a")
    rows = [{**row, "when": f"2024-01-{i // 10 + 1:02}"} for i, row in enumerate(labelled(200))]
    rows[-1]["label"] = "new"
    rows[0]["label"] = "old"
    data = load(rows, time="when")
    assert "newest rows only (data.time=when)" in told_of(data, "train", "new")
    assert "none is among the newest rows" in told_of(data, "test", "old")


def test_groups_and_times_are_honoured(load: Any) -> None:
    rows = [
        {**row, "who": f"w{i // 5}", "when": f"2024-01-{i % 28 + 1:02}"}
        for i, row in enumerate(labelled(200))
    ]
    data = load(rows, group="who")
    groups = [{rows[int(i)]["who"] for i in data.part(p)} for p in ("train", "validation", "test")]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert len(data.test) >= 10
    data = load(rows, time="when")
    latest = max(rows[int(i)]["when"] for i in data.train)
    assert all(rows[int(i)]["when"] >= latest for i in data.test)


def test_multi_label(load: Any) -> None:
    rows = [{**r, "label": [r["label"], "c"] if i % 3 else []} for i, r in enumerate(labelled(90))]
    for row in rows:
        row["labels"] = row.pop("label")
    data = load(rows)
    assert data.multi_label
    assert data.labels == ("a", "b", "c")
    counts = data.report.labels
    assert sum(part["c"] for part in counts.values()) == 60


def test_free_text_is_not_labels(load: Any) -> None:
    chance = random.Random(0)
    rows = [{"input": sentence(chance), "output": sentence(chance)} for _ in range(150)]
    with pytest.raises(DataError, match=r"too many to be labels.*--task text2text"):
        load(rows)
    with pytest.raises(DataError, match="only one label, 'a'"):
        load([{"text": sentence(chance), "label": "a"} for _ in range(30)])


def test_a_small_question_and_answer_bot(load: Any) -> None:
    rows = [{"input": f"question number {i}?", "output": f"Answer {i}!"} for i in range(3)]
    data = load(rows)
    assert len(data.train) == 3
    assert len(data.labels) == 3
    assert any("fewer than 20" in note for note in data.report.notes)


def test_plain_text_is_split_at_its_end(load: Any, tmp_path: Path) -> None:
    chance = random.Random(0)
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(sentence(chance, 60) for _ in range(400)))
    data = load(path, "language-model")
    assert data.train.max() < data.validation.min()
    assert data.validation.max() < data.test.min()
    assert data.store[0].input == ""


def test_repeatable_and_fingerprinted(load: Any) -> None:
    rows = labelled(120)
    first, again, other = load(rows), load(rows), load(rows, seed=1)
    assert first.test.tolist() == again.test.tolist() != other.test.tolist()
    assert first.report.fingerprint == again.report.fingerprint != other.report.fingerprint
    changed = load([{**rows[0], "text": "changed"}, *rows[1:]])
    assert changed.report.fingerprint != first.report.fingerprint


def test_for_judging_all_rows_are_taken(tmp_path: Path) -> None:
    rows = [{"text": "x y z", "label": "a"}] * 30
    columns = survey(rows, DataSettings()).columns
    data = load_dataset(
        rows, columns, "classify", DataSettings(), seed=0, work=tmp_path, training=False
    )
    assert len(data.train) == 30
    assert data.labels == ("a",)


LINES = st.lists(
    st.sampled_from(
        [b'{"input": "%d", "output": "b"}' % i for i in range(5)]
        + [b'{"input": "", "output": "b"}', b'{"input": 1}', b"[]", b"{", b"\xff\xfe\xff", b"",
           b'{"input": "\\u0000", "output": "b"}', b'{"input": "\\ud83d", "output": "x"}']
    ) | st.binary(max_size=12),
    max_size=40,
)  # fmt: skip


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=LINES, suffix=st.sampled_from(["jsonl", "csv"]))
def test_counts_add_up_for_any_bytes(tmp_path: Path, lines: list[bytes], suffix: str) -> None:
    path = tmp_path / f"fuzz.{suffix}"
    head = b'{"input": "a", "output": "b"}' if suffix == "jsonl" else b"input,output\na,b"
    path.write_bytes(b"\n".join([head, *lines]))
    settings = DataSettings(max_rejected_share=1.0, min_rows=1)
    rejected = tmp_path / "rejected.jsonl"
    try:
        columns = survey(path, settings).columns
        data = load_dataset(
            path, columns, "text2text", settings, seed=0, work=tmp_path / "w", rejected=rejected
        )
    except DataError:
        return
    report = data.report
    assert report.read == report.kept + report.rejected
    assert report.kept == len(data.store) == sum(report.split.values())
    written = [json.loads(line) for line in rejected.read_bytes().splitlines()]
    assert len(written) == report.rejected == sum(report.reasons.values())
