"""Settings of the training loop."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tinyforge.config.base import Stage

SpeedupName = Literal[
    "bfloat16-weights", "adamw", "attention", "dropout", "rms-norm", "gated", "embedding",
    "cross-entropy", "first-token", "muon",
]  # fmt: skip
"""What can make a step faster on a processor; one module each in the package ``train/speedups``."""


class TrainSettings(Stage):
    """How the model learns. ``None`` means: chosen from task, model and data, and recorded."""

    epochs: float | None = Field(None, gt=0, description="Passes over the training rows.")
    max_steps: int | None = Field(None, ge=1, description="Optimizer steps, at most.")
    max_minutes: float | None = Field(
        None, gt=0, description="Minutes of training, at most; the schedule ends with them."
    )
    batch_size: int | None = Field(
        None, ge=1, description="Examples (packed: sequences) per optimizer step."
    )
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="Examples in one forward pass; the rest of the batch is accumulated.",
    )
    micro_batch_tokens: int | None = Field(
        None,
        ge=1,
        description="Padded tokens in one forward pass, at most.",
    )
    optimizer: Literal["adamw", "muon", "sgd"] = Field("adamw", description="Update rule.")
    learning_rate: float | None = Field(None, gt=0, description="Peak learning rate.")
    rest_learning_rate: float | None = Field(
        None,
        gt=0,
        description="Muon: peak learning rate of what is no matrix (embeddings, norms, "
        "biases), which AdamW updates; default: a fixed share of train.learning_rate.",
    )
    schedule: Literal["linear", "cosine", "constant", "wsd"] = Field(
        "linear",
        description="Learning rate after the warm-up; linear and cosine end at 0; wsd (warm-up, "
        "stable, decay) stays at the peak and falls to 0 in the last train.decay_share.",
    )
    decay_share: float = Field(
        0.4, gt=0, le=1, description="wsd: share of the steps in which the rate falls."
    )
    warmup_share: float = Field(
        0.06, ge=0, lt=1, description="Share of the steps in which the learning rate rises."
    )
    weight_decay: float = Field(
        0.01, ge=0, description="Decoupled decay of matrices; biases and norms have none."
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's first decay rate.")
    beta2: float = Field(0.999, ge=0, lt=1, description="AdamW's second decay rate.")
    epsilon: float = Field(1e-8, gt=0, description="AdamW's denominator floor.")
    clip_norm: float = Field(
        1.0, ge=0, description="Largest norm of the whole gradient; 0 turns clipping off."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread out.")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of the matrix products; auto: bfloat16 where the "
        "processor has it.",
    )
    without_speedups: tuple[SpeedupName | Literal["all"], ...] = Field(
        (), description="Speed-ups to do without; each is equal to the plain computation."
    )
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations in the backward pass: less memory, slower."
    )
    bucket: bool = Field(True, description="Put rows of like length into one batch.")
    pack: bool | None = Field(
        None,
        description="Several rows in one sequence, attention kept apart (decoders); "
        "default: only for language-model.",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of split, order, dropout and start.")
    validate_every: int | None = Field(
        None, ge=1, description="Steps between validations; default: about ten in a run."
    )
    early_stopping: int = Field(
        3,
        ge=0,
        description="Validations in a row in which neither train.best_by nor the loss gets "
        "better before training stops; 0: never.",
    )
    best_by: str | None = Field(
        None,
        description="Validation metric that picks the best checkpoint; default: accuracy "
        "or macro_f1 for classification, loss otherwise.",
    )
    checkpoint_every: int | None = Field(
        None, ge=1, description="Steps between checkpoints; default: about one in two minutes."
    )
    keep_checkpoints: int = Field(2, ge=1, description="Checkpoints kept besides the best one.")
    spike_factor: float = Field(
        5.0, gt=1, description="A loss this many times its running mean counts as a spike."
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; default: all cores.")
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        (), description="Where to report besides metrics.jsonl."
    )
