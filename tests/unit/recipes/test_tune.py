"""A search from rows to the winner's folder: repeatable, resumable, and honest about its choice."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

import tinyforge
from tinyforge.artifacts.manifest import verify
from tinyforge.artifacts.run_folder import RunFolder
from tinyforge.errors import ConditionError, FolderError, SettingError
from tinyforge.recipes import tune_trial
from tinyforge.recipes.runs import describe
from tinyforge.recipes.tune import Tuned
from tinyforge.recipes.tune_journal import Journal
from tinyforge.train.hooks import Listener, StepResult

pytest.importorskip("optuna")

BERT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 64}  # fmt: skip
WORDS = {
    "yes": ["apple", "river", "stone", "cloud", "garden", "window", "paper", "music", "winter"],
    "no": ["iron", "smoke", "hammer", "engine", "copper", "bridge", "tower", "street", "wire"],
}
SETTINGS = {
    "evaluate.baselines": False, "evaluate.bootstrap_samples": 200, "train.precision": "float32",
    "data.validation_share": 0.25, "data.test_share": 0.25, "train.validate_every": 5,
    "train.checkpoint_every": 7, "train.best_by": "loss", "train.early_stopping": 0,
}  # fmt: skip
STEPS = 30


def labelled(count: int, seed: int = 0) -> list[dict[str, str]]:
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        label = rng.choice(["yes", "no"])
        text = " ".join(rng.choices(WORDS[label], k=rng.randint(5, 9)))
        rows.append({"text": text, "label": label})
    return rows


ROWS = labelled(80)


def search(folder: Path, *, rows: Any = None, trials: int = 4, **more: Any) -> Tuned:
    given = {
        "model": "scratch:bert-tiny", "shape": BERT, "max_steps": STEPS, "trials": trials, **more,
    }  # fmt: skip
    settings = SETTINGS | given.pop("settings", {})
    return tinyforge.tune(rows or ROWS, output_dir=folder, settings=settings, **given)


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def told(found: Tuned) -> list[tuple[Any, ...]]:
    """All of the trials that a clock has no say in."""
    return [
        (t["number"], t["values"], t["state"], t["value"], t["loss"], t["rungs"], t["steps"])
        for t in found.report["trials"]
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return search(tmp_path_factory.mktemp("whole") / "out")


class PowerCut(BaseException):
    """Ends the process, as far as anybody can see; no handler may save anything."""


class Cut(Listener):
    """Cuts the power at one of all the steps that are made."""

    def __init__(self, at: int) -> None:
        self.left = at

    def on_step(self, result: StepResult) -> None:
        self.left -= 1
        if self.left == 0:
            raise PowerCut


def test_the_winner_is_a_run_folder_like_any_other(whole: Tuned) -> None:
    folder = RunFolder(whole.output_dir)
    assert verify(folder.path) == []
    assert describe(folder).state == "finished"
    assert {"best.yaml", "tuning.json", "tuning.html", "report.html"} <= {
        path.name for path in folder.meta.iterdir()
    }
    weights = [path.name for path in folder.path.rglob("*.safetensors")]
    assert weights == ["model.safetensors"]
    assert tinyforge.load(folder.path).predict("good apple river").output in ("yes", "no")
    assert whole.result()["run"]["steps"] <= STEPS
    assert json.loads((folder.meta / "run.json").read_text())["verb"] == "tune"


def test_the_best_on_the_validation_rows_wins(whole: Tuned) -> None:
    trials = whole.report["trials"]
    complete = [trial for trial in trials if trial["state"] == "complete"]
    assert trials[whole.report["best"] - 1]["value"] == min(trial["value"] for trial in complete)
    assert len(trials) == 4
    assert len({json.dumps(trial["values"]) for trial in trials}) == 4
    assert {len(trial["rungs"]) for trial in complete} == {3}


def test_the_first_trial_is_plain_training(whole: Tuned, tmp_path: Path) -> None:
    run = tinyforge.train(
        ROWS, model="scratch:bert-tiny", shape=BERT, max_steps=STEPS, settings=SETTINGS,
        output_dir=tmp_path / "plain",
    )  # fmt: skip
    training, first = run.report["training"], whole.report["trials"][0]
    assert (training["best_value"], training["best_step"]) == (first["value"], first["best_step"])
    assert (
        first["values"]["train.learning_rate"] == run.report["settings"]["train"]["learning_rate"]
    )


def test_the_yaml_gives_the_winner_again(whole: Tuned, tmp_path: Path) -> None:
    config = whole.output_dir / "tinyforge" / "best.yaml"
    assert whole.report["best"] != 1, "choose other rows: the defaults say nothing here"
    tinyforge.train(ROWS, config=config, output_dir=tmp_path / "again")
    assert digest(tmp_path / "again") == digest(whole.output_dir)


def test_winner_and_default_meet_on_the_test_rows(whole: Tuned) -> None:
    report = whole.report
    ours = report["scores"]["best"]["accuracy"]["value"]
    theirs = report["scores"]["default"]["accuracy"]["value"]
    assert ours == report["run"]["metrics"]["accuracy"]
    assert report["verdict"]["difference"] == pytest.approx(ours - theirs)
    assert report["verdict"]["low"] <= report["verdict"]["difference"] <= report["verdict"]["high"]
    assert "the default settings" in report["verdict"]["sentence"]
    optimism = report["optimism"]
    assert optimism["best"]["validation"] == report["trials"][report["best"] - 1]["value"]
    assert optimism["best"]["shrank"] == pytest.approx(
        optimism["best"]["test"] - optimism["best"]["validation"]
    )
    assert optimism["default"]["test"] != optimism["best"]["test"]
    for text in (whole.summary(), (whole.output_dir / "tinyforge" / "tuning.html").read_text()):
        assert "Choosing among 4 trials" in " ".join(text.split())


def test_cut_off_again_and_again_it_ends_the_same(whole: Tuned, tmp_path: Path) -> None:
    """Before the first checkpoint, between two, at a trial's last step, and in the last trial."""
    for at in (2, 5, STEPS - 3, 7, 2 * STEPS + 6):
        with pytest.raises(PowerCut):
            search(tmp_path / "cut", resume=(tmp_path / "cut").exists(), listeners=[Cut(at)])
    found = search(tmp_path / "cut", resume=True)
    assert told(found) == told(whole)
    assert digest(tmp_path / "cut") == digest(whole.output_dir)
    assert found.report["verdict"] == whole.report["verdict"]
    assert verify(tmp_path / "cut") == []


