"""Trials on disk: which one is best, what is kept, and what a resume refuses."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tinyforge.artifacts.run_folder import RunFolder
from tinyforge.errors import FolderError, SettingError
from tinyforge.recipes.tune_journal import Journal, Trial, check_asked, read_journal
from tinyforge.recipes.tune_space import Parameter, Space

SPACE = Space(
    (
        Parameter("train.learning_rate", "why", 1e-5, 1e-3, log=True),
        Parameter("train.batch_size", "why", values=(8, 16)),
    ),
    ("a note",),
)


def ended(number: int, value: float | None, loss: float = 1.0, state: Any = "complete") -> Trial:
    values = {"train.learning_rate": 1e-4 * (number + 1), "train.batch_size": 8}
    return Trial(number, values, state=state, value=value, loss=loss)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(
        RunFolder(tmp_path), asked={"seed": 1}, space=SPACE, metric="accuracy", maximise=True,
        sampler="a sampler",
    )  # fmt: skip


def test_it_comes_back_as_it_was(journal: Journal, tmp_path: Path) -> None:
    journal.trials = [ended(1, 0.1 + 0.2), Trial(2, {"train.learning_rate": 1e-3}, 1 / 3)]
    journal.save()
    again = read_journal(RunFolder(tmp_path))
    assert again is not None
    assert (again.space, again.asked, again.metric) == (SPACE, {"seed": 1}, "accuracy")
    assert again.sampler == "a sampler"
    assert [asdict(trial) for trial in again.trials] == [asdict(t) for t in journal.trials]
    assert again.maximise


def test_ties_go_to_the_lower_loss_and_then_to_the_earlier_trial(journal: Journal) -> None:
    journal.trials = [ended(1, 0.9, 0.5), ended(2, 0.9, 0.5), ended(3, 0.95, state="pruned")]
    assert journal.best is journal.trials[0]
    journal.trials.append(ended(4, 0.9, 0.4))
    assert journal.best is journal.trials[3]
    journal.trials.append(ended(5, 0.91, 0.9))
    assert journal.best is journal.trials[4]
    journal.maximise = False
    assert journal.best is journal.trials[3]
    journal.trials = [ended(1, None, state="failed")]
    assert journal.best is None


def test_only_the_best_and_the_first_keep_their_weights(journal: Journal) -> None:
    journal.trials = [ended(1, 0.5), ended(2, 0.7), ended(3, 0.6), ended(4, 0.9, state="failed")]
    for trial in journal.trials:
        trial.weights = {"bytes": 1, "sha256": ""}
        place = journal.place(trial)
        (place / "tinyforge" / "checkpoints").mkdir(parents=True)
        (place / "weights.safetensors").write_bytes(b"w")
    running = Trial(5, {})
    journal.trials.append(running)
    (journal.place(running) / "tinyforge").mkdir(parents=True)
    journal.drop_weights()
    files = {str(p.relative_to(journal.folder)) for p in journal.folder.rglob("*") if p.is_file()}
    assert files == {"trials/0001/weights.safetensors", "trials/0002/weights.safetensors"}
    assert (journal.place(running) / "tinyforge").is_dir()
    assert [t.weights is not None for t in journal.trials] == [True, True, False, False, False]


def test_a_damaged_journal_is_refused_in_one_line(journal: Journal, tmp_path: Path) -> None:
    journal.save()
    path = journal.folder / "journal.json"
    plain = json.loads(path.read_text())
    del plain["space"]
    path.write_text(json.dumps(plain))
    with pytest.raises(FolderError, match="not the journal of a search"):
        read_journal(RunFolder(tmp_path))
    path.write_text(path.read_text()[:-20])
    with pytest.raises(FolderError, match="not JSON"):
        read_journal(RunFolder(tmp_path))


def test_another_verbs_run_is_not_taken_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.meta.mkdir()
    folder.run.write_text('{"task": "classify"}')
    with pytest.raises(FolderError, match="no search for settings"):
        read_journal(folder)
    folder.run.write_text('{"verb": "tune"}')
    assert read_journal(folder) is None


def test_a_resume_with_other_settings_is_refused() -> None:
    before = {"settings": {"train": {"seed": 1}}, "tune": {"prune": True}, "data": "abc"}
    check_asked(before, json.loads(json.dumps(before)))
    with pytest.raises(SettingError, match=r"train\.seed: .*it was 1 and is 2 now"):
        check_asked(before, {**before, "settings": {"train": {"seed": 2}}, "data": "abd"})
    with pytest.raises(SettingError, match=r"tune\.prune: .*it was True and is False now"):
        check_asked(before, {**before, "tune": {"prune": False}})
    with pytest.raises(SettingError, match="the rows are not those"):
        check_asked(before, {**before, "data": "abd"})
