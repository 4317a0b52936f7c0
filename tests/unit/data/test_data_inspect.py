"""What inspect finds and shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinyforge.config.data import DataSettings
from tinyforge.data.dataset import load_dataset
from tinyforge.data.inspect import Inspection, inspect
from tinyforge.data.survey import survey
from tinyforge.records.examples import Example

TEXTS = ("red fox {} ran over hills number {} today", "blue cat {} slept under tree {} at night")


def look(tmp_path: Path, task_name: str, task: Any = None, **values: Any) -> Inspection:
    rows: list[Any] = [
        {"text": TEXTS[i % 2].format(i * i, i * 7), "label": "ab"[i % 2]} for i in range(100)
    ]
    rows += [dict(rows[0]), {**rows[2], "label": "b"}, {"text": "", "label": "a"}]
    rows.append({"text": "long " * 90, "label": "a"})
    settings = DataSettings(near_duplicate=1.0, **values)
    seen = survey(rows, settings)
    data = load_dataset(rows, seen.columns, task_name, settings, seed=0, work=tmp_path)
    return inspect(data, seen, task=task, settings=settings, why="because")


def test_without_a_tokenizer_words_are_counted(tmp_path: Path) -> None:
    found = look(tmp_path, "classify")
    plain = found.to_json()
    json.dumps(plain)
    facts = plain["lengths"][0]
    assert (facts["unit"], facts["longest"], facts["rows"]) == ("words", 90, 103)
    assert sum(count for _, count in facts["histogram"]) == 103
    assert facts["cuts"][0] == {"length": 16, "rows": 1, "first": "<list>:104"}
    text = found.render()
    for piece in (
        "understood as text/label",
        "because",
        "104 read, 103 kept, 1 rejected",
        "rejected 1: empty input",
        "<list>:103",
        "2 labels in the training rows",
        "conflicting labels: 1 inputs",
        "rows that repeat an earlier row: 1",
        "a limit of 64 would cut 1 rows, the first at <list>:104",
    ):
        assert piece in text


def test_xray_of_an_encoder_decoder(tmp_path: Path, fake_task: Any) -> None:
    task = fake_task()
    found = look(tmp_path, "text2text", task, max_length=64)
    sample = found.samples[0]
    assert sample.text.startswith("<red fox 0")
    assert sample.answer_start is not None
    assert sample.tokens[sample.answer_start :] == ["a", "</s>"]
    assert sample.learnt[sample.answer_start :] == [True, True]
    assert not any(sample.learnt[: sample.answer_start])
    assert sample.ends is True
    assert found.limits is not None
    assert found.limits["cut_inputs"] == 1
    assert "[a] [</s>]" in found.render()
    assert "end token learnt: yes" in found.render()


def test_xray_of_a_decoder_shows_a_missing_end(tmp_path: Path, fake_task: Any) -> None:
    task = fake_task(family="decoder")
    whole = type(task)._encode

    def without_end(self: Any, example: Example) -> Any:
        encoded = whole(self, example)
        return type(encoded)(encoded.input_ids[:-1], encoded.labels[:-1])

    task._encode = without_end.__get__(task)
    sample = look(tmp_path, "text2text", task).samples[0]
    assert sample.ends is False
    assert sample.learnt.count(True) == 1
    assert sample.tokens[-1] == "a"


def test_xray_of_a_classifier(tmp_path: Path, fake_task: Any) -> None:
    found = look(tmp_path, "classify", fake_task("classify", "encoder"))
    assert found.samples[0].labels == ["a"]
    assert found.samples[0].ends is None
    assert "to learn: a" in found.render()


def test_render_of_leaks_and_rejects_of_files(tmp_path: Path) -> None:
    rows = [{"text": f"row number {i} has words {i * i}", "label": "ab"[i % 2]} for i in range(40)]
    test = tmp_path / "test.jsonl"
    test.write_text(json.dumps(rows[0]) + "\n")
    settings = DataSettings(test=str(test))
    seen = survey(rows, settings)
    data = load_dataset(rows, seen.columns, "classify", settings, seed=0, work=tmp_path / "w")
    text = inspect(data, seen).render()
    assert "leaks: 1 of 1 test rows also stand in training (1 exactly, 0 nearly)" in text
    assert f"such as {test}:1" in text


@pytest.mark.parametrize("name", ["sms_spam_train", "goemotions_dev"])
def test_on_real_rows(tmp_path: Path, shared_folder: Path, name: str) -> None:
    path = shared_folder / "data" / "cls" / f"{name}.jsonl.gz"
    seen = survey(path, DataSettings())
    data = load_dataset(path, seen.columns, "classify", DataSettings(), seed=0, work=tmp_path)
    report = data.report
    assert report.rejected == 0
    assert report.duplicate_inputs > 0
    assert report.split["test"] == pytest.approx(report.kept / 10, rel=0.02)
    assert "Labels" in inspect(data, seen).render()
