"""The verb: one exported folder from another, with fewer bits in each weight."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tinyforge.artifacts.export_folder import (
    GATE,
    GOLDEN,
    PAGE,
    RECORD,
    ExportRecord,
    read_record,
)
from tinyforge.artifacts.files import disk_errors
from tinyforge.artifacts.manifest import MANIFEST
from tinyforge.compress.quantize.graph import Graph
from tinyforge.compress.quantize.half import halve
from tinyforge.compress.quantize.plan import layer_names, plan
from tinyforge.compress.quantize.products import products, tables
from tinyforge.compress.quantize.rows import Watch, token_rows
from tinyforge.compress.quantize.scheme import Scheme
from tinyforge.errors import FolderError, ModelError, SettingError
from tinyforge.records.examples import Example
from tinyforge.registry import suggest

OF_ONE_EXPORT = {str(name) for name in (RECORD, GATE, GOLDEN, PAGE, MANIFEST)}
"""What speaks of the source's own graphs, and is made anew."""


def quantize(
    source: Path, target: Path, scheme: Scheme, *, calibration: Sequence[Example] = ()
) -> ExportRecord:
    """Make an exported model smaller; ``target`` is a folder like ``source``, not ready yet.

    The same model, scheme and rows give the same bytes.

    Args:
        source: an exported folder in fp32.
        target: a folder that is empty or not there.
        calibration: rows like those that the model is for, answers included; the first
            ``rows.MOST_ROWS`` are used. Without them ranges are found anew in each batch, and
            weights rounded by themselves, which costs quality; the scheme in the record says so.

    Raises:
        ModelError: the source is smaller already.
        SettingError: the scheme keeps a layer that the model does not have.
        FolderError: a folder is not what it should be, or the disk refuses.
        MissingPackageError: ``onnx`` is not installed.
    """
    source, target = Path(source), Path(target)
    record = read_record(source)
    if record.precision != "fp32":
        raise ModelError(
            "this export is made smaller already", where=str(source), value=record.precision,
            fix="Start from the export in fp32",
        )  # fmt: skip
    if target.exists() and any(target.iterdir()):
        raise FolderError("is not empty", where=str(target), fix="Give another --output")
    graphs = {role: Graph(record.graph(source, role)) for role in record.graphs}
    check_kept(graphs.values(), scheme)
    watch = None
    if not calibration:
        scheme = scheme.without_rows()
    elif scheme.calibrated:
        watch = Watch(source, record, token_rows(source, record, calibration))
    copy_rest(source, target, record, graphs.values())
    left = []
    for role, graph in graphs.items():
        left += _shrink(graph, role, scheme, watch)
        graph.save(record.graph(target, role))
    done = replace(
        record, precision=scheme.precision, ready=False,
        scheme=_described(scheme, sorted(set(left)), watch),
    )  # fmt: skip
    with disk_errors(target):
        done.write(target)
    return done


def check_kept(graphs: Iterable[Graph], scheme: Scheme) -> None:
    """Raises SettingError where a scheme keeps a layer that is nowhere in the model."""
    known = {name for graph in graphs for name in layer_names(graph)}
    for name in scheme.keep:
        if name not in known:
            raise SettingError(
                "the model has no such layer to keep", value=name, fix=suggest(name, known)
            )


def copy_rest(source: Path, target: Path, record: ExportRecord, graphs: Iterable[Graph]) -> None:
    """Copy all but the graphs and what speaks of them."""
    skipped = OF_ONE_EXPORT | set(record.graphs.values())
    skipped |= {name for graph in graphs for name in graph.files_beside()}
    with disk_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.rglob("*")):
            name = path.relative_to(source)
            if path.is_file() and name.as_posix() not in skipped:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target / name)


def _shrink(graph: Graph, role: str, scheme: Scheme, watch: Watch | None) -> list[str]:
    """Change a graph; names of the layers that were left as they are."""
    method = scheme.layers[role].method
    if method == "float":
        return []
    if scheme.precision in ("fp16", "bf16"):
        return halve(graph, scheme.precision, scheme.keep)
    before = {each.weight: each.name for each in products(graph)}
    before |= {each.weight: each.name for each in tables(graph)}
    for change in plan(graph, role, scheme, watch):
        graph.replace(change.nodes, change.emit(change.outputs))
    graph.prune()
    return [name for weight, name in before.items() if graph.is_weight(weight)]


def _described(scheme: Scheme, left: list[str], watch: Watch | None) -> dict[str, Any]:
    """The scheme as it was carried out; plain JSON."""
    described = asdict(scheme)
    described["keep"] = list(scheme.keep)
    described["left"] = left
    described["rows"] = 0 if watch is None else watch.count
    return described
