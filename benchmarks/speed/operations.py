"""How many floating-point operations a row needs, counted from a model's sizes.

Counted: every matrix product of forward and backward pass at real (non-padding) tokens, and the
two products of attention. Not counted: embeddings, norms, activations, softmax, the optimizer, and
whatever a program computes without need (padding, logits where nothing is learnt).

A product of one position with a matrix of ``a`` times ``b`` is ``a * b`` multiply-adds, that is
two operations forward, two for the gradient of its input and two for that of the matrix: 6. A
frozen matrix needs no gradient of its own: 4. Attention has no weights, and its two products of
two computed sides need 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Matrix:
    """Like matrices that one row goes through.

    Attributes:
        inputs, outputs: their two sides.
        count: how many there are.
        positions: at how many positions of the row.
        adapted: whether low-rank adapters would sit on them.
    """

    inputs: int
    outputs: int
    count: int
    positions: int
    adapted: bool = True

    def operations(self, rank: int | None) -> float:
        """Forward and backward; with ``rank`` the matrix is frozen beside two trained ones."""
        times = self.count * self.positions
        if rank is None:
            return 6.0 * times * self.inputs * self.outputs
        adapters = 6.0 * times * rank * (self.inputs + self.outputs) if self.adapted else 0.0
        return 4.0 * times * self.inputs * self.outputs + adapters


def row_operations(
    config: Config, tokens: int, learnt: int, *, labels: int = 0, rank: int | None = None
) -> float:
    """Operations of one training row, forward and backward.

    Args:
        config: a Hugging Face config as a dict: t5, llama, gpt2, bert or distilbert.
        tokens: of the encoder's input (t5), or of the whole sequence.
        learnt: tokens with a loss; for t5 also the length of the decoder's input.
        labels: classes of a classifier.
        rank: of low-rank adapters; None: every weight is trained.
    """
    matrices, attention = _SHAPES[config["model_type"]](config, tokens, learnt, labels)
    return sum(matrix.operations(rank) for matrix in matrices) + 6.0 * attention


def mean_operations(
    config: Config,
    lengths: Iterable[tuple[int, int]],
    *,
    labels: int = 0,
    rank: int | None = None,
) -> float:
    """Operations of the mean row; ``lengths`` are (tokens, learnt) of each."""
    counts = [row_operations(config, *pair, labels=labels, rank=rank) for pair in lengths]
    return sum(counts) / len(counts)


def causal_pairs(tokens: int) -> int:
    """Pairs of positions of which the second may look at the first, itself included."""
    return tokens * (tokens + 1) // 2


def _t5(c: Config, tokens: int, learnt: int, _: int) -> tuple[list[Matrix], float]:
    width, inner, wide = c["d_model"], c["num_heads"] * c["d_kv"], c["d_ff"]
    encoder = c["num_layers"]
    decoder = c.get("num_decoder_layers") or encoder
    gated = 2 if str(c.get("feed_forward_proj", "relu")).startswith("gated") else 1
    matrices = [
        Matrix(width, inner, 4 * encoder, tokens),
        Matrix(width, wide, (gated + 1) * encoder, tokens),
        Matrix(width, inner, 4 * decoder, learnt),  # looks at itself
        Matrix(width, inner, 2 * decoder, learnt),  # looks at the input: queries and output
        Matrix(width, inner, 2 * decoder, tokens),  # the same: keys and values
        Matrix(width, wide, (gated + 1) * decoder, learnt),
        Matrix(width, c["vocab_size"], 1, learnt, adapted=False),
    ]
    pairs = encoder * tokens**2 + decoder * (causal_pairs(learnt) + learnt * tokens)
    return matrices, 2.0 * inner * pairs


def _llama(c: Config, tokens: int, learnt: int, _: int) -> tuple[list[Matrix], float]:
    width, wide, layers = c["hidden_size"], c["intermediate_size"], c["num_hidden_layers"]
    heads = c["num_attention_heads"]
    head = c.get("head_dim") or width // heads
    groups = c.get("num_key_value_heads") or heads
    matrices = [
        Matrix(width, heads * head, 2 * layers, tokens),
        Matrix(width, groups * head, 2 * layers, tokens),
        Matrix(width, wide, 3 * layers, tokens),
        Matrix(width, c["vocab_size"], 1, learnt, adapted=False),
    ]
    return matrices, 2.0 * heads * head * layers * causal_pairs(tokens)


def _gpt2(c: Config, tokens: int, learnt: int, _: int) -> tuple[list[Matrix], float]:
    width, layers = c["n_embd"], c["n_layer"]
    matrices = [
        Matrix(width, width, 4 * layers, tokens),
        Matrix(width, c.get("n_inner") or 4 * width, 2 * layers, tokens),
        Matrix(width, c["vocab_size"], 1, learnt, adapted=False),
    ]
    return matrices, 2.0 * width * layers * causal_pairs(tokens)


def _bert(c: Config, tokens: int, _: int, labels: int) -> tuple[list[Matrix], float]:
    sizes = c["hidden_size"], c["intermediate_size"], c["num_hidden_layers"]
    return _encoder(*sizes, tokens, labels)


def _distilbert(c: Config, tokens: int, _: int, labels: int) -> tuple[list[Matrix], float]:
    return _encoder(c["dim"], c["hidden_dim"], c["n_layers"], tokens, labels)


def _encoder(
    width: int, wide: int, layers: int, tokens: int, labels: int
) -> tuple[list[Matrix], float]:
    """Both have one more matrix of the width before the classifier, at the first position."""
    matrices = [
        Matrix(width, width, 4 * layers, tokens),
        Matrix(width, wide, 2 * layers, tokens),
        Matrix(width, width, 1, 1, adapted=False),
        Matrix(width, labels, 1, 1, adapted=False),
    ]
    return matrices, 2.0 * width * layers * tokens**2


_SHAPES = {
    "t5": _t5,
    "llama": _llama,
    "gpt2": _gpt2,
    "bert": _bert,
    "distilbert": _distilbert,
}
