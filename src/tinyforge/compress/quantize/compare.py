"""Whether what was made smaller still stands for the numbers that it was made from.

Logits cannot see everything: half of a small model's numbers are embeddings of tokens that occur in
no row, and one output of a layer may be scaled wrongly and move no answer. Rounding changes every
number a little, and each by itself; what is damaged, or has a wrong scale, is off by a factor, or
by more than a step. So every rounded weight is turned back into numbers and held against the graph
that it was made from. What was not rounded has to be the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import read_record
from tinyforge.compress.quantize.blocks import Grid, outputs_of, unpack, values
from tinyforge.compress.quantize.graph import Graph, attribute
from tinyforge.compress.quantize.products import (
    Product,
    Table,
    biases,
    layer_name,
    products,
    rows_of,
    tables,
    weights,
)

FACTORS = (0.55, 1.5)
"""What the numbers of a block may be multiplied by on the whole. Cutting the ends of a range, as
``blocks.SHRUNK`` has it, makes them smaller, by 0.7 at most; nothing makes them much larger."""

NOISE = {4: 0.8, 8: 0.5}
"""What a block's error may be, by the bits of a weight: its root mean square in parts of the
weights' own. Weights rounded for the outputs, not each to its nearest, lose several times as much
as 12 % in 4 bits and 1 % in 8."""

HALF_A_STEP = 0.505
"""How far rounding to the nearest moves a number, in steps, and what float32 makes of that."""

QUIET = 0.05
"""Blocks and columns with less than this part of the others' energy have no factor to speak of:
what is made up for elsewhere is larger than they are."""

OPERATORS = frozenset(
    {"MatMulNBits", "MatMulIntegerToFloat", "GatherBlockQuantized", "QuantizeLinear"}
)
"""What takes scales and biases that are new."""

_AT_ONCE = 1 << 22
"""Numbers looked at together."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found.

    Attributes:
        numbers: how many numbers were compared.
        same: how many of them are the same bit for bit.
        problem: what is wrong, as a clause; empty: nothing.
    """

    numbers: int
    same: int
    problem: str = ""


class _WrongError(Exception):
    """A weight that does not stand for what it was made from; the message is a clause."""


@dataclass(frozen=True, slots=True)
class _Rounded:
    """A weight as it was and as it is.

    Attributes:
        wanted: (outputs, inputs).
        codes: (outputs, inputs), on ``grid``.
        nearest: whether every number went to its nearest value.
    """

    name: str
    wanted: NDArray[np.float32]
    grid: Grid
    codes: NDArray[np.uint8]
    nearest: bool


def compare(source: Path, target: Path) -> Compared:
    """Hold every weight of a smaller export against the export that ``quantize`` made it from.

    Args:
        source: the folder in float32.
        target: the folder that was made of it.
    """
    record = read_record(target)
    numbers = same = 0
    for role in sorted(record.graphs):
        before, after = Graph(record.graph(source, role)), Graph(record.graph(target, role))
        try:
            for name, wanted, found in _exact(before, after):
                _check_same(name, wanted, found)
                numbers += found.size
                same += found.size if found.dtype.itemsize > 2 else 0  # else in 16 bits
            for rounded in _rounded(before, after):
                _check_rounded(rounded)
                numbers += rounded.codes.size
        except _WrongError as problem:
            return Compared(numbers, same, str(problem))
    return Compared(numbers, same)


def _exact(before: Graph, after: Graph) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Weights that are not rounded, or only to 16 bits: name, what they have to be, what they
    are."""
    explained = {
        name for node in after.nodes for name in node.input
        if node.op_type in OPERATORS or node.name.endswith("/Even")
    }  # fmt: skip
    for name in after.names():
        if before.is_weight(name):
            yield name, before.array(name), after.array(name)
        elif after.is_float(name) and name not in explained:
            raise _WrongError(f"{name} is a weight that was not there")
    for node in after.nodes:
        if node.op_type == "Cast" and before.is_weight(node.output[0]):
            stored = after.array(node.input[0])
            wanted = before.array(node.output[0]).astype(stored.dtype)
            yield layer_name(node.output[0]), wanted, stored
    for node, members in _products(before, after):
        place = 5 if node.op_type == "MatMulNBits" else 6
        there = node.input[place] if len(node.input) > place else ""
        bias = biases(before, members)
        if bias is not None or there:
            found = after.array(there) if there else np.zeros(0, np.float32)
            yield f"the bias of {members[0].name}", np.zeros(0) if bias is None else bias, found


