"""Comparing and evaluating models from their folders."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

import tinyforge
from tinyforge.cli.main import main
from tinyforge.errors import DataError, FolderError, SettingError
from tinyforge.models.folder import WEIGHTS

BERT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 64}  # fmt: skip
GPT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
       "num_key_value_heads": 2, "intermediate_size": 64}  # fmt: skip
WORDS = ["apple", "river", "stone", "cloud", "garden", "window", "paper", "music", "winter"]


def labelled(count: int, seed: int) -> list[dict[str, str]]:
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        label = rng.choice(["yes", "no"])
        word = {"yes": "good", "no": "bad"}[label]
        text = " ".join(rng.choices(WORDS, k=rng.randint(4, 9)))
        rows.append({"text": f"{word} {text}", "label": label})
    return rows


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models: one that has learnt, one that has not, one with other labels, one that writes."""
    top = tmp_path_factory.mktemp("models")
    how: dict[str, Any] = {"model": "scratch:bert-tiny", "shape": BERT}
    quick = {"evaluate.baselines": False, "evaluate.bootstrap_samples": 200}
    rows = labelled(200, 0)
    tinyforge.train(rows, output_dir=top / "good", epochs=8, settings=quick, **how)
    for name in ("poor", "other"):
        shutil.copytree(top / "good", top / name)
    weights = load_file(top / "good" / "model.safetensors")
    save_file({name: 0.5 * part for name, part in weights.items()}, top / "poor" / WEIGHTS)
    for path in (top / "other" / "config.json", top / "other" / "tinyforge" / "task.json"):
        path.write_text(path.read_text().replace('"yes"', '"left"').replace('"no"', '"right"'))
    raw = [{"text": row["text"]} for row in rows]
    tinyforge.train(
        raw, model="scratch:gpt-tiny", shape=GPT, task="language-model", max_steps=1,
        output_dir=top / "text", settings=quick,
    )  # fmt: skip
    (top / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in labelled(120, 7)))
    return top


@pytest.fixture
def in_folder(folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folders)
    return folders


def test_the_better_model_is_found_with_its_rows_and_costs(folders: Path, tmp_path: Path) -> None:
    page, changes = tmp_path / "report.html", tmp_path / "changes.jsonl"
    found = tinyforge.compare(
        [folders / "poor", folders / "good"], labelled(120, 7), report=page, changes=changes
    )
    poor, good = map(str, (folders / "poor", folders / "good"))
    assert found.verdict == "better"
    assert found.ranking.best == good
    assert found.ranking.order == [good, poor]
    (pair,) = found.ranking.pairs
    assert len(pair.flips.gained) + len(pair.flips.lost) + pair.flips.same == 120
    rows = [json.loads(line) for line in changes.read_text().splitlines()]
    assert len(rows) == len(pair.flips.gained) + len(pair.flips.lost)
    hashes = {name: tinyforge.load(name).hash for name in (poor, good)}
    for row in rows:
        assert row["models"] == [poor, good]
        assert row["before"]["model"] == hashes[poor] != row["after"]["model"] == hashes[good]
        right = row["after"] if row["change"] == "gained" else row["before"]
        assert right["output"] == row["expected"]
    cost = found.costs[good]
    size = (folders / "good" / "model.safetensors").stat().st_size
    assert cost.parameters > 10_000
    assert cost.disk_bytes is not None
    assert cost.disk_bytes > size
    assert 0 < cost.speed.median <= cost.speed.p95
    assert cost.speed.rows_per_second > 0
    text = page.read_text("utf-8")
    assert hashes[good] in text
    assert f"<b>{poor}, {good}</b>" in text
    assert found.ranking.sentence.startswith(f"Better: {good} beats {poor}")
    assert "rows now right" in found.summary()


