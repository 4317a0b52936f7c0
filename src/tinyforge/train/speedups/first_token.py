"""A classifier's last layer, computed for the first token only: no other is ever read.

BERT, DistilBERT and their kin classify by the first token's state. Their last layer needs keys and
values of all tokens, but its query, output projection and feed-forward part, five sixths of its
products, for one. Only while a classifier trains, and only where the logits of a trial are the
same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tinyforge.train.speedups.attention import attention_forward

Forward = Callable[[Any, Tensor, Tensor | None], Tensor]


def last_layer(model: nn.Module) -> tuple[nn.Module, Forward] | None:
    """A classifier's last layer and how to compute its first token; None where none is known.

    The answer is a guess from the parts' names; ``agrees`` tries it out.
    """
    if not int(getattr(getattr(model, "config", None), "num_labels", 0) or 0):
        return None
    if not any(isinstance(m, nn.Linear) and m.out_features == model.config.num_labels  # type: ignore[union-attr]
               for m in model.modules()):  # fmt: skip
        return None
    found: list[tuple[nn.Module, Forward]] = []
    for module in model.modules():
        attention = getattr(module, "attention", None)
        if hasattr(attention, "self") and hasattr(module, "feed_forward_chunk"):
            if not getattr(module, "is_decoder", False):
                found.append((module, _bert))
        elif hasattr(attention, "q_lin") and hasattr(module, "output_layer_norm"):
            found.append((module, _distilbert))
    return found[-1] if found else None


def layer_class(kind: type[nn.Module], first: Forward) -> type[nn.Module]:
    """A subclass of a layer's class that gives the first token's state alone while training."""

    def forward(
        self: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, *rest: Any,
        **more: Any,
    ) -> Any:  # fmt: skip
        boolean = attention_mask is None or attention_mask.dtype == torch.bool
        if not self.training or not boolean:
            return kind.forward(self, hidden_states, attention_mask, *rest, **more)
        return first(self, hidden_states, attention_mask)

    return type(f"FirstToken{kind.__name__}", (kind,), {"forward": forward})


@torch.no_grad()
def agrees(model: nn.Module, layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a model's logits are the same with the layer as ``kind``; float32, no dropout."""
    places = torch.arange(5, 12)
    inputs = {"input_ids": torch.stack([places, places.flip(0)]) % _vocabulary(model)}
    inputs["attention_mask"] = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    plain, modes = type(layer), {module: module.training for module in model.modules()}
    model.eval()
    try:
        whole = model(**inputs).logits
        layer.__class__ = kind
        layer.training = True  # this layer alone; dropout inside it stays off
        ours = model(**inputs).logits
    except (RuntimeError, TypeError, AttributeError, ValueError, IndexError):
        return False
    finally:
        layer.__class__ = plain
        for module, mode in modes.items():
            module.training = mode
    return bool(whole.ndim == 2 and torch.allclose(whole, ours, rtol=1e-4, atol=1e-5))


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().num_embeddings)


def _heads(x: Tensor, width: int) -> Tensor:
    return x.view(*x.shape[:-1], -1, width).transpose(1, 2)


def _attend(
    module: Any, first: Tensor, hidden: Tensor, mask: Tensor | None, names: tuple[str, str, str]
) -> Tensor:
    """The first token's look at all: (rows, 1, width)."""
    query, key, value = (getattr(module, name) for name in names)
    width = module.attention_head_size
    attended, _ = attention_forward(
        module, _heads(query(first), width), _heads(key(hidden), width),
        _heads(value(hidden), width), None if mask is None else mask[:, :, :1],
        dropout=module.dropout.p if module.dropout.training else 0.0, scaling=module.scaling,
        is_causal=False,
    )  # fmt: skip
    return attended.flatten(2)


def _bert(layer: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    first = hidden[:, :1]
    attended = _attend(layer.attention.self, first, hidden, mask, ("query", "key", "value"))
    out: Tensor = layer.feed_forward_chunk(layer.attention.output(attended, first))
    return out


def _distilbert(layer: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    first = hidden[:, :1]
    attended = _attend(layer.attention, first, hidden, mask, ("q_lin", "k_lin", "v_lin"))
    attended = layer.sa_layer_norm(layer.attention.out_lin(attended) + first)
    out: Tensor = layer.output_layer_norm(layer.ffn(attended) + attended)
    return out