def _check_same(name: str, wanted: NDArray[Any], found: NDArray[Any]) -> None:
    if wanted.shape != found.shape or wanted.dtype != found.dtype:
        raise _WrongError(
            f"{name} has the shape {found.shape} in {found.dtype} instead of {wanted.shape} in "
            f"{wanted.dtype}"
        )
    if wanted.tobytes() != found.tobytes():
        size = wanted.dtype.itemsize
        bits = [np.frombuffer(each.tobytes(), np.uint8).reshape(-1, size)
                for each in (wanted, found)]  # fmt: skip
        changed = int((bits[0] != bits[1]).any(axis=1).sum())
        raise _WrongError(
            f"{changed:,} of the {found.size:,} numbers of {name}, which is not rounded, are others"
        )


def _products(before: Graph, after: Graph) -> Iterator[tuple[Any, list[Product]]]:
    """Rounded products, each with those that it takes the place of."""
    made = {each.output: each for each in products(before)}
    readers = after.readers()
    for node in after.nodes:
        if node.op_type not in ("MatMulNBits", "MatMulIntegerToFloat"):
            continue
        outputs: Sequence[str] = node.output
        behind = readers.get(outputs[0], [])
        if outputs[0] not in made and len(behind) == 1 and behind[0].op_type == "Split":
            outputs = behind[0].output
        members = [made[name] for name in outputs if name in made]
        if len(members) != len(outputs):
            raise _WrongError(f"{outputs[0]} is computed by a layer that was not there")
        yield node, members


def _rounded(before: Graph, after: Graph) -> Iterator[_Rounded]:
    producers = after.producers()
    for node, members in _products(before, after):
        wanted = weights(before, members)
        if node.op_type == "MatMulNBits":
            yield _in_blocks(after, node, members, wanted)
        else:
            yield _in_integers(after, node, members, wanted, producers)
    looked_up: dict[str, Table] = {each.output: each for each in tables(before)}
    for node in after.nodes:
        if node.op_type == "GatherBlockQuantized":
            if node.output[0] not in looked_up:
                raise _WrongError(f"{node.output[0]} is looked up where nothing was")
            table = looked_up[node.output[0]]
            yield _in_table(after, node, table, rows_of(before, table), producers)


def _in_blocks(
    after: Graph, node: Any, members: Sequence[Product], wanted: NDArray[np.float32]
) -> _Rounded:
    bits, block = attribute(node, "bits", 4), attribute(node, "block_size")
    zeros = node.input[3] if len(node.input) > 3 else ""
    grid = _grid(after, bits, block, node.input[2], zeros, wanted.shape)
    codes = unpack(after.array(node.input[1]), bits, wanted.shape[1])
    return _Rounded(_names(members), wanted, grid, codes, nearest=bits == 8)


def _in_integers(
    after: Graph,
    node: Any,
    members: Sequence[Product],
    wanted: NDArray[np.float32],
    producers: Mapping[str, Any],
) -> _Rounded:
    """One scale for each output. What the input is divided by, the weight was multiplied by."""
    divided = producers.get(producers[node.input[0]].input[0])
    if divided is not None and divided.name.endswith("/Even"):
        with np.errstate(divide="ignore", invalid="ignore"):
            wanted = wanted / after.array(divided.input[1])
    grid = Grid(8, wanted.shape[1], after.array(node.input[3]).reshape(-1, 1), None)
    codes = after.array(node.input[1]).T.astype(np.int16) + grid.middle
    return _Rounded(_names(members), wanted, grid, codes.astype(np.uint8), nearest=False)


def _in_table(
    after: Graph, node: Any, table: Table, wanted: NDArray[np.float32], producers: Mapping[str, Any]
) -> _Rounded:
    """Its codes may be those of the head, in another shape, rounded as the head is."""
    name, shared = node.input[0], node.input[0] in producers
    if shared:
        name = producers[name].input[0]
    bits, block = attribute(node, "bits", 4), attribute(node, "block_size")
    zeros = node.input[3] if len(node.input) > 3 else ""
    grid = _grid(after, bits, block, node.input[2], zeros, wanted.shape)
    codes = unpack(after.array(name), bits, wanted.shape[1])
    return _Rounded(table.name, wanted, grid, codes, nearest=bits == 8 or not shared)


