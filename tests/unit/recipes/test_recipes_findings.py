"""A run that looks for everything: a threshold, wrong labels, rows out of scope, a curve."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tinyforge.config.load import load_settings
from tinyforge.errors import DataError, FolderError
from tinyforge.evaluate.findings.thresholds import Threshold
from tinyforge.evaluate.run import evaluate
from tinyforge.inference.torch_model import TorchModel
from tinyforge.recipes.findings import findings_of_file, training_rows
from tinyforge.recipes.label_errors import label_errors
from tinyforge.recipes.setup import set_up
from tinyforge.recipes.train import train

SMALL = {
    "model.name": "scratch:bert-tiny",
    "model.shape": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    "train.max_steps": 80,
    "train.learning_rate": 3e-3,
    "evaluate.bootstrap_samples": 200,
}
WORDS = ["apple", "river", "stone", "cloud", "garden", "window", "paper", "music", "winter", "sun"]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def labelled(count: int, seed: int = 0) -> list[dict[str, str]]:
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        label = rng.choice(["yes", "no"])
        words = " ".join(rng.choices(WORDS, k=6))
        rows.append({"text": f"{'good' if label == 'yes' else 'bad'} {words} {number}"} | {
            "label": label
        })  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("findings")
    rows = labelled(400)
    for row in rows[::40]:
        row["label"] = {"yes": "no", "no": "yes"}[row["label"]]
    data = write(folder / "rows.jsonl", rows)
    outside = write(folder / "outside.jsonl", [{"text": f"zebra {i}"} for i in range(30)])
    settings = load_settings(None, (), {
        **SMALL, "evaluate.learning_curve": True, "evaluate.target_accuracy": 0.7,
        "evaluate.label_errors": True, "evaluate.out_of_scope": str(outside),
    })  # fmt: skip
    done = train(str(data), settings=settings, output_dir=folder / "run")
    return folder, done.report


def test_everything_is_in_the_report(run: tuple[Path, dict[str, Any]]) -> None:
    folder, report = run
    found = report["findings"]
    made = ("power", "slices", "errors", "leaks", "label_errors", "abstention", "out_of_scope",
            "gap", "learning_curve")  # fmt: skip
    assert [name for name in made if not found[name]] == []
    assert found["forgetting"] is None
    assert found["out_of_scope"]["outside"] == 30
    assert {score["name"] for score in found["out_of_scope"]["scores"]} == {
        "probability", "entropy", "energy",
    }  # fmt: skip
    assert found["leaks"]["exact"] == 0
    saved = Threshold.load(folder / "run")
    assert saved is not None
    assert found["abstention"]["chosen"]["value"] == saved.value
    lines = (folder / "run" / "tinyforge" / "label_errors.jsonl").read_text().splitlines()
    assert len(lines) == found["label_errors"]["suspected"] > 0


def test_the_learning_curve_is_of_parts_of_the_rows(run: tuple[Path, dict[str, Any]]) -> None:
    folder, report = run
    curve = report["findings"]["learning_curve"]
    whole = report["training"]["train_examples"]
    assert [point["rows"] for point in curve["points"]] == [
        round(whole / 8), round(whole / 4), round(whole / 2), whole,
    ]  # fmt: skip
    kept = sorted(p.name for p in (folder / "run" / "tinyforge" / "learning_curve").glob("*/*"))
    assert kept == ["point.json"] * 3


def test_a_finished_part_is_not_repeated(
    run: tuple[Path, dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A second run in the folder of the first finds its parts, unless the settings differ."""
    from tinyforge.recipes.learning_curve import _finished

    folder, report = run
    place = folder / "run" / "tinyforge" / "learning_curve" / "1-of-8"
    mark = json.loads((place / "point.json").read_text())["identity"]
    metric = report["findings"]["learning_curve"]["metric"]
    point = _finished(place, mark, metric)
    assert point is not None
    assert point.rows == report["findings"]["learning_curve"]["points"][0]["rows"]
    assert len(point.resampled) == 200
    assert _finished(place, "other", metric) is None
    assert _finished(tmp_path, mark, metric) is None


