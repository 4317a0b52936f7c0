"""The rows of a finished run, read and split again just as they were for training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyforge.config.data import DataSettings
from tinyforge.data.dataset import Dataset, load_dataset
from tinyforge.data.survey import survey


def dataset_of_run(
    record: Mapping[str, Any], work: Path, *, any_version: bool = False
) -> Dataset | None:
    """The data set of a run's record; None where the file is gone or has changed.

    Args:
        record: the content of ``run.json``.
        work: an empty folder that outlives the rows.
        any_version: leave it to the caller to see whether the rows are the same: another version
            of TinyForge may write the fingerprint of the same rows otherwise.
    """
    data = str(record["data"])
    if not Path(data).exists():
        return None
    # A default that is written out would count as the user's choice.
    defaults = DataSettings().model_dump()
    saved = record["settings"]["data"].items()
    settings = DataSettings(**{k: v for k, v in saved if v != defaults.get(k)})
    dataset = load_dataset(
        data, survey(data, settings).columns, record["task"], settings,
        seed=int(record["seed"]), work=work,
    )  # fmt: skip
    same = dataset.report.fingerprint == record["data_fingerprint"]
    return dataset if same or any_version else None
