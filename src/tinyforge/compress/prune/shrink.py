"""A smaller model: which layers, heads and units go, chosen by what matters on some rows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tinyforge.compress.prune.cut import (
    Kept,
    changed,
    head_counts,
    keep_heads,
    keep_layers,
    keep_units,
)
from tinyforge.compress.prune.importance import Floats, least_needed_layers, measure
from tinyforge.compress.prune.shapes import (
    Attention,
    architecture_of,
    groups_of,
    heads_of,
    width_of,
)
from tinyforge.errors import ModelError, SettingError

STEPS = ((256, 32), (64, 8))
"""Widths from which on the kept units are a multiple of so many: what kernels like, and the block
of int4 weights."""

ROWS_FOR_LAYERS = 128
"""Each layer is left out once for every layer that goes, so that fewer rows have to do."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be cut.

    Attributes:
        units: share of every layer's feed-forward units that goes.
        heads: share of every attention's heads that goes; None: as ``units`` where the config
            can say so.
        layers: layers of each stack that stay; None: all.
        passes: in how many passes units and heads go; what is left is measured anew between them.
    """

    units: float = 0.0
    heads: float | None = None
    layers: int | None = None
    passes: int = 4


@dataclass(frozen=True)
class Cuts:
    """What was cut.

    Attributes:
        layers: name of a stack -> how many layers it had, and the numbers of those that stayed.
        units, heads: of a layer: how many there were and how many stayed; empty: none went.
        notes: what could not be done as asked.
    """

    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        """Whether the model is as it was."""
        return not (self.layers or self.units or self.heads)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def shrink(
    model: Any,
    task: Any,
    batches: Sequence[Any],
    wish: Wish,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Any, Cuts]:
    """The model without what matters least on the rows; the given one is left as it is.

    Where there is nothing to cut it is returned itself.

    Args:
        batches: micro-batches of the rows, in an order of no meaning.
        tell: told what is being done.

    Raises:
        ModelError: the architecture is not known.
        SettingError: a wish that has no effect, or cannot be had.
    """
    architecture = architecture_of(model.config)
    _check(model, wish)
    cuts = Cuts()
    if wish.layers is not None:
        tell("looking which layers matter least")
        before = architecture.layers(model.config)
        kept = least_needed_layers(model, task, _some(batches, ROWS_FOR_LAYERS), wish.layers)
        for stack, had, stay in zip(architecture.stacks, before, kept, strict=True):
            if len(stay) < had:
                cuts.layers[stack.name] = {"had": had, "kept": stay}
        model = keep_layers(model, kept) if cuts.layers else model
    width = width_of(architecture, model.config)
    target = units_to_keep(width, wish.units)
    groups, fewer = _head_targets(model, wish, cuts)
    for number in range(1, wish.passes + 1):
        done = number / wish.passes
        units = width if target == width else units_to_keep(width, done * (1 - target / width))
        heads = groups - math.floor((groups - fewer) * done + 1e-9)
        model = _one_pass(model, task, batches, units, heads, tell)
    if target < width:
        cuts.units.update(had=width, kept=target)
    if fewer < groups:
        cuts.heads.update(had=groups, kept=fewer)
    return model, cuts


def _one_pass(
    model: Any,
    task: Any,
    batches: Sequence[Any],
    units: int,
    groups: int,
    tell: Callable[[str], None],
) -> Any:
    """The model with no more than so many units and key-value heads a layer."""
    architecture = architecture_of(model.config)
    shape = heads_of(architecture, model.config)
    more_units = units < width_of(architecture, model.config)
    more_heads = shape is not None and groups < groups_of(shape, model.config)[0]
    more_heads = more_heads and _allowed(model, groups)
    if not more_units and not more_heads:
        return model
    tell("measuring what units and heads matter on the rows")
    found = measure(model, task, batches)
    if more_units:
        model = keep_units(model, {k: best(v, units) for k, v in found.units.items()})
    if more_heads:
        model = keep_heads(model, best_heads(model, found.heads, groups))
    return model


def best(scores: Floats, count: int) -> Kept:
    """The numbers of the highest scores, ascending; of equal ones the first."""
    order = np.argsort(-scores, kind="stable")[:count]
    return np.sort(order).astype(np.int64)


def best_heads(model: Any, scores: Mapping[Attention, Floats], count: int) -> dict[Attention, Kept]:
    """The heads to keep in each attention; the same ones where attentions share something."""
    architecture = architecture_of(model.config)
    tied = architecture.heads.tied if architecture.heads is not None else None
    sums: dict[int, Floats] = {}
    for place, each in scores.items():
        if tied is not None and re.fullmatch(tied, place.name):
            sums[place.stack] = sums[place.stack] + each if place.stack in sums else each
    return {
        place: best(
            sums[place.stack] if tied is not None and re.fullmatch(tied, place.name) else each,
            count,
        )
        for place, each in scores.items()
    }


def units_to_keep(width: int, share: float) -> int:
    """How many units stay where a share goes: never fewer than asked, rounded up."""
    step = next((step for least, step in STEPS if width >= least), 1)
    kept = math.ceil(round(width * (1 - share), 6) / step) * step
    return max(min(step, width), min(width, kept))


def _head_targets(model: Any, wish: Wish, cuts: Cuts) -> tuple[int, int]:
    """How many key-value heads there are, and how many stay; both 0 where none can go."""
    architecture = architecture_of(model.config)
    shape = heads_of(architecture, model.config)
    share = wish.units if wish.heads is None else wish.heads
    if shape is None:
        if share:
            cuts.notes.append(
                "attention heads stay: the config of this architecture cannot say that some are "
                "missing"
            )
        return 0, 0
    groups = groups_of(shape, model.config)[0]
    fewest = max(1, math.ceil(round(groups * (1 - share), 6)))
    kept = next((n for n in range(fewest, groups) if _allowed(model, n)), groups)
    if kept > fewest:
        cuts.notes.append(
            f"{kept} of {groups} key-value heads stay in a layer and not {fewest}: the "
            "architecture allows no other number"
        )
    return groups, kept


def _allowed(model: Any, groups: int) -> bool:
    """Whether the config takes so many key-value heads (Llama's heads must divide its width)."""
    try:
        changed(model.config, head_counts(architecture_of(model.config), model.config, groups))
    except ModelError:
        return False
    return True


def _check(model: Any, wish: Wish) -> None:
    architecture = architecture_of(model.config)
    counts = architecture.layers(model.config)
    if wish.layers is not None and wish.layers >= max(counts):
        raise SettingError(
            f"the model has no more than {max(counts)} layers, so none would go",
            where="prune.layers", value=wish.layers, fix=f"Give a number below {max(counts)}",
        )  # fmt: skip
    if wish.heads and heads_of(architecture, model.config) is None:
        raise SettingError(
            f"the config of a {model.config.model_type} cannot say that heads are missing",
            where="prune.heads", value=wish.heads, fix="Leave it out; prune.share takes units",
        )  # fmt: skip


def _some(batches: Sequence[Any], rows: int) -> list[Any]:
    """As many of the batches as hold so many rows, from all over them."""
    total = sum(batch.examples for batch in batches)
    count = max(1, min(len(batches), round(len(batches) * rows / max(1, total))))
    return [batches[int(i)] for i in np.linspace(0, len(batches) - 1, count)]