def _grid(
    after: Graph, bits: int, block: int, scales: str, zeros: str, shape: tuple[int, ...]
) -> Grid:
    count = -(-shape[1] // block)
    return Grid(
        bits, block, after.array(scales).reshape(shape[0], count),
        unpack(after.array(zeros).reshape(shape[0], -1), bits, count) if zeros else None,
    )  # fmt: skip


def _names(members: Sequence[Product]) -> str:
    return ", ".join(member.name for member in members)


def _check_rounded(rounded: _Rounded) -> None:
    outputs, inputs = rounded.wanted.shape
    if rounded.codes.shape != (outputs, inputs):
        raise _WrongError(f"{rounded.name} has other outputs or inputs than it was made from")
    energy, along = np.zeros(inputs), np.zeros(inputs)
    step = max(1, _AT_ONCE // max(1, inputs))
    for start in range(0, outputs, step):
        part = slice(start, start + step)
        wanted, codes = rounded.wanted[part], rounded.codes[part]
        grid = outputs_of(rounded.grid, part)
        with np.errstate(over="ignore", invalid="ignore"):
            found = values(grid, codes)
        if not (np.isfinite(found).all() and np.isfinite(wanted).all()):
            raise _WrongError(f"{rounded.name} holds numbers that are not finite")
        if rounded.nearest:
            _check_nearest(rounded.name, grid, codes, wanted, found)
        else:
            _check_blocks(rounded.name, grid, wanted, found)
            energy += np.einsum("ok,ok->k", wanted, wanted, dtype=np.float64)
            along += np.einsum("ok,ok->k", wanted, found, dtype=np.float64)
    if not rounded.nearest:
        _check_factors(f"the inputs of {rounded.name}", energy[None], along[None])


def _check_nearest(
    name: str,
    grid: Grid,
    codes: NDArray[np.uint8],
    wanted: NDArray[np.float32],
    found: NDArray[np.float32],
) -> None:
    """No number is further from its own than half a step, but for those that the range cuts."""
    scales, _ = grid.spread(wanted.shape[1])
    off = np.abs(found - wanted) > HALF_A_STEP * scales
    cut = ((codes == 0) & (wanted < found)) | ((codes == grid.top) & (wanted > found))
    count = int((off & ~cut).sum())
    if count:
        raise _WrongError(
            f"{count:,} of the numbers of {name} are further from those that they were made from "
            "than rounding takes them"
        )


def _check_blocks(
    name: str, grid: Grid, wanted: NDArray[np.float32], found: NDArray[np.float32]
) -> None:
    rest = -wanted.shape[1] % grid.block
    shape = (len(wanted), -1, grid.block)
    ours, theirs = (np.pad(each, ((0, 0), (0, rest))).reshape(shape) for each in (wanted, found))
    energy = np.einsum("rbk,rbk->rb", ours, ours, dtype=np.float64)
    along = np.einsum("rbk,rbk->rb", ours, theirs, dtype=np.float64)
    _check_factors(name, energy, along)
    error = np.einsum("rbk,rbk->rb", theirs - ours, theirs - ours, dtype=np.float64)
    usual = np.maximum(energy, energy.mean(axis=1, keepdims=True))
    if (error > NOISE[grid.bits] ** 2 * usual).any():
        place = int(np.argmax(error / np.maximum(usual, 1e-30)) // error.shape[1])
        raise _WrongError(
            f"output {place} of {name} holds other numbers than it was made from, by more than "
            f"{grid.bits} bits account for"
        )


def _check_factors(name: str, energy: NDArray[np.float64], along: NDArray[np.float64]) -> None:
    """Of every block, or input, that is large enough: what it was multiplied by on the whole."""
    loud = energy > QUIET * energy.mean(axis=1, keepdims=True)
    factors = np.divide(along, energy, out=np.ones_like(energy), where=loud)
    wrong = (factors < FACTORS[0]) | (factors > FACTORS[1])
    if wrong.any():
        factor = float(factors[wrong][0])
        raise _WrongError(
            f"{int(wrong.sum()):,} of the {wrong.size:,} parts of {name} are not what they were "
            f"made from: one is {factor:.3g} times it"
        )