@pytest.mark.parametrize(
    "write",
    [2, pytest.param(3, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow), 8],
)
def test_cut_off_at_any_write_of_the_journal(
    whole: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Just before and just after it: when a trial begins, has ended, and drops what lost."""
    save, calls = Journal.save, 0

    def cut(journal: Journal) -> None:
        nonlocal calls
        calls += 1
        if calls == write and write % 2:
            raise PowerCut
        save(journal)
        if calls == write:
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "save", cut)
        with pytest.raises(PowerCut):
            search(tmp_path / "cut", trials=3)
    found = search(tmp_path / "cut", trials=3, resume=True)
    assert told(found) == told(whole)[:3]


def test_cut_off_while_judging(
    whole: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "tinyforge.recipes.tune_judge.write_report",
        "tinyforge.recipes.tune_judge.write_text",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(name, lambda *_: (_ for _ in ()).throw(PowerCut()))
            with pytest.raises(PowerCut):
                search(tmp_path / "cut", trials=2, resume=(tmp_path / "cut").exists())
    found = search(tmp_path / "cut", trials=2, resume=True)
    assert told(found) == told(whole)[:2]
    assert verify(tmp_path / "cut") == []
    again = search(tmp_path / "cut", trials=2, resume=True)
    assert again.report == found.report


def test_a_search_can_be_made_longer_while_it_is_unfinished(whole: Tuned, tmp_path: Path) -> None:
    with pytest.raises(PowerCut):
        search(tmp_path / "out", trials=2, listeners=[Cut(STEPS + 3)])
    found = search(tmp_path / "out", trials=4, resume=True)
    assert told(found) == told(whole)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Numbers of the trainings, from 0, that fail."""
    numbers: set[int] = set()
    fit, calls = tune_trial.fit_rows, 0

    def rows(*words: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls - 1 in numbers:
            raise RuntimeError("the sky fell down\nand more")
        return fit(*words)

    monkeypatch.setattr(tune_trial, "fit_rows", rows)
    return numbers


def test_a_trial_that_fails_does_not_end_the_search(failing: set[int], tmp_path: Path) -> None:
    failing.add(1)
    found = search(tmp_path / "out", trials=3)
    second = found.report["trials"][1]
    assert (second["state"], second["reason"]) == ("failed", "RuntimeError: the sky fell down")
    assert found.report["trials"][2]["state"] == "complete"
    assert found.result()["failed"] == 1


def test_without_the_default_settings_nobody_can_tell(failing: set[int], tmp_path: Path) -> None:
    failing.add(0)
    found = search(tmp_path / "out", trials=2)
    assert found.verdict == "cannot tell"
    assert (
        "could not be trained (RuntimeError: the sky fell down)"
        in found.report["verdict"]["sentence"]
    )
    assert verify(tmp_path / "out") == []


def test_if_all_fail_that_is_said(failing: set[int], tmp_path: Path) -> None:
    failing |= {0, 1}
    with pytest.raises(ConditionError, match=r"none of the 2 trials.*the sky fell down"):
        search(tmp_path / "out", trials=2)


def test_if_nothing_beats_the_default_settings_they_stay(tmp_path: Path) -> None:
    found = search(
        tmp_path / "out", trials=3, search={"lr": "1e-8,1e-7"}, settings={"tune.usual": False}
    )
    assert found.report["best"] == 1
    assert found.verdict == "not better"
    assert found.report["optimism"]["gain"] is None
    assert found.report["scores"]["default"] is None


def test_bad_trials_are_stopped_and_leave_no_weights(tmp_path: Path) -> None:
    class Seen(Listener):
        files: list[str] = []  # noqa: RUF012

    def look(_: Any) -> None:
        Seen.files.append(
            " ".join(sorted(p.parent.name for p in tmp_path.rglob("weights.safetensors")))
        )

    found = search(
        tmp_path / "out", trials=7, search={"lr": "1e-8..1e-2"}, settings={"tune.usual": False},
        tell=look,
    )  # fmt: skip
    stopped = [trial for trial in found.report["trials"] if trial["state"] == "pruned"]
    assert stopped
    for trial in stopped:
        assert trial["number"] > 3
        assert trial["steps"] < STEPS
        assert "worse than the median" in trial["reason"]
    assert all(len(files.split()) <= 2 for files in Seen.files), Seen.files
    assert found.report["trials"][found.report["best"] - 1]["state"] == "complete"
    kept = search(
        tmp_path / "kept", trials=4, search={"lr": "1e-8..1e-2"},
        settings={"tune.usual": False, "tune.prune": False},
    )  # fmt: skip
    assert {trial["state"] for trial in kept.report["trials"]} == {"complete"}


def test_the_test_rows_have_no_say_in_the_choice(tmp_path: Path) -> None:
    found = []
    for number, seed in enumerate((5, 6)):
        test = tmp_path / f"{number}.jsonl"
        test.write_text("".join(json.dumps(row) + "\n" for row in labelled(30, seed)))
        settings = {"data.test": str(test), "data.test_share": 0}
        found.append(search(tmp_path / str(number), trials=2, settings=settings))
    first, second = found
    assert told(first) == told(second)
    assert first.report["optimism"]["best"]["test"] != second.report["optimism"]["best"]["test"]


def test_an_encoder_decoder_keeps_its_optimizer(tmp_path: Path) -> None:
    rows = [{"input": row["text"], "output": row["text"].split()[0] + " day"} for row in ROWS]
    shape = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1,
             "num_decoder_layers": 1}  # fmt: skip
    found = search(tmp_path / "out", rows=rows, trials=2, model="scratch:t5-tiny", shape=shape)
    assert "optimizer: muon" in (tmp_path / "out/tinyforge/best.yaml").read_text()
    assert found.report["metric"] == "loss"
    assert found.report["optimism"]["best"]["test"] > 0
    assert {"train.epochs", "train.batch_size"}.isdisjoint(found.settings)


def test_adapters(tmp_path: Path, hub_cache: Path) -> None:
    (model,) = (hub_cache / "hub/models--distilbert-base-uncased/snapshots").iterdir()
    found = search(tmp_path / "out", trials=2, model=str(model), shape=None, lora=True)
    assert {"lora.r", "lora.dropout"} <= set(found.settings)
    assert (tmp_path / "out/adapter/adapter_model.safetensors").is_file()
    assert verify(tmp_path / "out") == []


def test_without_test_rows(tmp_path: Path) -> None:
    found = search(tmp_path / "out", trials=2, settings={"data.test_share": 0})
    assert found.verdict in ("cannot tell", "not better")
    assert "There are no test rows" in found.report["optimism"]["sentence"]


def test_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="chosen on validation rows, and there are none"):
        search(tmp_path / "out", settings={"data.validation_share": 0, "train.best_by": None,
                                           "train.validate_every": None})  # fmt: skip
    with pytest.raises(SettingError, match=r"evaluate\.learning_curve: has no effect"):
        search(tmp_path / "out", learning_curve=True)
    with pytest.raises(SettingError, match=r"train\.max_steps: is set and searched|cannot be"):
        search(tmp_path / "out", search={"train.max_steps": "3,4"})
    assert not (tmp_path / "out").exists()


