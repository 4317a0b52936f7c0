"""A tiny model, task and batches for the tests of training; also a program that tests can kill.

``python training_fakes.py FOLDER [--resume] [--set name=value ...]`` trains in FOLDER.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tinyforge.artifacts.run_folder import open_run
from tinyforge.config.train import TrainSettings
from tinyforge.errors import TinyForgeError
from tinyforge.train.fit import _begin, fit
from tinyforge.train.hooks import Listener, Outcome

VOCABULARY, LENGTH, WIDTH = 24, 8, 16


class TinyModel(nn.Module):
    """Embedding, a layer with dropout, norm, and a head tied to the embedding."""

    def __init__(self, dropout: float = 0.2, width: int = WIDTH) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("seen", torch.zeros(1))

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen += 1
        hidden = self.embedding(ids)
        hidden = hidden + self.outer(self.dropout(torch.relu(self.inner(self.norm(hidden)))))
        return self.head(hidden)


def tiny_model(dropout: float = 0.2, seed: int = 7, width: int = WIDTH) -> TinyModel:
    torch.manual_seed(seed)
    return TinyModel(dropout, width)


class TinyTask:
    """Predict the next token; ``fault`` is called before each loss with its running number."""

    name, family, tokenizer = "language-model", "decoder", None

    def __init__(self, fault: Callable[[int, torch.Tensor], float | None] | None = None) -> None:
        self.calls = 0
        self.fault = fault

    def loss(
        self, model: Any, batch: dict[str, torch.Tensor], *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        self.calls += 1
        times = self.fault(self.calls, batch["input_ids"]) if self.fault else None
        logits = model(batch["input_ids"]).float()
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum", ignore_index=-100,
            label_smoothing=label_smoothing,
        )  # fmt: skip
        return loss if times is None else loss * times


@dataclass(frozen=True)
class TinyMicroBatch:
    tensors: dict[str, torch.Tensor]
    units: int
    examples: int
    tokens: int
    padded: int


class TinyBatches:
    """Sequences that count upwards, so that there is something to learn."""

    def __init__(
        self, rows: int = 64, batch_size: int = 8, micro: int = 4, seed: int = 0, odd: bool = True
    ) -> None:
        self.rows, self.batch_size, self.micro, self.seed = rows, batch_size, micro, seed
        self.odd = odd
        self.steps_per_epoch = rows // batch_size
        self.examples = rows

    @property
    def can_halve(self) -> bool:
        return self.micro > 1

    def halved(self) -> TinyBatches:
        micro = max(1, self.micro // 2)
        return TinyBatches(self.rows, self.batch_size, micro, self.seed, self.odd)

    def step(self, index: int) -> list[TinyMicroBatch]:
        epoch, position = divmod(index, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.rows)
        rows = order[position * self.batch_size :][: self.batch_size]
        return [
            self._collate(rows[start : start + self.micro])
            for start in range(0, len(rows), self.micro)
        ]

    def _collate(self, rows: Any) -> TinyMicroBatch:
        ids = (torch.tensor(rows)[:, None] * 3 + torch.arange(LENGTH + 1)) % VOCABULARY
        labels = ids[:, 1:].clone()
        if self.odd:  # rows of different length, so that units differ between micro-batches
            for i, row in enumerate(rows):
                labels[i, LENGTH - int(row) % 3 :] = -100
        units = int((labels != -100).sum())
        return TinyMicroBatch(
            {"input_ids": ids[:, :-1], "labels": labels}, units, len(rows), units, labels.numel()
        )


def settings(**given: Any) -> TrainSettings:
    values: dict[str, Any] = {
        "epochs": 4.0, "batch_size": 8, "learning_rate": 0.01, "precision": "float32",
        "validate_every": 8, "early_stopping": 0, "seed": 3,
    }  # fmt: skip
    return TrainSettings(**(values | given))


def validation_loss(model: Any) -> dict[str, float]:
    batch = TinyBatches(rows=16, batch_size=16, micro=16, seed=99).step(0)[0]
    with torch.no_grad():
        logits = model(batch.tensors["input_ids"])
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), batch.tensors["labels"].flatten(), ignore_index=-100
        )
    right = (logits.argmax(-1) == batch.tensors["labels"]).float().mean()
    return {"loss": float(loss), "accuracy": float(right)}


def digest(model: nn.Module) -> str:
    hasher = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        hasher.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return hasher.hexdigest()


class Recorder(Listener):
    """Keeps everything it is told; may raise at a step."""

    def __init__(self, raise_at: int | None = None, error: BaseException | None = None) -> None:
        self.raise_at, self.error = raise_at, error or RuntimeError("power cut")
        self.steps: list[Any] = []
        self.validations: list[Any] = []
        self.events: list[Any] = []
        self.estimates: list[Any] = []
        self.started: Any = None
        self.ended: list[Any] = []

    def on_start(self, start: Any) -> None:
        self.started = start

    def on_preflight(self, estimate: Any) -> None:
        self.estimates.append(estimate)

    def on_step(self, result: Any) -> None:
        self.steps.append(result)
        if result.step == self.raise_at:
            self.raise_at = None
            raise self.error

    def on_validation(self, validation: Any) -> None:
        self.validations.append(validation)

    def on_event(self, event: Any) -> None:
        self.events.append(event)

    def on_end(self, outcome: Outcome | None) -> None:
        self.ended.append(outcome)


@contextlib.contextmanager
def begun(model: Any = None, task: Any = None, batches: Any = None, **given: Any) -> Iterator[Any]:
    """A training before its first step; afterwards its model is plain again."""
    with contextlib.ExitStack() as undo:
        training = _begin(
            model or tiny_model(), task or TinyTask(), batches or TinyBatches(), settings(**given),
            undo,
        )  # fmt: skip
        training.started = time.monotonic()
        yield training


def train(
    path: Path,
    *,
    model: Any = None,
    task: Any = None,
    batches: Any = None,
    resume: bool = False,
    listener: Listener | None = None,
    evaluate: Any = validation_loss,
    best_by: str = "loss",
    identity: Mapping[str, Any] | None = None,
    preflight: bool = False,
    **given: Any,
) -> tuple[Any, Outcome]:
    """Train in a folder and return the model and the outcome."""
    model = tiny_model() if model is None else model
    with open_run(path, resume=resume) as folder:
        outcome = fit(
            model, task or TinyTask(), batches or TinyBatches(), settings(**given),
            folder=folder, evaluate=evaluate, best_by=best_by, resume=resume,
            identity=identity or {"data": "abc"}, listeners=[listener] if listener else [],
            preflight=preflight,
        )  # fmt: skip
    return model, outcome


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--micro", type=int, default=4)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    given = {
        name: json.loads(value) for name, _, value in (s.partition("=") for s in arguments.set)
    }
    model = tiny_model(arguments.dropout, width=arguments.width)
    with contextlib.suppress(AttributeError):
        torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    try:
        model, outcome = train(
            arguments.folder, model=model, resume=arguments.resume, listener=_Announce(),
            batches=TinyBatches(micro=arguments.micro), **given,
        )  # fmt: skip
    except TinyForgeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    metrics = (arguments.folder / "tinyforge" / "metrics.jsonl").read_bytes()
    print(json.dumps({
        "weights": digest(model), "metrics": hashlib.sha256(metrics).hexdigest(),
        "steps": outcome.steps,
    }))  # fmt: skip
    return 0


class _Announce(Listener):
    def on_step(self, result: Any) -> None:
        if result.step == 3:
            print("training", flush=True)


if __name__ == "__main__":
    sys.exit(main())
