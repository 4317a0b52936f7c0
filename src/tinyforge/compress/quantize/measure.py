"""How much each layer of a model hurts when it is made smaller."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import read_record
from tinyforge.compress.quantize.graph import Graph, node, onnx_package
from tinyforge.compress.quantize.plan import Change, plan
from tinyforge.compress.quantize.rows import Runner, TokenRow, Watch, token_rows
from tinyforge.compress.quantize.scheme import Scheme
from tinyforge.compress.quantize.shrink import check_kept
from tinyforge.errors import DataError
from tinyforge.records.examples import Example

ROWS = 16
"""Rows that each layer is tried on."""

TOKENS = 64
"""Tokens of each of them, at most: a layer's harm shows in every one."""


def sensitivity(
    source: Path, scheme: Scheme, calibration: Sequence[Example]
) -> list[tuple[str, float]]:
    """Layers by how far the logits move when this layer alone is made smaller, worst first.

    Both forms of every layer stand in one graph, with a switch for each, so that the model is
    loaded once. Names are those that ``Scheme.keep`` takes.

    Returns:
        Layer and the root of the mean squared change of the logits, in parts of their own
        spread around their mean (0: nothing changed).

    Raises:
        DataError: there are no rows.
    """
    source = Path(source)
    record = read_record(source)
    if not calibration:
        raise DataError("there is no row to measure the layers on", fix="Give rows with --data")
    rows = token_rows(source, record, calibration)
    watch = Watch(source, record, rows) if scheme.calibrated else None
    graphs = {role: Graph(record.graph(source, role)) for role in record.graphs}
    check_kept(graphs.values(), scheme)
    switches = {
        (role, index): change.name
        for role, graph in graphs.items()
        if scheme.layers[role].method not in ("float", "half")
        for index, change in enumerate(_switched(graph, role, plan(graph, role, scheme, watch)))
    }
    inputs = {
        role: [_input(_switch(*key)) for key in switches if key[0] == role] for role in graphs
    }
    runner = Runner(
        source, record,
        {role: graph.serialized(inputs=inputs[role]) for role, graph in graphs.items()},
        exact=False,
    )  # fmt: skip
    few = [_short(row) for row in rows[:ROWS]]
    right = [_logits(runner, row, switches, None) for row in few]
    spread = sum(float(((each - each.mean()) ** 2).sum()) for each in right) or 1.0
    found: dict[str, float] = {}
    for key, name in switches.items():
        wrong = [_logits(runner, row, switches, key) for row in few]
        moved = sum(float(((w - r) ** 2).sum()) for w, r in zip(wrong, right, strict=True))
        # A table that encoder and decoder share stands in both graphs.
        found[name] = max(found.get(name, 0.0), float(np.sqrt(moved / spread)))
    return sorted(found.items(), key=lambda each: (-each[1], each[0]))


def _switched(graph: Graph, role: str, changes: list[Change]) -> list[Change]:
    """Put both forms of each layer into the graph."""
    for index, change in enumerate(changes):
        graph.insert(change.emit([f"{name}/small" for name in change.outputs]), at=change.nodes[0])
        for end, output in zip(change.ends, change.outputs, strict=True):
            end.output[0] = f"{output}/float"
            choice = node(
                "Where", [_switch(role, index), f"{output}/small", f"{output}/float"], [output],
                f"{output}/Choose",
            )  # fmt: skip
            graph.insert([choice], at=end, behind=True)
    return changes


def _switch(role: str, index: int) -> str:
    return f"small/{role}/{index}"


def _input(name: str) -> object:
    onnx = onnx_package()
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, [])


def _short(row: TokenRow) -> TokenRow:
    return TokenRow(row.ids[:, :TOKENS], row.answer[:, :TOKENS])


def _logits(
    runner: Runner,
    row: TokenRow,
    switches: dict[tuple[str, int], str],
    on: tuple[str, int] | None,
) -> NDArray[np.float64]:
    flags = {_switch(*key): np.array(key == on) for key in switches}
    found = runner.run(row, {"model": ["logits"], "decoder": ["logits"]}, flags)
    return np.asarray(found["logits"], np.float64)
