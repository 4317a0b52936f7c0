"""Find the rows whose label is probably wrong, and write them down for review."""

from __future__ import annotations

import csv
import io
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tinyforge.artifacts.files import write_bytes
from tinyforge.config.settings import Settings
from tinyforge.data.dataset import Dataset, load_dataset
from tinyforge.data.duplicates import find_clusters, join_groups
from tinyforge.data.similar import compared_text, short_hash
from tinyforge.data.some_rows import Rows
from tinyforge.data.survey import survey
from tinyforge.errors import DataError, FolderError
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.findings.label_errors import LabelErrors, Suspect, find_label_errors
from tinyforge.recipes.decide import choose_task
from tinyforge.records.examples import Example

log = logging.getLogger("tinyforge")

MOST_ROWS = 50_000
"""Of more rows a random sample is looked at."""

_COLUMNS = ("where", "text", "given", "suggested", "score", "p_given", "p_suggested")


def label_errors(
    data: Any, *, settings: Settings, output: Path, model: bool = False
) -> LabelErrors:
    """Look for wrong labels in the user's rows, and write the suspects, the surest first.

    Args:
        data: as for training; all good rows are looked at.
        model: whether ``settings.model`` is an encoder whose sentence vectors are to help.
        output: a file to write, CSV if it ends with ``.csv``, else JSON Lines.

    Raises:
        DataError: the rows are not for classification, or carry several labels.
        FolderError: the file cannot be written.
    """
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise FolderError(
            "cannot be written", where=str(output), fix="Give the name of a file in a folder"
        )
    with tempfile.TemporaryDirectory(prefix="tinyforge-") as folder:
        work = Path(folder)
        whole = settings.data.model_copy(update={"min_rows": 1})
        seen = survey(data, whole)
        name, why = choose_task(seen, None, settings.task)
        if name != "classify" or seen.columns.multi_label:
            raise DataError(
                "wrong labels are looked for in rows with one label each", value=why,
                fix="Give rows for classification, or name it with --task classify",
            )  # fmt: skip
        dataset = load_dataset(
            data, seen.columns, name, whole, seed=settings.train.seed, work=work, training=False
        )
        found = label_errors_of(dataset, settings, work / "label-errors", vectors=model)
    write_suspects(found.suspects, output)
    return found


def label_errors_of(
    dataset: Dataset,
    settings: Settings,
    work: Path,
    *,
    vectors: bool = False,
    judged: Sequence[tuple[str, Evaluation]] = (),
) -> LabelErrors:
    """Suspects among all rows of a data set, near-duplicates kept within a fold.

    Args:
        work: for temporary files.
        vectors: whether the pretrained encoder that ``settings.model`` names is to help.
        judged: parts (``validation``, ``test``) with the evaluation of a model that did not learn
            from them; its probabilities are averaged with those of the quick model.
    """
    rows = np.sort(np.concatenate([dataset.train, dataset.validation, dataset.test]))
    if len(rows) > MOST_ROWS:
        random = np.random.default_rng(settings.train.seed)
        rows = np.sort(random.choice(rows, MOST_ROWS, replace=False))
    known, labels = _known(dataset, rows, judged)
    examples = list(Rows(dataset.store, rows))
    return find_label_errors(
        examples, clusters=clusters_of(examples, settings.data.near_duplicate, work), known=known,
        labels=labels, vectors=_vectors(examples, settings) if vectors else None,
        seed=settings.train.seed,
    )  # fmt: skip


def _vectors(examples: Sequence[Example], settings: Settings) -> NDArray[np.float64] | None:
    """Sentence vectors by the pretrained encoder of the settings; None where it is no such."""
    from tinyforge.inference.vectors import sentence_vectors
    from tinyforge.models.load import family_of
    from tinyforge.models.source import locate

    chosen = settings.model
    if family_of(chosen) not in ("encoder", None):
        return None
    place = locate(
        chosen.name, task="classify", revision=chosen.revision,
        trust_remote_code=chosen.trust_remote_code,
    )  # fmt: skip
    if place.folder is None:
        return None
    log.info(f"looking at {len(examples):,} rows with {place.name}")
    texts = [(settings.data.prefix or "") + example.input for example in examples]
    return sentence_vectors(place.folder, texts).astype(np.float64)


def clusters_of(examples: Sequence[Example], threshold: float, work: Path) -> NDArray[np.int64]:
    """Equal numbers for near-duplicates, and for rows of one group: shape (rows,)."""
    texts = [compared_text(example) for example in examples]
    hashes = np.fromiter(map(short_hash, texts), np.uint64, len(texts))
    characters = sum(map(len, texts))
    found = find_clusters(hashes, lambda row: texts[row], characters, threshold, work).cluster
    names: dict[str, int] = {}
    groups = np.array(
        [-1 if e.group is None else names.setdefault(e.group, len(names)) for e in examples]
    )
    return join_groups(found, groups) if names else found


def _known(
    dataset: Dataset, rows: NDArray[np.int64], judged: Sequence[tuple[str, Evaluation]]
) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Probabilities of the rows that a trained model was judged on; NaN in the others."""
    found: NDArray[np.float64] | None = None
    labels: tuple[str, ...] = ()
    for part, evaluation in judged:
        if evaluation.probabilities is None:
            continue
        if found is None:
            labels = evaluation.labels
            found = np.full((len(rows), len(labels)), np.nan)
        if evaluation.labels != labels:
            continue
        place = np.searchsorted(rows, dataset.part(part)[evaluation.rows])
        place = np.minimum(place, len(rows) - 1)
        there = rows[place] == dataset.part(part)[evaluation.rows]
        found[place[there]] = evaluation.probabilities[there]
    return found, labels


def write_suspects(suspects: Sequence[Suspect], path: Path) -> None:
    """One line a suspect, the surest first: CSV if the name ends with ``.csv``, else JSON Lines.

    Raises:
        FolderError: the file cannot be written.
    """
    rows = [{name: getattr(suspect, name) for name in _COLUMNS} for suspect in suspects]
    if path.suffix.lower() == ".csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(path, text.getvalue().encode("utf-8"))
    else:
        write_bytes(path, b"".join(orjson.dumps(row) + b"\n" for row in rows))
