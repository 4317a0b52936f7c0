"""What takes the place of what in one graph: weights are rounded here, operators named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.compress.quantize import blocks
from tinyforge.compress.quantize.emit import (
    Emit,
    blocks_emitter,
    integers_emitter,
    store_table,
    table_nodes,
)
from tinyforge.compress.quantize.even import energy_lost, roundings
from tinyforge.compress.quantize.gptq import gptq
from tinyforge.compress.quantize.graph import Graph
from tinyforge.compress.quantize.products import (
    Product,
    Table,
    group_name,
    groups,
    head,
    products,
    rows_of,
    tables,
    weights,
)
from tinyforge.compress.quantize.rows import Inputs, grams, sample
from tinyforge.compress.quantize.scheme import EIGHT, Scheme, Treatment

GRAM_BYTES = 256 * 2**20
"""Memory for what is learnt about the inputs of layers at once."""

Group = tuple[Product, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One layer's new operators.

    Attributes:
        name: the layer, or several that become one.
        outputs: the tensors that it makes.
        nodes: its operators now, the last of each output's among them in ``ends``.
        emit: gives the new operators from names for the outputs.
    """

    name: str
    outputs: tuple[str, ...]
    nodes: tuple[Any, ...]
    ends: tuple[Any, ...]
    emit: Emit


def layer_names(graph: Graph) -> set[str]:
    """Names of all layers of a graph that a scheme can keep, alone and as they are joined."""
    found = products(graph)
    joined = {group_name(members) for members in groups(found)}
    return {each.name for each in found} | joined | {each.name for each in tables(graph)}


def plan(graph: Graph, role: str, scheme: Scheme, watch: Inputs | None) -> list[Change]:
    """The changes that a scheme makes to a graph, in the graph's order; weights are added to it.

    Args:
        watch: the user's rows; None: there are none, and rounding goes by the weights alone.
    """
    found = products(graph)
    last = head(graph, found) if role != "encoder" else None
    kept = set(scheme.keep)
    treated = [
        (members, treatment)
        for members, treatment in _treated(found, last, role, scheme)
        if group_name(members) not in kept
    ]
    in_blocks = [each for each in treated if each[1].method == "blocks"]
    emits: dict[Group, Emit] = {}
    sharpened = _in_blocks(graph, role, in_blocks, scheme.finer, watch, emits)
    _in_integers(graph, role, treated, scheme.finer, watch, emits)
    changes = [_change(members, emits[members]) for members, _ in treated if members in emits]
    head_now = next((t for m, t in sharpened if last is not None and m == (last,)), None)
    changes += [
        change
        for table in tables(graph)
        if table.name not in kept
        for change in _table(graph, table, scheme, last, head_now)
    ]
    return changes


def _treated(
    found: Sequence[Product], last: Product | None, role: str, scheme: Scheme
) -> list[tuple[Group, Treatment]]:
    usual = scheme.layers[role]
    kept = set(scheme.keep)
    body = [each for each in found if each is not last and each.name not in kept]
    joined = groups(body) if usual.fuse else [(each,) for each in body]
    treated = [(members, usual) for members in joined]
    if last is not None and last.name not in kept:
        treated.append(((last,), scheme.head or usual))
    return treated


def _change(members: Group, emit: Emit) -> Change:
    return Change(
        group_name(members), tuple(each.output for each in members),
        tuple(node for each in members for node in each.nodes),
        tuple(each.nodes[-1] for each in members), emit,
    )  # fmt: skip


def _in_blocks(
    graph: Graph,
    role: str,
    treated: Sequence[tuple[Group, Treatment]],
    finer: float,
    watch: Inputs | None,
    emits: dict[Group, Emit],
) -> list[tuple[Group, Treatment]]:
    """Rounds products in blocks; what each was treated with in the end."""
    lost: dict[Group, float] = {}
    for part in _within_memory(treated):
        wanted = [m[0].input for m, t in part if t.bits < 8]
        inside = [name for name in dict.fromkeys(wanted) if name not in graph.inputs]
        seen = grams(watch, role, inside) if watch is not None and inside else {}
        for members, treatment in part:
            gram = seen.get(members[0].input)
            emits[members], lost[members] = _rounded(graph, members, treatment, gram)
    final = list(treated)
    low = [members for members, treatment in treated if treatment.bits < 8]
    worst = sorted(low, key=lambda members: -lost[members])[: round(finer * len(low))]
    for index, (members, treatment) in enumerate(final):
        if members in worst:
            final[index] = (members, replace(EIGHT, fuse=treatment.fuse))
            emits[members], _ = _rounded(graph, members, EIGHT, None)
    return final