def test_a_resume_must_be_of_the_same_search(whole: Tuned, tmp_path: Path) -> None:
    with pytest.raises(PowerCut):
        search(tmp_path / "out", listeners=[Cut(STEPS + 2)])
    with pytest.raises(SettingError, match=r"train\.seed"):
        search(tmp_path / "out", resume=True, seed=9)
    with pytest.raises(SettingError, match=r"tune\.search"):
        search(tmp_path / "out", resume=True, search={"lr": "1e-5..1e-3"})
    with pytest.raises(FolderError, match="unfinished run"):
        search(tmp_path / "out")
    assert (tmp_path / "out/tinyforge/tuning/journal.json").is_file()


def test_a_resume_with_another_sampler_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(PowerCut):
        search(tmp_path / "out", trials=2, listeners=[Cut(STEPS + 2)])
    path = tmp_path / "out/tinyforge/tuning/journal.json"
    path.write_text(path.read_text().replace("TPE of Optuna", "TPE of an older Optuna"))
    search(tmp_path / "out", trials=2, resume=True)
    assert "begun with TPE of an older Optuna" in caplog.text


def test_a_finished_search_is_left_alone(whole: Tuned) -> None:
    before = digest(whole.output_dir)
    again = search(whole.output_dir, resume=True, seed=9)
    assert again.report == whole.report
    with pytest.raises(FolderError, match="finished run"):
        search(whole.output_dir)
    assert digest(whole.output_dir) == before
