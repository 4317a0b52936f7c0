"""Which forms of a model are tried, in which order, and when layers are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinyforge.config.export import ExportSettings
from tinyforge.errors import DataError, ModelError
from tinyforge.export.gate.check import Check
from tinyforge.recipes import export_search
from tinyforge.recipes.export_gate import Gate, Passage
from tinyforge.recipes.export_search import Found, search
from tinyforge.records.examples import Example

PASSED = Passage([Check("metric", True, "kept")])


def refused(name: str) -> Passage:
    return Passage([Check("files", True, "fine"), Check(name, False, f"{name} is wrong")])


@dataclass(frozen=True)
class Scheme:
    name: str
    precision: str
    keep: tuple[str, ...] = ()


LADDER = (Scheme("a", "int4"), Scheme("b", "int8"), Scheme("full", "fp32"))


@dataclass
class Plays:
    """Stands for everything that makes and judges candidates.

    Attributes:
        outcome: what the gate says of a form, by its name and the number of its kept layers.
        sizes: bytes of a form, likewise.
    """

    outcome: dict[tuple[str, int], Passage] = field(default_factory=dict)
    ladder: Sequence[Scheme] = LADDER
    base: Passage = field(default_factory=lambda: Passage([Check("logits", True, "fine")]))
    broken: tuple[str, ...] = ()
    spoil: bool = False
    layers: Any = (("worst", 3.0), ("bad", 2.0), ("fair", 1.0), ("good", 0.1))
    sizes: dict[tuple[str, int], int] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)

    def write_graphs(self, model: Any, folder: Path) -> None:
        folder.mkdir()
        (folder / "model.onnx").write_text("fp32 0")

    def quantize(self, source: Path, target: Path, scheme: Any, **_: Any) -> None:
        if scheme.name in self.broken:
            raise ModelError("cannot be made")
        target.mkdir()
        (target / "model.onnx").write_text(f"{scheme.name} {len(scheme.keep)}")
        (target / "weights").write_bytes(bytes(self.sizes.get((scheme.name, len(scheme.keep)), 0)))

    def sensitivity(self, source: Path, scheme: Any, rows: Any) -> Any:
        self.looked.append(f"sensitivity {scheme.name}")
        if isinstance(self.layers, Exception):
            raise self.layers
        return self.layers

    def pass_graphs(
        self, gate: Any, folder: Path, *, whole: bool = True, base: Path | None = None
    ) -> Passage:
        name, count = (folder / "model.onnx").read_text().split()
        if not whole:
            return self.base
        self.looked.append(f"{name} {count}")
        assert (base is None) == (name in ("fp32", "full"))
        if self.spoil:
            (folder / "model.onnx").write_text("other")
        return self.outcome.get((name, int(count)), PASSED)


@pytest.fixture
def plays(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plays]:
    found = Plays()
    for name in ("write_graphs", "quantize", "sensitivity", "pass_graphs"):
        monkeypatch.setattr(export_search, name, getattr(found, name))
    monkeypatch.setattr(export_search, "schemes", lambda precision, record: found.ladder)
    monkeypatch.setattr(export_search, "read_record", lambda folder: None)
    return found


def go(tmp_path: Path, **settings: Any) -> tuple[Found, list[str]]:
    chosen = ExportSettings(**{"precision": "auto", **settings})
    judging: Any = SimpleNamespace(calibration=[Example(input="x")])
    source: Any = SimpleNamespace()
    told: list[str] = []
    (tmp_path / "work").mkdir()
    return search(Gate(source, judging, chosen), tmp_path / "work", told.append), told


def test_the_smallest_that_holds_is_taken(plays: Plays, tmp_path: Path) -> None:
    found, _ = go(tmp_path)
    assert plays.looked == ["a 0"]
    assert found.folder is not None
    assert (found.folder / "model.onnx").read_text() == "a 0"
    assert [each.problem for each in found.tried] == [""]


def test_without_a_smaller_form_the_graphs_are_it(plays: Plays, tmp_path: Path) -> None:
    found, _ = go(tmp_path, precision="fp32")
    assert plays.looked == ["fp32 0"]
    assert found.folder == tmp_path / "work" / "fp32"


def test_layers_are_left_out_then_the_next_scheme_is_tried(plays: Plays, tmp_path: Path) -> None:
    plays.outcome = {("a", n): refused("metric") for n in range(9)}
    plays.outcome |= {("b", 0): refused("logits"), ("b", 1): refused("metric")}
    found, told = go(tmp_path, left_out=4)
    assert plays.looked == [
        "a 0", "sensitivity a", "a 1", "a 2", "a 4", "b 0", "sensitivity b", "b 1", "b 2",
    ]  # fmt: skip
    assert found.tried[-1].keep == ("worst", "bad")
    assert [each.scheme for each in found.tried] == ["a"] * 4 + ["b"] * 3
    assert sum(line.startswith("refused: ") for line in told) == 6
    assert "b with 2 layers left as they are" in told[-1]


def test_what_layers_cannot_mend_goes_straight_on(plays: Plays, tmp_path: Path) -> None:
    plays.outcome = {("a", 0): refused("fresh")}
    go(tmp_path)
    assert plays.looked == ["a 0", "b 0"]


def test_auto_ends_with_the_graphs_as_they_are(plays: Plays, tmp_path: Path) -> None:
    plays.outcome = {(name, n): refused("metric") for name in "ab" for n in range(9)}
    found, _ = go(tmp_path, left_out=0)
    assert plays.looked == ["a 0", "b 0", "fp32 0"]
    assert found.folder is not None
    assert found.tried[-1].precision == "fp32"


def test_a_form_with_layers_left_out_gives_way_to_a_smaller_one(
    plays: Plays, tmp_path: Path
) -> None:
    plays.ladder = (Scheme("a", "int4"), Scheme("b", "int8"), Scheme("c", "fp16"), LADDER[-1])
    plays.outcome = {("a", n): refused("metric") for n in (0, 1, 2)} | {("b", 0): refused("metric")}
    plays.sizes = {("a", 4): 900, ("b", 0): 500, ("b", 1): 600, ("c", 0): 1000}
    found, _ = go(tmp_path, left_out=4)
    assert plays.looked == [
        "a 0", "sensitivity a", "a 1", "a 2", "a 4", "b 0", "sensitivity b", "b 1",
    ]  # fmt: skip
    assert found.folder is not None
    assert (found.folder / "model.onnx").read_text() == "b 1"
    assert found.passage.problem is None
    told = [(each.scheme, len(each.keep), each.problem) for each in found.tried]
    assert told[3:] == [
        ("b", 0, "metric is wrong"), ("a", 4, "b holds, and is smaller"),
        ("c", 0, "no smaller than b, which holds"), ("b", 1, ""),
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["candidate-5", "fp32"]


def test_what_is_no_smaller_is_not_taken_to_the_gate(plays: Plays, tmp_path: Path) -> None:
    plays.ladder = (*LADDER[:2], Scheme("c", "fp16"), LADDER[-1])
    plays.outcome = {("a", 0): refused("metric")}
    plays.sizes = {("a", 1): 100, ("b", 0): 200, ("c", 0): 50}
    plays.outcome |= {("c", 0): refused("metric")}
    found, _ = go(tmp_path)
    assert plays.looked == ["a 0", "sensitivity a", "a 1", "c 0"]
    assert found.folder is not None
    assert (found.folder / "model.onnx").read_text() == "a 1"
    assert found.passage.passed
    assert [(each.scheme, each.problem) for each in found.tried[1:]] == [
        ("b", "no smaller than a, which holds"), ("c", "metric is wrong"), ("a", ""),
    ]  # fmt: skip


def test_a_precision_that_was_asked_for_ends_with_the_first_that_holds(
    plays: Plays, tmp_path: Path
) -> None:
    plays.ladder = LADDER[:2]
    plays.outcome = {("a", 0): refused("metric")}
    plays.sizes = {("a", 1): 900}
    found, _ = go(tmp_path, precision="int8")
    assert plays.looked == ["a 0", "sensitivity a", "a 1"]
    assert found.tried[-1].keep == ("worst",)


def test_nothing_that_was_refused_is_left(plays: Plays, tmp_path: Path) -> None:
    plays.outcome = {(n, k): refused("metric") for n in ("a", "b", "fp32") for k in range(9)}
    found, _ = go(tmp_path, left_out=1)
    assert found.folder is None
    assert found.passage.problem is not None
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["fp32"]


def test_graphs_that_are_not_the_source_are_not_made_smaller(plays: Plays, tmp_path: Path) -> None:
    plays.base = refused("reading")
    found, _ = go(tmp_path, precision="int8")
    assert plays.looked == []
    assert found.folder is None
    assert found.tried[0].problem == "reading is wrong"


def test_a_form_that_cannot_be_made_is_passed_over(plays: Plays, tmp_path: Path) -> None:
    plays.broken = ("a",)
    found, _ = go(tmp_path)
    assert plays.looked == ["b 0"]
    assert found.tried[0].problem == "cannot be made"


def test_layers_that_cannot_be_told_apart_are_no_end(plays: Plays, tmp_path: Path) -> None:
    plays.outcome = {("a", 0): refused("metric")}
    plays.layers = DataError("no rows")
    found, _ = go(tmp_path)
    assert found.tried[-1].scheme == "b"


def test_files_that_change_while_they_are_judged_are_refused(plays: Plays, tmp_path: Path) -> None:
    plays.spoil = True
    found, _ = go(tmp_path, precision="fp32")
    assert found.folder is None
    assert "model.onnx changed on the disk" in found.tried[0].problem
