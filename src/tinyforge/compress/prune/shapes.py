"""What can be cut from each architecture: names of weights, and the sizes in its config.

Only what the config has a number for is cut, so that plain ``from_pretrained`` builds the smaller
model. One number stands for all layers: every layer keeps as many units, each its own best ones.
BERT, DistilBERT and GPT-2 have heads of ``hidden size / heads``, so that none can be missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from tinyforge.errors import ModelError


class Spot(NamedTuple):
    """Where a weight or a module lies: which stack, which layer, and its name within the layer."""

    stack: int
    layer: int
    rest: str


class Attention(NamedTuple):
    """One attention of one layer; a decoder behind an encoder has two in each."""

    stack: int
    layer: int
    name: str


@dataclass(frozen=True, slots=True)
class Stack:
    """One row of layers.

    Attributes:
        name: what people call it.
        prefix: regular expression of what stands before a layer's number.
        field: the number of layers in the config.
    """

    name: str
    prefix: str
    field: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A weight that holds something of every head, by its name within the attention.

    Attributes:
        dim: the dimension along which heads lie.
        of: what lies there for a key-value head: the ``queries`` that share it, ``keys`` of one
            head, or a single ``number``.
    """

    pattern: str
    dim: int
    of: Literal["queries", "keys", "number"]


@dataclass(frozen=True)
class Heads:
    """The attention of an architecture.

    Attributes:
        attention: regular expression of an attention's name within a layer.
        output: the name within it of the layer whose input is what the heads found.
        slots: the weights.
        count: the number of query heads in the config.
        groups: the number of key-value heads; None: as many as query heads.
        size: the width of a head.
        tied: regular expression of attentions whose heads have to be the same ones in all layers
            of a stack, because they share something (T5's relative positions).
    """

    attention: str
    output: str
    slots: tuple[Slot, ...]
    count: str
    groups: str | None
    size: str
    tied: str | None = None


@dataclass(frozen=True)
class Architecture:
    """How one kind of model is built.

    Attributes:
        types: its ``model_type`` names.
        units: weight's name within a layer -> the dimension along which feed-forward units lie.
        unit_output: name of the layer whose input is what the units found.
        width: the number of units in the config.
        heads: None where the config cannot say that some are missing.
        first_only: weights of a stack's first layer that stay with whichever layer is first.
    """

    types: tuple[str, ...]
    stacks: tuple[Stack, ...]
    units: Mapping[str, int]
    unit_output: str
    width: str
    heads: Heads | None = None
    first_only: str | None = None
    no_heads: tuple[str, ...] = field(default=())

    def spot(self, name: str) -> Spot | None:
        """Where a weight or module lies; None outside the layers."""
        for number, stack in enumerate(self.stacks):
            found = re.fullmatch(rf"{stack.prefix}\.(\d+)\.(.+)", name)
            if found:
                return Spot(number, int(found[1]), found[2])
        return None

    def unit_dim(self, rest: str) -> int | None:
        """Along which dimension of a weight feed-forward units lie; None: it has none."""
        return next((d for name, d in self.units.items() if re.fullmatch(name, rest)), None)

    def slot(self, rest: str) -> tuple[str, Slot] | None:
        """The attention that a weight belongs to, and how heads lie in it."""
        if self.heads is None:
            return None
        for slot in self.heads.slots:
            found = re.fullmatch(rf"({self.heads.attention})\.{slot.pattern}", rest)
            if found:
                return found[1], slot
        return None

    def layers(self, config: Any) -> list[int]:
        """How many layers each stack has."""
        return [int(getattr(config, stack.field)) for stack in self.stacks]

    def unit_outputs(self, model: Any) -> Iterator[tuple[Spot, Any]]:
        """Each layer's module whose input is what its feed-forward units found."""
        for name, module in model.named_modules():
            spot = self.spot(name)
            if spot is not None and re.fullmatch(self.unit_output, spot.rest):
                yield spot, module

    def head_outputs(self, model: Any) -> Iterator[tuple[Attention, Any]]:
        """Each attention's module whose input is what its heads found."""
        if self.heads is None:
            return
        for name, module in model.named_modules():
            spot = self.spot(name)
            pattern = rf"({self.heads.attention})\.{self.heads.output}"
            found = re.fullmatch(pattern, spot.rest) if spot is not None else None
            if spot is not None and found:
                yield Attention(spot.stack, spot.layer, found[1]), module


