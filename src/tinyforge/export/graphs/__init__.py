"""From a model in memory to ONNX graphs that answer alike, with all that they need beside them.

Who feeds the graphs (``artifacts/export_folder.py`` names inputs and outputs) keeps to this:

- A ``growing`` cache: a row's tokens stand together at the right end of ``past + n`` places, rows
  that are shorter have masked places left of them. ``n`` may be any number of tokens onto any past,
  none included. Where there are ``position_ids``, a row's first token has position 0; those of
  masked places may be any position that the model has.
- An ``in-place`` cache: a row's tokens stand together at the left. The ones in a row of the mask
  count its tokens, the ``n`` new ones included: new keys and values are written to, and their
  positions are, ones - n to ones - 1; a row with fewer ones than ``n`` counts as having ``n``. The
  operator can do three things: read the first tokens of rows that have no past (a mask of exactly
  ``n`` places; shorter rows have anything behind their tokens, which none of those sees and which
  the next step writes over); write one token for each of any rows (a mask wider than 1; rows that
  are not meant may have any count); read more tokens of a single row onto its past (a mask wider
  than ``n``).
- Only the places in ``keep`` are given logits, so that a prompt costs no more than it has to.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.export_folder import CacheLayout, ExportRecord
from tinyforge.errors import ModelError
from tinyforge.export.graphs import classifier, encoder_decoder, growing, in_place
from tinyforge.export.graphs.files import write_files
from tinyforge.export.graphs.needed import check_packages
from tinyforge.export.graphs.record import describe
from tinyforge.export.graphs.trial import Mismatch

if TYPE_CHECKING:
    from tinyforge.inference.torch_model import TorchModel

log = logging.getLogger("tinyforge")


def write_graphs(model: TorchModel, folder: Path) -> ExportRecord:
    """An exported folder in float32: graphs, tokenizer, configs and the record.

    Every graph is tried on a few random padded rows before this returns, with its cache step by
    step; what gives other numbers than the model is not kept.

    Args:
        model: adapters are merged already by ``TorchModel.load``.
        folder: made where it is missing; files of the same names are replaced.

    Returns:
        The record as it was written, with ``ready=False``.

    Raises:
        ModelError: the model has no fast tokenizer, or cannot be written as a graph.
        MissingPackageError: the packages that write graphs are not installed.
        FolderError: the folder cannot be written.
    """
    check_packages()
    folder.mkdir(parents=True, exist_ok=True)
    record = describe(model)
    write_files(model, folder)
    plain = model.model
    where, trained = plain.device, plain.training
    plain.to("cpu").eval()
    try:
        cache = _write(model, record, folder)
    finally:
        plain.to(where).train(trained)
    record = replace(record, cache=cache)
    record.write(folder)
    return record


def _write(model: TorchModel, record: ExportRecord, folder: Path) -> CacheLayout | None:
    plain = model.model
    try:
        if record.family == "encoder":
            classifier.write(plain, record.graph(folder, "model"))
            return None
        if record.family == "encoder-decoder":
            paths = {role: record.graph(folder, role) for role in ("encoder", "decoder")}
            return encoder_decoder.write(plain, paths)
        return _decoder(plain, record.graph(folder, "decoder"))
    except Mismatch as error:
        raise ModelError(
            "the graph gives other numbers than the model, so it is not kept",
            value=f"{type(plain).__name__}: {error}",
            fix="Export it with --format safetensors, or choose another model",
        ) from error  # fmt: skip


def _decoder(plain: Any, path: Path) -> CacheLayout:
    """With a cache in place where that can be; what cannot be so grows."""
    try:
        return in_place.write(plain, path)
    except in_place.CannotBuild as reason:
        log.info(f"{plain.config.model_type}: the cache will grow, since {reason}")
    return growing.write(plain, path)
