"""Tiny models, tokenizers and windows for the tests of pretraining."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.models.dial import new_config, new_model, preset_of
from tinyforge.tasks.pretraining import FAMILIES, build_objective
from tinyforge.tasks.pretraining.span_corruption import add_sentinels
from tinyforge.text.tokenizer_training import train_tokenizer

ARCHITECTURES = ("gpt", "t5", "bert")

TEXT = (
    "the cat sat on a mat and looked at the old dog that slept under the table in the warm "
    "kitchen while rain fell on the garden and the wind moved the green leaves of the tall trees"
)

SHAPES: dict[str, dict[str, int]] = {
    "gpt": {
        "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2,
        "num_key_value_heads": 1, "num_hidden_layers": 2,
    },
    "t5": {"d_model": 32, "d_ff": 64, "num_heads": 2, "d_kv": 16, "num_layers": 2},
    "bert": {
        "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2,
        "num_hidden_layers": 2,
    },
}  # fmt: skip


def sentences(count: int, seed: int = 0) -> list[str]:
    """Sentences of random words, the same for the same seed."""
    random = np.random.default_rng(seed)
    return [
        " ".join(random.choice(TEXT.split(), size=int(random.integers(5, 15)))) + "."
        for _ in range(count)
    ]


@cache
def tokenizer(architecture: str) -> Any:
    """A small tokenizer of the kind that the architecture uses."""
    family: Any = FAMILIES[architecture]
    kind = "wordpiece" if architecture == "bert" else "bpe"
    made = train_tokenizer(sentences(300), kind, 320, family=family, lowercase=kind != "bpe")
    if architecture == "t5":
        add_sentinels(made)
    return made


def tiny(architecture: str, *, context: int = 32, seed: int = 0, **options: Any) -> tuple[Any, Any]:
    """A tiny model and its objective."""
    made = tokenizer(architecture)
    preset = preset_of(architecture, "nano", context)
    config = new_config(preset, SHAPES[architecture], made, dropout=0.0)
    model = new_model(architecture, config, seed=seed)
    return model, build_objective(architecture, made, model.config, **options)


@dataclass(frozen=True)
class FakeWindow:
    tokens: NDArray[np.uint16]
    starts: NDArray[np.int64]
    source: str = "fake"


class FakeWindows:
    """Windows of random sentences; each begins in a document, and documents begin within it."""

    def __init__(self, architecture: str, window: int, seed: int = 0) -> None:
        made = tokenizer(architecture)
        end = made.eos_token_id if made.eos_token_id is not None else made.sep_token_id
        self._ids: list[int] = []
        self._starts: list[int] = []
        for text in sentences(400, seed):
            self._starts.append(len(self._ids))
            self._ids += [*made(text, add_special_tokens=False)["input_ids"], end]
        self._window = window
        self.count = len(self._ids) // window

    def window(self, number: int) -> FakeWindow:
        begin = number % self.count * self._window
        end = begin + self._window
        inner = [start - begin for start in self._starts if begin < start < end]
        return FakeWindow(
            np.array(self._ids[begin:end], dtype=np.uint16),
            np.array([0, *inner], dtype=np.int64),
        )
