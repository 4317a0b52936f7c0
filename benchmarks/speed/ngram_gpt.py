"""A small GPT for characters that also looks up the last two and three of them.

Rotary positions (Su et al. 2021), RMS norms, also of queries and keys (Henry et al. 2020), squared
ReLU (So et al. 2021), output capped by a tanh (Gemma 2), layers that begin as nothing. What is
looked up costs no products: pairs have a table of their own, triples share one by a hash (as in
Svenstrup et al. 2017), so that the layers need not spend themselves on what a table knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyforge.train.speedups.attention import attention_forward
from tinyforge.train.speedups.norms import normed

EPS = 1e-6
CAP = 15.0
SHARPER = 1.5
"""Scores of unit queries and keys are small; attention could not look at one place alone."""


@dataclass(frozen=True)
class Sizes:
    """Of the model; dropout is that of residual branches and of what is looked up."""

    characters: int
    width: int = 256
    layers: int = 6
    head: int = 64
    hashed: int = 16_384
    dropout: float = 0.2


class Norm(nn.Module):
    """RMS norm, by TinyForge's kernel while it learns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype)
        if self.training:
            return normed(x, weight, EPS, 0.0)
        return functional.rms_norm(x, weight.shape, weight, EPS)


class Layer(nn.Module):
    """Attention, then two linear layers, each added to what came in."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.head = sizes.head
        self.before, self.between = Norm(width), Norm(width)
        self.of_query, self.of_key = Norm(sizes.head), Norm(sizes.head)
        self.query, self.key, self.value, self.join = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.widen = nn.Linear(width, 4 * width, bias=False)
        self.narrow = nn.Linear(4 * width, width, bias=False)
        self.dropout = nn.Dropout(sizes.dropout)
        nn.init.zeros_(self.join.weight)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        rows, length, width = x.shape
        parts = (rows, length, width // self.head, self.head)
        h = self.before(x)
        query = turned(self.of_query(self.query(h).view(parts)).transpose(1, 2), turns)
        key = turned(self.of_key(self.key(h).view(parts)).transpose(1, 2), turns)
        value = self.value(h).view(parts).transpose(1, 2)
        scale = SHARPER / math.sqrt(self.head)
        if self.training:
            seen, _ = attention_forward(
                self, query, key, value, None, scaling=scale, is_causal=True
            )
        else:
            seen = functional.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=scale
            ).transpose(1, 2)
        x = x + self.dropout(self.join(seen.reshape(rows, length, width)))
        inner = functional.relu(self.widen(self.between(x))).square()
        added: Tensor = self.dropout(self.narrow(inner))
        return x + added


class Model(nn.Module):
    """Characters in, logits of the next character out."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.single = nn.Embedding(sizes.characters, sizes.width)
        self.pair = nn.Embedding(sizes.characters**2, sizes.width)
        self.triple = nn.Embedding(sizes.hashed, sizes.width)
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.last = Norm(sizes.width)
        self.head = nn.Linear(sizes.width, sizes.characters, bias=False)
        self.dropout = nn.Dropout(sizes.dropout)
        nn.init.normal_(self.single.weight, std=0.3)
        for table in (self.pair, self.triple):
            nn.init.normal_(table.weight, std=0.02)
        nn.init.zeros_(self.head.weight)

    def forward(self, ids: Tensor) -> Tensor:
        many, length = self.sizes.characters, ids.shape[1]
        one_before, two_before = (functional.pad(ids, (back, 0))[:, :length] for back in (1, 2))
        pairs = ids * many + one_before
        triples = (pairs * many + two_before) * 2_654_435_761 % 4_294_967_291 % self.sizes.hashed
        x = self.single(ids) + self.dropout(self.pair(pairs)) + self.dropout(self.triple(triples))
        x = self.dropout(x)
        turns = rotations(length, self.sizes.head, x.dtype)
        for layer in self.layers:
            x = layer(x, turns)
        logits = self.head(self.last(x)).float()
        return CAP * torch.tanh(logits / CAP)


def rotations(length: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines of each place's angles, shape (length, width / 2)."""
    angles = torch.arange(length)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def turned(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Each place's vector turned by its angles."""
    cos, sin = turns
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