def test_a_model_beside_itself_is_never_better(folders: Path) -> None:
    found = tinyforge.compare([folders / "good"] * 2, labelled(60, 7))
    assert found.verdict in ("alike", "cannot tell")
    assert list(found.evaluations) == [str(folders / "good"), f"{folders / 'good'} (2)"]
    flips = found.ranking.pairs[0].flips
    assert (len(flips.gained), len(flips.lost), flips.rewritten) == (0, 0, 0)


def test_raw_text_is_compared_by_likelihood(folders: Path) -> None:
    found = tinyforge.compare([folders / "text"] * 2, [{"text": "a river of stone"}] * 12)
    assert found.ranking.metric == "bits_per_byte"
    assert found.verdict in ("alike", "cannot tell")
    assert found.report["models"][0]["model"] == tinyforge.load(folders / "text").hash


@pytest.mark.parametrize(
    ("models", "error", "message"),
    [
        (["good"], SettingError, "one model alone cannot be compared"),
        (["good", "text"], DataError, "this is a language-model model, the first is a classify"),
        (["good", "other"], DataError, "knows none of the labels of the rows"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(
    in_folder: Path, models: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        tinyforge.compare(models, labelled(30, 7))
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_written_is_named_before_the_work(in_folder: Path) -> None:
    for report in ("nowhere/report.html", "good"):
        with pytest.raises(FolderError, match=report):
            tinyforge.compare(["good", "poor"], labelled(30, 7), report=report)
        with pytest.raises(FolderError, match=report):
            tinyforge.evaluate("good", labelled(30, 7), report=report)


def test_the_command_line_compares(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "poor", "good", "rows.jsonl", "--report", "c.html", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (shown["verdict"], shown["best"]) == ("better", "good")
    assert shown["command"] == "tinyforge compare poor good rows.jsonl"
    assert Path("c.html").is_file()
    assert main(["compare", "poor", "good", "rows.jsonl"]) == 0
    assert "1. good" in capsys.readouterr().out
    assert main(["compare", "good", "rows.jsonl"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: two or more models and the rows are needed")
    assert line.count("\n") == 1


def test_evaluate_beside_several_baselines_with_a_report(in_folder: Path) -> None:
    found = tinyforge.evaluate(
        "good", labelled(120, 7), baseline=["poor"], baseline_models=["good"], report="e.html"
    )
    assert list(found.baselines) == ["poor", "good"]
    assert found.verdict is not None
    assert found.verdict.word != "better"  # it does not beat itself
    assert "unseen" not in found.verdict.sentence
    plain = found.to_json()
    assert set(plain["baselines"]) == {"poor", "good"}
    assert plain["findings"]["sentences"]
    text = Path("e.html").read_text("utf-8")
    assert "tinyforge evaluate good" in text
    assert 'id="training"' not in text
    alone = tinyforge.evaluate("good", labelled(30, 7))
    assert alone.verdict is None


def test_a_baseline_model_in_training(in_folder: Path, tmp_path: Path) -> None:
    rows = labelled(120, 0)
    quick = {"evaluate.bootstrap_samples": 200, "model.shape": BERT}
    run = tinyforge.train(
        rows, model="scratch:bert-tiny", output_dir=tmp_path / "new", max_steps=1, settings=quick,
        baseline_models=["good"],
    )  # fmt: skip
    report = run.report
    assert report["baselines"]["good"]["title"] == "good"
    assert {"majority", "good"} <= set(report["baselines"])
    assert report["energy"]["joules"] > 0
    card = (tmp_path / "new" / "README.md").read_text("utf-8")
    assert "energy: " in card
    assert report["energy"]["how"].split(";")[0] in card
    with pytest.raises(DataError, match=r"other: this model knows none of the labels"):
        tinyforge.train(
            rows, model="scratch:bert-tiny", output_dir=tmp_path / "no", max_steps=1,
            settings=quick, baseline_models=["other"],
        )  # fmt: skip
    assert not (tmp_path / "no" / "model.safetensors").exists()
