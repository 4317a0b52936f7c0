"""Rows that are in memory already, in Parquet files, or on the Hugging Face hub."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from tinyforge.data.lines import excerpt
from tinyforge.errors import DataError, MissingPackageError
from tinyforge.records.rows import Rejected, Row, Source

_BATCH = 512
_HUB_SECONDS = 6.0
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def rows_of_object(source: Any) -> Iterator[Row | Rejected]:
    """Rows of a list of dicts, a pandas or polars frame, or a ``datasets`` data set.

    Of a ``DatasetDict`` the split ``train`` is taken.

    Raises:
        DataError: the object is of another kind.
    """
    package = type(source).__module__.partition(".")[0]
    if package == "pandas" and hasattr(source, "iloc"):
        rows = chain.from_iterable(
            source.iloc[start : start + _BATCH].to_dict("records")
            for start in range(0, len(source), _BATCH)
        )
        return _numbered(rows, "<pandas>")
    if package == "polars" and hasattr(source, "iter_slices"):
        rows = chain.from_iterable(part.to_dicts() for part in source.iter_slices(_BATCH))
        return _numbered(rows, "<polars>")
    if package == "datasets":
        return _numbered(_dataset_rows(source), "<dataset>")
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        return _numbered(source, "<list>")
    raise DataError(
        f"rows cannot be read from a {type(source).__name__}",
        fix="Give a file name, a list of dicts, a pandas or polars frame, or a datasets.Dataset",
    )


def _numbered(rows: Iterable[Any], name: str) -> Iterator[Row | Rejected]:
    for number, fields in enumerate(rows, 1):
        source = Source(name, number)
        if isinstance(fields, Mapping):
            yield Row({str(key): _plain(value) for key, value in fields.items()}, source)
        else:
            kind = type(fields).__name__
            yield Rejected(source, "not an object", f"a {kind}", excerpt(repr(fields)[:200]))


def _plain(value: Any) -> Any:
    """Scalars and arrays of numpy as Python's own; pandas' missing values as None."""
    if value is None or isinstance(value, (str, int, float, bool, list, dict)):
        return value
    package = type(value).__module__.partition(".")[0]
    if package == "pandas" and type(value).__name__ in ("NAType", "NaTType"):
        return None
    if package == "numpy":
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _dataset_rows(source: Any) -> Iterator[dict[str, Any]]:
    if isinstance(source, Mapping):
        if "train" not in source:
            raise DataError(
                "this DatasetDict has no split called train",
                value=sorted(source),
                fix="Give one of its splits",
            )
        source = source["train"]
    features = getattr(source, "features", None) or {}
    names = {key: kind for key, kind in features.items() if type(kind).__name__ == "ClassLabel"}
    lists = {
        key: kind.feature
        for key, kind in features.items()
        if type(getattr(kind, "feature", None)).__name__ == "ClassLabel"
    }
    for row in source:
        for key, kind in names.items():
            if isinstance(row[key], int) and row[key] >= 0:
                row[key] = kind.int2str(row[key])
        for key, kind in lists.items():
            if isinstance(row[key], list):
                row[key] = [kind.int2str(label) for label in row[key]]
        yield row


def rows_of_parquet(file: BinaryIO, name: str) -> Iterator[Row | Rejected]:
    """Rows of a Parquet file, a batch in memory at a time. ``line`` is the row's number.

    Raises:
        DataError: the file is damaged.
        MissingPackageError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingPackageError("pyarrow", needed_for="reading Parquet", extra="data") from None
    number = 0
    try:
        with parquet.ParquetFile(file, pre_buffer=False) as table:
            for batch in table.iter_batches(batch_size=_BATCH):
                try:
                    rows = batch.to_pylist()
                except ValueError:  # a string that is not UTF-8: find it by taking rows singly
                    rows = [_single(batch, i) for i in range(batch.num_rows)]
                for fields in rows:
                    number += 1
                    source = Source(name, number)
                    yield Row(fields, source) if fields else Rejected(source, "not valid UTF-8")
    except (pyarrow.ArrowException, OSError) as error:
        if number == 0:
            reason = str(error).splitlines()[0] if str(error) else "damaged"
            raise DataError(f"this is no readable Parquet file: {reason}", where=name) from None
        yield Rejected(Source(name, number + 1), "file breaks off", str(error)[:200])


def _single(batch: Any, position: int) -> dict[str, Any]:
    try:
        row: dict[str, Any] = batch.slice(position, 1).to_pylist()[0]
    except ValueError:
        return {}
    return row


def rows_of_hub(name: str) -> Iterator[Row | Rejected]:
    """Rows of the split ``train`` of a data set on the hub, by the package ``datasets``.

    The hub is asked once, for at most a few seconds; where it does not answer, only what is in
    the local cache is used.

    Raises:
        DataError: no such data set, or neither reachable nor cached.
        MissingPackageError: ``datasets`` is not installed.
    """
    try:
        import datasets
    except ImportError:
        message = f"the file {name!r} does not exist, and reading it as a hub id"
        raise MissingPackageError("datasets", needed_for=message, extra="data") from None
    reachable = _answers(name)
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    try:
        if not reachable:
            datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
        loaded = datasets.load_dataset(name, split="train")
    except Exception as error:
        state = (
            "cannot be loaded" if reachable else "is not in the cache and the hub is out of reach"
        )
        raise DataError(
            f"there is no file of this name, and as a data set of the hub it {state}",
            where=name,
            value=None if not reachable else str(error)[:120],
            fix="Check the name, or give a local file of rows",
        ) from None
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
    return _numbered(_dataset_rows(loaded), name)


def _answers(name: str) -> bool:
    """Whether the hub answers for this data set within a few seconds."""
    found: list[bool] = []

    def ask() -> None:
        from huggingface_hub import HfApi

        try:
            HfApi().dataset_info(name, timeout=_HUB_SECONDS / 2)
        except Exception as error:
            found.append("RepositoryNotFound" in type(error).__name__)
        else:
            found.append(True)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_HUB_SECONDS)
    return bool(found and found[0])


def looks_like_hub_id(name: str) -> bool:
    """Whether a name that is no file has the form ``owner/name``."""
    path = Path(name)
    known = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt", ".gz", ".xz", ".zst")
    return bool(HUB_ID.fullmatch(name)) and not path.parent.exists() and path.suffix not in known
