"""What a vocabulary costs: the share of a model's parameters that its embeddings are."""

from __future__ import annotations

from dataclasses import dataclass

from tinyforge.config.model import ModelSettings
from tinyforge.models.scratch import PRESETS, build_config


@dataclass(frozen=True)
class EmbeddingCost:
    """The parameters of a preset, apart from its vocabulary.

    Attributes:
        preset: its name, for example ``gpt-tiny``.
        family: ``encoder``, ``encoder-decoder`` or ``decoder``.
        row: parameters for each entry of the vocabulary, in and out.
        body: all other parameters.
    """

    preset: str
    family: str
    row: int
    body: int

    def share(self, vocab_size: int) -> float:
        """Share of all parameters that ``vocab_size`` entries take, 0 to 1."""
        return self.row * vocab_size / (self.row * vocab_size + self.body)


class _AnyTokenizer:
    """Stands for a tokenizer where only the size of the model matters."""

    pad_token_id, eos_token_id, bos_token_id = 0, 1, 1

    def __len__(self) -> int:
        return 1_000


def embedding_costs() -> list[EmbeddingCost]:
    """The cost for every preset.

    The models are made without memory for their weights, so that this takes no time.
    """
    return [_cost(name) for name in PRESETS]


def _cost(name: str) -> EmbeddingCost:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

    classes = {
        "encoder": AutoModelForMaskedLM,
        "encoder-decoder": AutoModelForSeq2SeqLM,
        "decoder": AutoModelForCausalLM,
    }
    family = PRESETS[name].family
    config = build_config(name, ModelSettings(), _AnyTokenizer())
    with torch.device("meta"):
        model = classes[family].from_config(config)
    entries = model.get_input_embeddings().weight.shape[0]
    every = {id(p): p.numel() for p in model.parameters()}
    rows = {
        id(layer.weight): layer.weight.numel()
        for layer in (model.get_input_embeddings(), model.get_output_embeddings())
        if layer is not None
    }
    in_and_out = sum(rows.values())
    return EmbeddingCost(name, family, in_and_out // entries, sum(every.values()) - in_and_out)
