"""The rows that a model is made smaller on: the split of its own run, where that can be had."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.files import read_json
from tinyforge.config.compress import CompressSettings
from tinyforge.config.data import DataSettings
from tinyforge.data.dataset import Dataset, load_dataset
from tinyforge.data.some_rows import Rows
from tinyforge.data.survey import survey
from tinyforge.errors import DataError, FolderError, SettingError
from tinyforge.records.encoded import Encoded

log = logging.getLogger("tinyforge")

ENCODED_TOGETHER = 512
SURELY = "the test rows of the model's own run, which it never learnt from"
PERHAPS = (
    "held out here by chance; whether the model learnt from them before is not known, and if it "
    "did, all scores are too high, though still comparable"
)
LEARNT = (
    "split anew from the rows of the model's own run, most of which it has learnt from, as they "
    "are no longer what they were; all scores are too high, though still comparable"
)


@dataclass(frozen=True)
class Material:
    """Rows to measure on, to recover on and to judge on.

    Attributes:
        data: where they came from.
        settings: as the user set them, with what the model's own run says of reading and splitting.
        held: what is known of the test rows, in words.
        own: whether they are the test rows of the model's own run.
        given: whether the user named the rows.
    """

    data: Any
    settings: CompressSettings
    dataset: Dataset
    held: str
    own: bool
    given: bool

    @property
    def test(self) -> Rows:
        """The rows to judge on."""
        return Rows(self.dataset.store, self.dataset.test)

    @property
    def seen(self) -> NDArray[np.int64]:
        """The numbers of all rows that are not judged on."""
        return np.sort(np.concatenate([self.dataset.train, self.dataset.validation]))


def read_material(
    model: Any, data: Any, settings: CompressSettings, *, work: Path, rejected: Path | None
) -> Material:
    """Read and split the rows for a model's task.

    A run's model is given the split of its run, if the rows are still those of the run.

    Args:
        model: a ``TorchModel``.
        data: as for training; None: the rows of the model's own run.
        work: an empty folder that outlives the rows.
        rejected: where rejected rows are written; None writes none.

    Raises:
        SettingError: there are no rows, or none to judge on.
        DataError: the rows do not fit the model's task.
    """
    record = run_record(model.path)
    given = data is not None
    data = _own_data(record, model) if data is None else data
    asked, settings = settings, with_run(settings, record)
    columns = survey(data, settings.data).columns
    task = model.task
    if task.name == "classify" and columns.multi_label != task.multi_label:
        chosen = settings.data.model_copy(update={"multi_label": task.multi_label})
        settings = settings.model_copy(update={"data": chosen})
        columns = survey(data, chosen).columns
    dataset = load_dataset(
        data, columns, task.name, settings.data, seed=settings.train.seed, work=work,
        rejected=rejected,
    )  # fmt: skip
    _check_labels(dataset, task)
    if not len(dataset.test):
        raise SettingError(
            "no rows are held out to judge on", where="data.test_share",
            value=settings.data.test_share, fix="Raise it, or name a file: --set data.test=FILE",
        )  # fmt: skip
    own = bool(record) and record.get("data_fingerprint") == dataset.report.fingerprint
    held = SURELY if own else PERHAPS if given else LEARNT
    if not own and "test" in asked.data.model_fields_set:
        held = f"those of {Path(str(settings.data.test)).name}"
    log.info(f"judged on {len(dataset.test):,} rows: {held}")
    return Material(data, settings, dataset, held, own, given)


def run_record(folder: Path | None) -> Mapping[str, Any]:
    """What a run's folder says of its data; empty where it is no run of ours."""
    if folder is None:
        return {}
    places = (folder, folder.parent)  # an adapter lies within its run's folder
    path = next((p / "tinyforge" / "run.json" for p in places
                 if (p / "tinyforge" / "run.json").is_file()), None)  # fmt: skip
    if path is None:
        return {}
    try:
        record = read_json(path)
    except FolderError:
        return {}
    known = isinstance(record, dict) and isinstance(record.get("settings"), dict)
    return record if known and "data_fingerprint" in record else {}


def with_run(settings: CompressSettings, record: Mapping[str, Any]) -> CompressSettings:
    """The settings with what the run says of reading and splitting; the user's own words win."""
    saved = record.get("settings", {}).get("data", {}) if record else {}
    # A default that is written out would count as the user's choice, and changes the split.
    defaults = DataSettings().model_dump()
    fields = {name: value for name, value in saved.items()
              if name in defaults and value != defaults[name]}  # fmt: skip
    fields |= {name: getattr(settings.data, name) for name in settings.data.model_fields_set}
    train = settings.train
    if "seed" not in train.model_fields_set and record.get("seed") is not None:
        train = train.model_copy(update={"seed": int(record["seed"])})
    return settings.model_copy(update={"data": DataSettings(**fields), "train": train})


def texts_of(task: Any, dataset: Dataset, numbers: NDArray[np.int64]) -> Iterator[Encoded]:
    """Rows as token ids, inputs and answers, uncut; labels are no tokens and are left out."""
    two_sided = task.family == "encoder-decoder" and task.name != "classify"
    nothing = np.zeros(0, dtype=np.int32)
    for start in range(0, len(numbers), ENCODED_TOGETHER):
        part = numbers[start : start + ENCODED_TOGETHER]
        for item in task.encode([dataset.store[int(number)] for number in part]):
            yield item if two_sided else Encoded(item.input_ids, nothing)


def evenly(numbers: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of the rows, from all over them."""
    places = np.linspace(0, len(numbers) - 1, min(len(numbers), most))
    return numbers[places.astype(np.int64)]


def _own_data(record: Mapping[str, Any], model: Any) -> str:
    data = str(record.get("data", "")) if record else ""
    if data and Path(data).exists():
        return data
    raise SettingError(
        "the rows that the model learnt from are not known, or no longer there",
        where="--data", value=data or model.name, fix="Name a file of rows with --data",
    )  # fmt: skip


def _check_labels(dataset: Dataset, task: Any) -> None:
    unknown = sorted(set(dataset.labels) - set(getattr(task, "labels", dataset.labels)))
    if unknown:
        raise DataError(
            f"the rows have {len(unknown)} labels that the model does not know",
            where=dataset.report.files[0].source, value=", ".join(unknown[:8]),
            fix="Give rows for which the model was made",
        )  # fmt: skip
