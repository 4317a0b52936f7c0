"""Settings of pretraining: a model from nothing, from raw text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tinyforge.config.base import Stage
from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.config.prepare import PrepareSettings
from tinyforge.config.train import TrainSettings

Architecture = Literal["gpt", "t5", "bert"]
SizeName = Literal["nano", "tiny", "mini", "small", "medium", "large", "xl"]


class PretrainSettings(Stage):
    """What is learnt from which text. ``None`` means: chosen from corpus and machine, and said."""

    architecture: Architecture = Field(
        "gpt", description="gpt: next token; t5: span corruption; bert: masked words."
    )
    size: SizeName | None = Field(
        None,
        description="Size of the model; default: the one with the lowest loss to be expected in "
        "train.max_minutes or pretrain.max_tokens.",
    )
    max_tokens: int | None = Field(
        None, ge=1, description="Tokens learnt from, at most, repetitions counted."
    )
    tokenizer: str | None = Field(
        None, description="Folder of a tokenizer; default: one is trained on the corpus."
    )
    tokenizer_kind: Literal["bpe", "unigram", "wordpiece", "words", "characters"] | None = Field(
        None,
        description="Kind of the tokenizer that is trained; default: bpe, for bert wordpiece.",
    )
    context: int | None = Field(
        None, ge=8, description="Tokens that the model sees at once; default: the size's."
    )
    weights: dict[str, float] = Field(
        default_factory=dict,
        description="How often a source is seen, by its name: 2 is twice as often as it is long; "
        "default: what prepare was told, else 1.",
    )
    cross_documents: bool = Field(
        False, description="Let attention cross from one document to the one before it."
    )
    prepare: bool = Field(
        True,
        description="Clean raw files, drop duplicates and split them (stage prepare) before they "
        "are learnt from; false: every text just as it is.",
    )
    held_share: float | None = Field(
        None,
        gt=0,
        lt=0.5,
        description="Share of every text held out for validation, and again for the test, where "
        "the corpus has too few documents to hold out whole ones; default: 0.05, and for the test "
        "of short texts up to 0.2.",
    )
    validation_tokens: int = Field(
        32_768, ge=64, description="Tokens that each validation looks at, at most."
    )
    test_characters: int = Field(
        400_000, ge=1_000, description="Characters of unseen text in the final judgement, at most."
    )
    short_rows: bool | None = Field(
        None,
        description="Begin with rows of a quarter of the context, then of half of it; default: "
        "where the context is long enough.",
    )
    small_batches: bool = Field(
        True, description="Begin with half of the batch for the first tenth of the steps."
    )
    hidden_share: float | None = Field(
        None, gt=0, lt=1, description="Share of the tokens that are hidden (t5: 0.15; bert: 0.3)."
    )
    span_tokens: float = Field(3.0, ge=1, description="Tokens of a hidden span, on average (t5).")
    whole_words: bool = Field(False, description="Hide all tokens of a word or none (bert).")
    sample_tokens: int = Field(
        40, ge=0, description="Tokens that are written to be looked at, at every validation."
    )


class NewModelSettings(Stage):
    """The model that is made."""

    vocab_size: int | None = Field(
        None, ge=64, description="Vocabulary of the tokenizer that is trained."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout rate of all layers.")
    shape: dict[str, int] = Field(
        default_factory=dict,
        description="Sizes that differ from those of pretrain.size, by the names of the Hugging "
        "Face config, for example {'num_hidden_layers': 3}.",
    )


class CostSettings(Stage):
    """What the machines cost that a run is reckoned on; see ``recipes/pretrain_cost.py``."""

    electricity: float = Field(0.3, ge=0, description="Price of a kilowatt hour.")
    watts: float | None = Field(
        None, gt=0, description="What this machine takes while it works; default: 10 W a core."
    )
    laptop_watts: float = Field(30.0, gt=0, description="What a laptop takes while it works.")
    gpu_watts: float = Field(
        550.0, gt=0, description="What a machine with one consumer GPU takes while it works."
    )
    gpu_price: float = Field(0.4, ge=0, description="Rent of a consumer GPU for an hour.")
    h100_watts: float = Field(
        1_000.0, gt=0, description="What one H100 and its share of the machine take."
    )
    h100_price: float = Field(2.5, ge=0, description="Rent of an H100 for an hour.")


class PretrainRunSettings(Stage):
    """Everything that can be set for ``tinyforge pretrain``."""

    pretrain: PretrainSettings = PretrainSettings()
    model: NewModelSettings = NewModelSettings()
    train: TrainSettings = TrainSettings()
    prepare: PrepareSettings = PrepareSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    cost: CostSettings = CostSettings()