_T5_HEADS = Heads(
    attention=r"layer\.\d\.(?:SelfAttention|EncDecAttention)",
    output="o",
    slots=(
        Slot(r"[qkv]\.weight", 0, "keys"),
        Slot(r"o\.weight", 1, "keys"),
        Slot(r"relative_attention_bias\.weight", 1, "number"),
    ),
    count="num_heads",
    groups=None,
    size="d_kv",
    tied=r"layer\.\d\.SelfAttention",
)
_LLAMA_HEADS = Heads(
    attention="self_attn",
    output="o_proj",
    slots=(
        Slot(r"q_proj\.(?:weight|bias)", 0, "queries"),
        Slot(r"o_proj\.weight", 1, "queries"),
        Slot(r"[kv]_proj\.(?:weight|bias)", 0, "keys"),
    ),
    count="num_attention_heads",
    groups="num_key_value_heads",
    size="head_dim",
)

ARCHITECTURES = (
    Architecture(
        types=("bert", "roberta", "xlm-roberta", "camembert", "electra"),
        stacks=(Stack("layers", r"(?:.*\.)?encoder\.layer", "num_hidden_layers"),),
        units={r"intermediate\.dense\.(?:weight|bias)": 0, r"output\.dense\.weight": 1},
        unit_output=r"output\.dense",
        width="intermediate_size",
    ),
    Architecture(
        types=("distilbert",),
        stacks=(Stack("layers", r"(?:.*\.)?transformer\.layer", "n_layers"),),
        units={r"ffn\.lin1\.(?:weight|bias)": 0, r"ffn\.lin2\.weight": 1},
        unit_output=r"ffn\.lin2",
        width="hidden_dim",
    ),
    Architecture(
        types=("t5", "mt5", "umt5"),
        stacks=(
            Stack("encoder layers", r"(?:.*\.)?encoder\.block", "num_layers"),
            Stack("decoder layers", r"(?:.*\.)?decoder\.block", "num_decoder_layers"),
        ),
        units={
            r"layer\.\d\.DenseReluDense\.wi(?:_\d)?\.weight": 0,
            r"layer\.\d\.DenseReluDense\.wo\.weight": 1,
        },
        unit_output=r"layer\.\d\.DenseReluDense\.wo",
        width="d_ff",
        heads=_T5_HEADS,
        first_only=r"layer\.0\.SelfAttention\.relative_attention_bias\.weight",
        no_heads=("umt5",),  # every layer has relative positions of its own
    ),
    Architecture(
        types=("gpt2",),
        stacks=(Stack("layers", r"(?:.*\.)?h", "n_layer"),),
        # Conv1D: the weight's rows are its inputs.
        units={r"mlp\.c_fc\.weight": 1, r"mlp\.c_fc\.bias": 0, r"mlp\.c_proj\.weight": 0},
        unit_output=r"mlp\.c_proj",
        width="n_inner",
    ),
    Architecture(
        types=("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3",
               "granite", "olmo", "olmo2"),
        stacks=(Stack("layers", r"(?:.*\.)?layers", "num_hidden_layers"),),
        units={r"mlp\.(?:gate|up)_proj\.(?:weight|bias)": 0, r"mlp\.down_proj\.weight": 1},
        unit_output=r"mlp\.down_proj",
        width="intermediate_size",
        heads=_LLAMA_HEADS,
        no_heads=("olmo2",),  # it normalises all heads together
    ),
)  # fmt: skip


def architecture_of(config: Any) -> Architecture:
    """How a model is built.

    Raises:
        ModelError: nothing is known of its insides.
    """
    kind = str(config.model_type)
    for known in ARCHITECTURES:
        if kind in known.types:
            return known
    listed = ", ".join(name for known in ARCHITECTURES for name in known.types)
    raise ModelError(
        "the insides of this kind of model are not known, so only its vocabulary can be cut",
        value=kind, fix=f"Leave --prune and --layers out, or choose one of: {listed}",
    )  # fmt: skip


def heads_of(architecture: Architecture, config: Any) -> Heads | None:
    """The attention, where the config can say that some heads are missing."""
    return None if config.model_type in architecture.no_heads else architecture.heads


def width_of(architecture: Architecture, config: Any) -> int:
    """Feed-forward units of a layer."""
    width = getattr(config, architecture.width)
    return int(4 * config.hidden_size if width is None else width)  # GPT-2 writes null for 4 times


def groups_of(heads: Heads, config: Any) -> tuple[int, int, int]:
    """Key-value heads, query heads that share one, and the width of a head."""
    queries = int(getattr(config, heads.count))
    groups = int((getattr(config, heads.groups, None) or queries) if heads.groups else queries)
    size = getattr(config, heads.size, None) or config.hidden_size // queries
    return groups, queries // groups, int(size)
