"""The trials of a search on disk: written whole after every change, so that a kill loses none."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from tinyforge.artifacts.files import read_json, write_json
from tinyforge.artifacts.run_folder import TUNING, RunFolder
from tinyforge.errors import FolderError, SettingError
from tinyforge.recipes.tune_space import Parameter, Space

FORMAT = 1
WEIGHTS = "weights"
"""Name of a trial's kept weights, without its ending."""

State = Literal["running", "complete", "pruned", "failed"]


@dataclass
class Trial:
    """One try of some settings.

    Attributes:
        number: from 1; trial 1 has the default settings.
        values: of what is searched, by the settings' names.
        max_minutes: of training, as the time budget gave it; None without a budget.
        state: ``running`` until it has ended; ``pruned``: stopped, as it was worse than others.
        value: the validation value that trials are compared by, at its best; None where none is
            known.
        loss: the validation loss at the same moment; it decides between equal values.
        rungs: the best value so far at each place where trials are compared, as far as it came.
        reason: why it was stopped or failed.
        steps: optimizer steps done.
        seconds: of this trial, loading of the model included, over all parts of a resumed one.
        outcome: of training, as ``train.hooks.Outcome`` has it; None unless complete.
        weights: size and SHA-256 of its kept weights; None where they are not kept.
        energy: electricity used, as ``recipes.energy.Energy`` has it.
    """

    number: int
    values: dict[str, Any]
    max_minutes: float | None = None
    state: State = "running"
    value: float | None = None
    loss: float | None = None
    rungs: list[float] = field(default_factory=list)
    reason: str = ""
    steps: int = 0
    seconds: float = 0.0
    outcome: dict[str, Any] | None = None
    weights: dict[str, Any] | None = None
    energy: dict[str, Any] | None = None

    @property
    def default(self) -> bool:
        """Whether it has the default settings."""
        return self.number == 1

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Trial:
        """The inverse of ``asdict``; keys of later versions are left out."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in plain.items() if name in known})


class Journal:
    """All trials so far, in ``tinyforge/tuning/journal.json``.

    Args:
        folder: the run folder.
        asked: what must be the same for a resume; plain JSON.
        metric: the validation value that trials are compared by.
        maximise: whether higher values of it are better.
        sampler: what proposes the trials, with its version; another one proposes others.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        asked: Any,
        space: Space,
        metric: str,
        maximise: bool,
        sampler: str,
    ) -> None:
        self.folder = folder.meta / TUNING
        self.asked, self.space = asked, space
        self.metric, self.maximise, self.sampler = metric, maximise, sampler
        self.trials: list[Trial] = []

    def save(self) -> None:
        """Write it, durable and all at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(
            self.folder / "journal.json",
            {
                "format": FORMAT, "asked": self.asked, "metric": self.metric,
                "maximise": self.maximise, "sampler": self.sampler,
                "space": [parameter.to_json() for parameter in self.space.parameters],
                "notes": list(self.space.notes),
                "trials": [asdict(trial) for trial in self.trials],
            },
        )  # fmt: skip

    def place(self, trial: Trial) -> Path:
        """The folder of a trial."""
        return self.folder / "trials" / f"{trial.number:04d}"

    @property
    def ended(self) -> list[Trial]:
        """Trials that are over, however they ended."""
        return [trial for trial in self.trials if trial.state != "running"]

    @property
    def complete(self) -> list[Trial]:
        """Trials that were trained to their end."""
        return [trial for trial in self.trials if trial.state == "complete"]

    @property
    def best(self) -> Trial | None:
        """The complete trial with the best value; of equal ones the lower loss, then the earlier.

        So the default settings are beaten only by what is really better.
        """
        return min(self.complete, key=self._order, default=None)

    @property
    def seconds(self) -> float:
        """Time spent on all trials."""
        return sum(trial.seconds for trial in self.trials)

    def drop_weights(self) -> None:
        """Delete what ended trials left on disk, but for the weights of the best and the first."""
        kept = {1} if self.best is None else {1, self.best.number}
        for trial in self.ended:
            place = self.place(trial)
            if trial.number not in kept or trial.weights is None:
                shutil.rmtree(place, ignore_errors=True)
                trial.weights = None
                continue
            for path in place.iterdir() if place.is_dir() else ():
                if path.name != f"{WEIGHTS}.safetensors":
                    shutil.rmtree(path, ignore_errors=True)

    def _order(self, trial: Trial) -> tuple[float, float, int]:
        value = float("inf") if trial.value is None else trial.value
        loss = float("inf") if trial.loss is None else trial.loss
        return (-value if self.maximise else value), loss, trial.number


def read_journal(folder: RunFolder) -> Journal | None:
    """The journal that an unfinished search left; None where there is none.

    Raises:
        FolderError: the folder holds another kind of unfinished run, or the journal is damaged.
    """
    path = folder.meta / TUNING / "journal.json"
    if not path.is_file():
        record = read_json(folder.run) if folder.run.is_file() else {"verb": "tune"}
        if record.get("verb") != "tune":
            raise FolderError(
                "the folder holds an unfinished run that is no search for settings",
                where=str(folder.path), fix="Go on with the verb that began it, or give --force",
            )  # fmt: skip
        return None
    plain = read_json(path)
    try:
        space = Space(tuple(map(Parameter.from_json, plain["space"])), tuple(plain["notes"]))
        journal = Journal(
            folder, asked=plain["asked"], space=space, metric=plain["metric"],
            maximise=plain["maximise"], sampler=plain["sampler"],
        )  # fmt: skip
        journal.trials = [Trial.from_json(trial) for trial in plain["trials"]]
    except (KeyError, TypeError) as error:
        raise FolderError(
            "is damaged: not the journal of a search", where=str(path), value=str(error),
            fix="Start anew with --force",
        ) from error  # fmt: skip
    return journal


def check_asked(before: Any, now: Any) -> None:
    """Refuse to go on with another search than the one that was started.

    Args:
        before, now: ``settings``, ``tune`` and ``data``, a fingerprint of the rows; plain JSON.

    Raises:
        SettingError: something differs; it is named, with both values.
    """
    fix = "Give the same data and settings as before, or start anew with --force"
    for part in ("tune", "settings"):
        for name, old, new in _differing(before[part], now[part]):
            where = f"tune.{name}" if part == "tune" else name
            raise SettingError(
                f"this is not the search that was started here: it was {old!r} and is {new!r} now",
                where=where, fix=fix,
            )  # fmt: skip
    if before["data"] != now["data"]:
        raise SettingError("the rows are not those that the search was started with", fix=fix)


def _differing(before: Any, now: Any, name: str = "") -> Sequence[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            found
            for key in sorted(before.keys() | now.keys())
            for found in _differing(before.get(key), now.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if before == now else [(name, before, now)]
