"""What is done to which parts of an exported model, and which schemes are worth trying in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tinyforge.artifacts.export_folder import ExportRecord, Precision
from tinyforge.errors import ModelError, SettingError

Method = Literal["float", "half", "blocks", "dynamic", "static"]
WantedPrecision = Literal["fp32", "bf16", "fp16", "int8", "int4", "auto"]


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of the weights of some products.

    Attributes:
        method: ``float``: left as they are. ``half``: stored in 16 bits and computed in 32.
            ``blocks``: integers with a scale for each block of inputs; an input is rounded to 8
            bits block by block as it is multiplied, so that a row's result does not depend on the
            rows beside it. ``dynamic``: 8 bits with a scale for each output; the inputs of a
            batch are rounded together, with the range that they have, so that a row's result
            depends a little on the rows beside it. ``static``: the same with a range found
            beforehand on the user's rows, for all rows alike; channels that are much larger than
            others are evened out first where that pays (``even.py``).
        bits: of a weight: 16, 8 or 4.
        block: inputs that share a scale (``blocks``); smaller where the layer asks for it.
        rounding: ``nearest``, or ``gptq``: so that a layer's output changes least on the user's
            rows.
        fuse: whether products of the same input become one: fewer operators where they are
            short, as in a decoder's step; among whole numbers the input is rounded once anyway,
            and taking the results apart again costs more than it saves.
    """

    method: Method
    bits: int = 8
    block: int = 128
    rounding: Literal["nearest", "gptq"] = "nearest"
    fuse: bool = True


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to make an exported model smaller.

    Attributes:
        name: short, for people.
        precision: of most weights.
        layers: role of a graph -> what is done to the products in it.
        head: the last product, which makes the logits; None: as the other layers.
        embedding: the tables of token embeddings, rounded to nearest.
        finer: share of the layers, those first that lose most, that get 8 bits in blocks.
        keep: layers left as they are, by name; see ``sensitivity``.
    """

    name: str
    precision: Precision
    layers: Mapping[str, Treatment]
    head: Treatment | None = None
    embedding: Treatment | None = None
    finer: float = 0.0
    keep: tuple[str, ...] = ()

    @property
    def calibrated(self) -> bool:
        """Whether rows make it better."""
        return self.finer > 0 or any(
            part.method == "static" or part.rounding == "gptq"
            for part in (*self.layers.values(), self.head)
            if part is not None
        )

    def without_rows(self) -> Scheme:
        """What can be done of it where there are no rows to go by: its name says so."""
        if not self.calibrated:
            return self
        return replace(
            self, name=f"{self.name}-uncalibrated", head=self.head and _without_rows(self.head),
            layers={role: _without_rows(part) for role, part in self.layers.items()},
        )  # fmt: skip


def _without_rows(part: Treatment) -> Treatment:
    method: Method = "dynamic" if part.method == "static" else part.method
    return replace(part, method=method, rounding="nearest")


FLOAT = Treatment("float", bits=32)
HALF = Treatment("half", bits=16)
STATIC = Treatment("static", rounding="gptq", fuse=False)
EIGHT = Treatment("blocks", bits=8, block=128)
EIGHT_FINE = Treatment("blocks", bits=8, block=32)
FOUR = Treatment("blocks", bits=4, block=128, rounding="gptq")
FOUR_FINE = Treatment("blocks", bits=4, block=32, rounding="gptq")
FOUR_TABLE = Treatment("blocks", bits=4, block=32)


def schemes(precision: WantedPrecision, record: ExportRecord) -> list[Scheme]:
    """The schemes to try on a model, the smallest first, each next one safer.

    The last is the safest of the precision. ``auto`` goes through the precisions and ends with
    the model as it is. What is small and safe differs by family: a decoder waits for its weights
    to come from memory, so each byte less is time won; an encoder reads many tokens at once and
    waits for its products, which whole integers speed up.

    Raises:
        SettingError: there is no such precision.
        ModelError: the model's weights are no longer in 32 bits.
    """
    if record.precision != "fp32":
        raise ModelError(
            "this export is made smaller already", value=record.precision,
            fix="Start from the model itself, or from its export in fp32",
        )  # fmt: skip
    ladder = {
        "int4": _four(record), "int8": _eight(record), "bf16": _half("bf16", record),
        "fp16": _half("fp16", record), "fp32": [_same(record)],
    }  # fmt: skip
    if precision == "auto":
        return [*ladder["int4"], *ladder["int8"], *ladder["fp16"], *ladder["fp32"]]
    if precision not in ladder:
        raise SettingError(
            "unknown precision", value=precision,
            fix=f"Choose one of: {', '.join((*ladder, 'auto'))}",
        )  # fmt: skip
    return ladder[precision]


def _same(record: ExportRecord) -> Scheme:
    return Scheme("fp32", "fp32", dict.fromkeys(record.graphs, FLOAT))


def _half(precision: Literal["bf16", "fp16"], record: ExportRecord) -> list[Scheme]:
    layers = dict.fromkeys(record.graphs, HALF)
    return [Scheme(f"{precision}-storage", precision, layers, head=HALF, embedding=HALF)]


def _eight(record: ExportRecord) -> list[Scheme]:
    blocks = _scheme("int8", "int8", record, EIGHT)
    fine = _scheme("int8-fine", "int8", record, EIGHT_FINE, head=EIGHT_FINE)
    if record.family == "decoder":
        return [blocks, fine]
    static = _scheme("int8-static", "int8", record, STATIC)
    if record.family == "encoder":
        return [static, replace(static, name="int8-mixed", finer=0.25), fine]
    half_static = replace(blocks, name="int8-encoder", layers={**blocks.layers, "encoder": STATIC})
    return [static, half_static, blocks, fine]


def _four(record: ExportRecord) -> list[Scheme]:
    small = _scheme("int4-small", "int4", record, FOUR, head=FOUR, embedding=FOUR_TABLE)
    fine = _scheme("int4-fine", "int4", record, FOUR_FINE)
    return [
        small, _scheme("int4", "int4", record, FOUR), fine,
        replace(fine, name="int4-mixed", finer=0.4),
    ]  # fmt: skip


def _scheme(
    name: str,
    precision: Precision,
    record: ExportRecord,
    layers: Treatment,
    *,
    head: Treatment = EIGHT,
    embedding: Treatment = EIGHT,
) -> Scheme:
    if record.family == "encoder":  # a few numbers for each label, and all that is said
        head = FLOAT
    return Scheme(
        name, precision, dict.fromkeys(record.graphs, layers), head=head, embedding=embedding
    )
