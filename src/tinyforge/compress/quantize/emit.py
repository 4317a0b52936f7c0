"""The operators that take the place of a float product or lookup."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.compress.quantize import blocks
from tinyforge.compress.quantize.blocks import Grid
from tinyforge.compress.quantize.channels import Rounding, channel_codes
from tinyforge.compress.quantize.graph import CONTRIB, Graph, node
from tinyforge.compress.quantize.products import (
    Product,
    Table,
    biases,
    group_name,
    weights,
)

ACCURACY = 4
"""MatMulNBits rounds its inputs to 8 bits too, block by block, and multiplies whole numbers."""

Emit = Callable[[Sequence[str]], list[Any]]
"""Gives the operators of a group of products, from the names their outputs shall have."""

Stored = tuple[str, str, str]
"""Names of a table's codes, scales and zeros; no zeros: an empty name."""


def blocks_emitter(
    graph: Graph, members: Sequence[Product], grid: Grid, codes: NDArray[np.uint8]
) -> Emit:
    """A group of products as one MatMulNBits."""
    name, first = group_name(members), members[0]
    inputs = [
        first.input,
        graph.add(f"{name}.codes", blocks.pack_codes(grid, codes)),
        graph.add(f"{name}.scales", grid.scales),
    ]
    zeros, bias = blocks.pack_zeros(grid), biases(graph, members)
    if zeros is not None:
        inputs.append(graph.add(f"{name}.zeros", zeros))
    if bias is not None:
        inputs += [""] * (5 - len(inputs)) + [graph.add(f"{name}.bias", bias)]
    settings = {
        "K": first.inputs, "N": sum(each.outputs for each in members), "bits": grid.bits,
        "block_size": grid.block, "accuracy_level": ACCURACY,
    }  # fmt: skip

    def emit(outputs: Sequence[str]) -> list[Any]:
        whole = _whole(outputs)
        product = node("MatMulNBits", inputs, [whole], f"{whole}/MatMulNBits", domain=CONTRIB,
                       **settings)  # fmt: skip
        return [product, *_parts(graph, members, whole, outputs)]

    return emit


def integers_emitter(
    graph: Graph,
    members: Sequence[Product],
    rounding: Rounding | None,
    gram: NDArray[np.float32] | None,
    rounded: dict[str, tuple[str, str, str]],
) -> Emit:
    """A group of products as one of whole numbers.

    Args:
        rounding: of the input; None: its range is found anew in each batch.
        gram: as ``channel_codes``, of the input before any division.
        rounded: inputs whose rounded form is there already: its name, and those of its scale and
            its zero; what is made here is entered.
    """
    name, source = group_name(members), members[0].input
    weight = weights(graph, members)
    if rounding is not None and rounding.divisors is not None:
        weight = rounding.weight(weight)
        if gram is not None:
            gram = gram / np.outer(rounding.divisors, rounding.divisors)
    codes, scales = channel_codes(weight, gram)
    stored = graph.add(f"{name}.codes", codes)
    scale = graph.add(f"{name}.scales", scales)
    bias = biases(graph, members)
    tail = [] if bias is None else ["", graph.add(f"{name}.bias", bias)]

    def emit(outputs: Sequence[str]) -> list[Any]:
        before = []
        if source not in rounded:
            rounded[source] = _rounded_names(graph, source, rounding)
            before = _rounding_nodes(graph, source, rounded[source], rounding)
        small, small_scale, small_zero = rounded[source]
        whole = _whole(outputs)
        product = node(
            "MatMulIntegerToFloat", [small, stored, small_scale, scale, small_zero, *tail],
            [whole], f"{whole}/MatMulIntegerToFloat", domain=CONTRIB,
        )  # fmt: skip
        return [*before, product, *_parts(graph, members, whole, outputs)]

    return emit


def store_table(graph: Graph, table: Table, grid: Grid, codes: NDArray[np.uint8]) -> Stored:
    """Put a table's codes (tokens, width) into the graph."""
    packed = blocks.pack_codes(grid, codes).reshape(len(codes), -1)
    zeros = blocks.pack_zeros(grid)
    return (
        graph.add(f"{table.name}.rows.codes", packed),
        graph.add(f"{table.name}.rows.scales", grid.scales),
        "" if zeros is None else graph.add(f"{table.name}.rows.zeros", zeros),
    )


def table_nodes(
    graph: Graph, table: Table, bits: int, block: int, stored: Stored, output: str
) -> list[Any]:
    """A lookup in a rounded table; codes may have the shape that a head has them in."""
    codes, scales, zeros = stored
    before = []
    if len(graph.shape(codes)) == 3:
        tokens, blocks_of, size = graph.shape(codes)
        rows = f"{output}/rows"
        shape = graph.add(f"{rows}.shape", np.array([tokens, blocks_of * size], np.int64))
        before = [node("Reshape", [codes, shape], [rows], rows)]
        codes = rows
    inputs = [codes, table.ids, scales] + ([zeros] if zeros else [])
    lookup = node(
        "GatherBlockQuantized", inputs, [output], f"{output}/GatherBlockQuantized", domain=CONTRIB,
        bits=bits, block_size=block, gather_axis=0, quantize_axis=1,
    )  # fmt: skip
    return [*before, lookup]


def _whole(outputs: Sequence[str]) -> str:
    return outputs[0] if len(outputs) == 1 else f"{outputs[0]}/whole"


def _parts(
    graph: Graph, members: Sequence[Product], whole: str, outputs: Sequence[str]
) -> list[Any]:
    if len(outputs) == 1:
        return []
    sizes = np.array([each.outputs for each in members], np.int64)
    return [
        node("Split", [whole, graph.add(f"{whole}.sizes", sizes)], outputs, f"{whole}/Split",
             axis=-1)
    ]  # fmt: skip


def _rounded_names(graph: Graph, source: str, rounding: Rounding | None) -> tuple[str, str, str]:
    names = (f"{source}/rounded", f"{source}/scale", f"{source}/zero")
    if rounding is not None:
        graph.add(names[1], np.asarray(rounding.scale, np.float32))
        graph.add(names[2], np.asarray(rounding.zero, np.uint8))
    return names


def _rounding_nodes(
    graph: Graph, source: str, names: tuple[str, str, str], rounding: Rounding | None
) -> list[Any]:
    if rounding is None:
        return [node("DynamicQuantizeLinear", [source], list(names), f"{source}/Round")]
    before, even = [], source
    if rounding.divisors is not None:
        even = f"{source}/even"
        factors = graph.add(f"{source}.factors", 1 / rounding.divisors)
        before = [node("Mul", [source, factors], [even], f"{source}/Even")]
    return [*before, node("QuantizeLinear", [even, *names[1:]], [names[0]], f"{source}/Round")]