def _within_memory(
    treated: Sequence[tuple[Group, Treatment]],
) -> Iterator[list[tuple[Group, Treatment]]]:
    part: list[tuple[Group, Treatment]] = []
    size = 0
    for members, treatment in treated:
        looks = treatment.bits < 8 or treatment.rounding == "gptq"
        more = 4 * members[0].inputs ** 2 if looks else 0
        if part and size + more > GRAM_BYTES:
            yield part
            part, size = [], 0
        part.append((members, treatment))
        size += more
    if part:
        yield part


def _rounded(
    graph: Graph, members: Group, treatment: Treatment, gram: NDArray[np.float32] | None
) -> tuple[Emit, float]:
    """New operators for a group, and the part of its outputs' energy that rounding adds."""
    weight = weights(graph, members)
    block = blocks.fitting_block(treatment.block, members[0].inputs)
    importance = None if gram is None else np.ascontiguousarray(np.diagonal(gram))
    grid = blocks.find_grid(weight, treatment.bits, block, importance)
    if gram is not None and treatment.rounding == "gptq":
        codes = gptq(grid, weight, gram)
    else:
        codes = blocks.round_to(grid, weight)
    lost = 0.0
    if treatment.bits < 8:
        error = weight - blocks.values(grid, codes)
        lost = _energy(error, gram) / max(_energy(weight, gram), 1e-30)
    return blocks_emitter(graph, members, grid, codes), lost


def _energy(weight: NDArray[np.float32], gram: NDArray[np.float32] | None) -> float:
    """Sum of the squared outputs of a weight over the tokens behind ``gram``."""
    passed = weight if gram is None else weight @ gram
    return float(np.einsum("ok,ok->", passed, weight, dtype=np.float64))


def _in_integers(
    graph: Graph,
    role: str,
    treated: Sequence[tuple[Group, Treatment]],
    finer: float,
    watch: Inputs | None,
    emits: dict[Group, Emit],
) -> None:
    """Makes products of whole numbers, but in blocks where too much would be lost."""
    whole = [each for each in treated if each[1].method in ("static", "dynamic")]
    static = [members for members, treatment in whole if treatment.method == "static"]
    rounding = roundings(graph, role, static, watch) if watch is not None and static else {}
    worst: list[Group] = []
    if watch is not None and finer and rounding:
        shown = sample(watch, role, list(rounding))
        lost = {
            members: energy_lost(
                shown[members[0].input], weights(graph, members), rounding[members[0].input]
            )
            for members in static
        }
        worst = sorted(static, key=lambda members: -lost[members])[: round(finer * len(static))]
    rounded: dict[str, tuple[str, str, str]] = {}
    for part in _within_memory(whole):
        wanted = [m[0].input for m, t in part if t.rounding == "gptq" and m not in worst]
        wanted = [name for name in dict.fromkeys(wanted) if name in rounding]
        seen = grams(watch, role, wanted) if watch is not None and wanted else {}
        for members, _ in part:
            name = members[0].input
            if members in worst:
                emits[members], _ = _rounded(graph, members, EIGHT, None)
            else:
                emits[members] = integers_emitter(
                    graph, members, rounding.get(name), seen.get(name), rounded
                )


def _table(
    graph: Graph, table: Table, scheme: Scheme, last: Product | None, head_now: Treatment | None
) -> list[Change]:
    """The change to a table of embeddings; none where it stays."""
    treatment = scheme.embedding
    if last is not None and head_now is not None and _same_weight(graph, table, last):
        block = blocks.fitting_block(head_now.block, last.inputs)
        if last.inputs % block == 0:
            zeros = f"{last.name}.zeros"
            stored = (f"{last.name}.codes", f"{last.name}.scales",
                      zeros if graph.is_weight(zeros) else "")  # fmt: skip
            return [_lookup(graph, table, head_now.bits, block, stored)]
    if treatment is None or treatment.method != "blocks":
        return []
    block = blocks.fitting_block(treatment.block, table.width, smallest=16)
    if table.width % block:
        return []
    rows = rows_of(graph, table)
    grid = blocks.find_grid(rows, treatment.bits, block)
    stored = store_table(graph, table, grid, blocks.round_to(grid, rows))
    return [_lookup(graph, table, treatment.bits, block, stored)]


def _lookup(
    graph: Graph, table: Table, bits: int, block: int, stored: tuple[str, str, str]
) -> Change:
    def emit(outputs: Sequence[str]) -> list[Any]:
        return table_nodes(graph, table, bits, block, stored, outputs[0])

    return Change(table.name, (table.output,), table.nodes, table.nodes[-1:], emit)


def _same_weight(graph: Graph, table: Table, last: Product) -> bool:
    """Whether a table and the head hold the same numbers, stored once or twice."""
    if table.weight == last.weight:
        return table.turned != last.turned
    mine, other = graph.array(table.weight), graph.array(last.weight)
    mine, other = (mine.T if table.turned else mine), (other if last.turned else other.T)
    return mine.shape == other.shape and np.array_equal(mine, other)