def test_rows_that_training_saw_are_found_in_any_file(run: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = run
    model = TorchModel.load(folder / "run")
    settings = load_settings(None, (), {})
    train_rows = training_rows(folder / "run", model.task, settings, folder / "work-1")
    assert train_rows is not None
    from tinyforge.records.examples import Example

    seen = [train_rows[i] for i in range(5)]
    fresh = [Example(row["text"], row["label"]) for row in labelled(40, seed=9)]
    judged = evaluate(
        model, [*seen, *fresh], task="classify", labels=model.labels, settings=settings.evaluate
    )
    found = findings_of_file(
        model, judged, [*seen, *fresh], {}, None, settings=settings, work=folder / "work-2"
    )
    assert found.leaks is not None
    assert found.leaks.exact == 5
    assert found.abstention is not None
    assert found.abstention.chosen is not None
    with (folder / "rows.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "one more row", "label": "yes"}\n')
    assert training_rows(folder / "run", model.task, settings, folder / "work-3") is None
    given = load_settings(None, (), {"evaluate.training_rows": str(folder / "rows.jsonl")})
    again = training_rows(folder / "run", model.task, given, folder / "work-4")
    assert again is not None
    assert len(again) == 401


def test_fewer_rows_of_the_same_split(tmp_path: Path) -> None:
    settings = load_settings(None, (), SMALL)
    rows = labelled(200)
    whole = set_up(rows, settings, work=tmp_path / "a", rejected=None).dataset
    half = set_up(rows, settings, work=tmp_path / "b", rejected=None, share=0.5).dataset
    eighth = set_up(rows, settings, work=tmp_path / "c", rejected=None, share=0.125).dataset
    assert half.test.tolist() == whole.test.tolist()
    assert half.labels == whole.labels
    assert set(eighth.train) < set(half.train) < set(whole.train)
    assert len(half.train) == round(len(whole.train) / 2)
    assert sum(half.report.labels["train"].values()) == len(half.train)


def test_label_errors_of_a_file(tmp_path: Path) -> None:
    rows = labelled(300)
    for row in rows[::30]:
        row["label"] = {"yes": "no", "no": "yes"}[row["label"]]
    data = write(tmp_path / "rows.jsonl", rows)
    found = label_errors(
        str(data), settings=load_settings(None, (), {}), output=tmp_path / "suspects.jsonl"
    )
    lines = [json.loads(line) for line in (tmp_path / "suspects.jsonl").read_text().splitlines()]
    assert len(lines) == len(found.suspects)
    planted = {f"{data}:{number + 1}" for number in range(0, 300, 30)}
    assert len(planted & {line["where"] for line in lines}) >= 8


def test_label_errors_need_labels(tmp_path: Path) -> None:
    settings = load_settings(None, (), {})
    texts = [{"input": f"some question {i}", "output": f"a long answer to {i}"} for i in range(80)]
    with pytest.raises(DataError, match="one label each"):
        label_errors(texts, settings=settings, output=tmp_path / "a.csv")
    with pytest.raises(FolderError, match="cannot be written"):
        label_errors(texts, settings=settings, output=tmp_path / "none" / "a.csv")


def test_inspect_writes_them_down(tmp_path: Path) -> None:
    from tinyforge.cli.inspect import inspect

    data = write(tmp_path / "rows.jsonl", labelled(120))
    level = logging.getLogger("tinyforge").level
    done = CliRunner().invoke(
        inspect, [str(data), "--label-errors", str(tmp_path / "suspects.csv")]
    )
    logging.getLogger("tinyforge").setLevel(level)
    assert done.exit_code == 0, done.output
    assert "suspects.csv" in done.output
    assert (tmp_path / "suspects.csv").read_text().startswith("where,text,given,suggested")
