"""Golden answers: kept, read back, asked again, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinyforge.artifacts.export_folder import GOLDEN
from tinyforge.errors import FolderError
from tinyforge.export.gate.answers import Chosen, check_answers, choose
from tinyforge.export.gate.golden import (
    Golden,
    ask,
    differing,
    golden_of,
    plain,
    read_golden,
    write_golden,
)
from tinyforge.export.gate.logits import Said
from tinyforge.export.gate.reference import Steps
from tinyforge.records.examples import Example, Message
from tinyforge.records.predictions import Prediction

CHAT = Example(input="hi", messages=(Message("system", "be kind"), Message("user", "hi")))


class Echo:
    """Answers every text with itself and its length limit."""

    def __init__(self, *, beside: bool = False) -> None:
        self.asked: list[int] = []
        self._beside = beside

    def predict_examples(self, examples: Sequence[Example], **options: Any) -> list[Prediction]:
        self.asked.append(len(examples))
        size = len(examples) if self._beside else ""
        most = options.get("max_new_tokens")
        return [Prediction(f"{e.input}{most}{size}", 0.9, finish_reason="stop") for e in examples]


def kept(example: Example, most: int | None = 8) -> Golden:
    answer = Prediction("ja\n", 0.75, labels=(), finish_reason="stop")
    return golden_of(example, answer, max_new_tokens=most, precision="fp32")


def test_they_come_back_as_they_were(tmp_path: Path) -> None:
    labels = golden_of(
        Example(input="Zoë 🙂\u2028"), Prediction("a, b", None, labels=("a", "b")),
        max_new_tokens=None, precision="int8",
    )  # fmt: skip
    golden = [kept(CHAT), kept(Example(input="")), labels]
    write_golden(tmp_path, golden)
    assert read_golden(tmp_path) == golden
    assert (tmp_path / GOLDEN).read_bytes().count(b"\n") == 3
    again = golden[0].example(1)
    assert again.messages == CHAT.messages


@pytest.mark.parametrize("content", [b"{", b"[]\n", b'{"given": {}}\n', b"\xff\n", None])
def test_damaged_ones_are_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tinyforge").mkdir()
        (tmp_path / GOLDEN).write_bytes(content)
    with pytest.raises(FolderError, match=r"golden\.jsonl"):
        read_golden(tmp_path)


def test_texts_of_one_length_are_asked_together() -> None:
    rows = [Example(input=f"t{n}") for n in range(4)]
    golden = [kept(rows[0], 8), kept(rows[1], 8), kept(rows[2], 5), kept(rows[3], None)]
    model = Echo()
    assert [a.output for a in ask(model, golden)] == ["t08", "t18", "t25", "t3None"]
    assert model.asked == [2, 1, 1]


def test_every_difference_is_a_line() -> None:
    golden = [replace(kept(Example(input=str(n))), output="a", labels=("a",)) for n in range(4)]
    same = {"output": "a", "labels": ["a"], "finish_reason": "stop", "confidence": 0.7501}
    assert differing(golden, [same] * 4) == []
    answers = [
        same | {"output": "b"},
        same | {"finish_reason": "length"},
        same | {"confidence": 0.8},
        same,
    ]
    lines = differing(golden, answers)
    assert [line.partition(": ")[0] for line in lines] == [f"{GOLDEN}:{n}" for n in (1, 2, 3)]
    assert "'b' instead of 'a'" in lines[0]
    assert differing(golden, [same]) == ["1 answers instead of 4"]
    assert differing(golden[:1], [same | {"confidence": None}])
    assert differing(golden[:1], [same | {"labels": ["b"]}])


def said(labels: Any) -> Said:
    rows = [Example(input=f"row {n}") for n in range(len(labels))]
    return Said(rows, np.asarray(labels, dtype=np.float32), [], None)


def test_rows_are_chosen_whose_answer_is_clear_and_the_sources() -> None:
    logits = np.array([[9, 0], [0.01, 0], [9, 0], [0, 9], [9, 0], [0, 9]], dtype=np.float32)
    source = logits.copy()
    source[2] = [0, 9]
    task = SimpleNamespace(multi_label=False)
    found = choose(said(source), logits, task, "fp32", 2, rows=4)
    assert (found.rows, found.clear) == ([0, 3, 4, 5], True)
    found = choose(said(source), logits, task, "fp32", 0, rows=4)
    assert not found.clear
    assert set(found.rows) <= {4, 5}


def test_sets_of_labels_must_lie_off_their_threshold() -> None:
    logits = np.array([[4, -4], [0.001, -4], [4, 4], [-4, -4]], dtype=np.float32)
    task = SimpleNamespace(multi_label=True, threshold=0.5)
    found = choose(said(logits), logits, task, "fp32", 8, rows=4)
    assert (found.rows, found.clear) == ([0, 2, 3], True)


def test_written_answers_are_kept_up_to_where_they_come_near_a_tie() -> None:
    def step(row: int, close: int | None, *, whole: bool = True) -> Steps:
        logits = np.zeros((9, 5), dtype=np.float32)
        logits[:, 1] = 5
        if close is not None:
            logits[close, 1] = 0.001
        return Steps(np.array([1]), np.ones(9, dtype=np.int64), logits, None, row, whole)

    steps = [step(0, None), step(1, 2), step(2, None, whole=False), step(3, 7), step(4, 6)]
    rows = [Example(input=str(n)) for n in range(5)]
    exported = np.concatenate([each.logits for each in steps])
    asked = Said(rows, None, steps, 12)
    found = choose(asked, exported, SimpleNamespace(), "fp32", 5, rows=5)
    assert (found.rows, found.rooms, found.clear) == ([0, 3, 4], [12, 7, 6], True)
    exported[9 * 3 + 1, 2] = 9  # the exported model says something else here
    found = choose(asked, exported, SimpleNamespace(), "fp32", 5, rows=5)
    assert not found.clear


def test_answers_must_be_the_sources_and_not_depend_on_their_neighbours() -> None:
    rows = said([[1, 0]] * 3)
    every, first = Chosen([0, 1, 2], [None] * 3, True), Chosen([0], [None], True)
    check, golden = check_answers(Echo(), Echo(), rows, every, "fp32")
    assert check.passed
    assert [each.output for each in golden] == ["row 0None", "row 1None", "row 2None"]
    check, _ = check_answers(Echo(), Echo(beside=True), rows, every, "fp32")
    assert "depends on the rows beside it" in check.sentence

    class Other(Echo):
        def predict_examples(self, examples: Any, **options: Any) -> list[Prediction]:
            found = super().predict_examples(examples, **options)
            return [replace(answer, finish_reason="length") for answer in found]

    check, _ = check_answers(Echo(), Other(), rows, first, "fp32")
    assert "finish_reason 'length' instead of 'stop'" in check.sentence
    assert check_answers(Echo(), Other(), rows, replace(first, clear=False), "fp32")[0].passed


def test_a_model_that_fails_is_refused() -> None:
    class Broken:
        def predict_examples(self, examples: Any, **options: Any) -> list[Prediction]:
            raise RuntimeError("no\nkernel")

    check, golden = check_answers(
        Echo(), Broken(), said([[1, 0]]), Chosen([0], [None], True), "fp32"
    )
    assert not check.passed
    assert "no kernel" in check.sentence
    assert golden == []


def test_plain_answers_are_json() -> None:
    [found] = plain([Prediction("a", 0.5, labels=("a",))])
    assert found == {"output": "a", "labels": ["a"], "finish_reason": "label", "confidence": 0.5}
