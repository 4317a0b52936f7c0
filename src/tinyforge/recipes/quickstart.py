"""The first run: a small T5 learns, from nothing, to reverse sentences, and is shipped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.files import write_text
from tinyforge.config.export import ExportRunSettings
from tinyforge.config.load import load_settings
from tinyforge.recipes import sentences
from tinyforge.recipes.export import Export, export
from tinyforge.recipes.export_place import check_target
from tinyforge.recipes.load import load
from tinyforge.recipes.train import Run, train

if TYPE_CHECKING:
    from tinyforge.records.predictions import Prediction
    from tinyforge.train.hooks import Listener

OWN_WORDS = "how are you doing today"
SEED = 0
HELD_OUT = 500
STEPS, BATCH = 1600, 32

SETTINGS: dict[str, Any] = {
    "task": "text2text",
    "model.name": "scratch:t5-tiny",
    "model.vocab_size": 2000,
    "model.dropout": 0.0,
    "model.shape": {
        "d_model": 128, "d_kv": 16, "num_heads": 8, "d_ff": 256, "num_layers": 2,
        "num_decoder_layers": 2, "relative_attention_num_buckets": 64,
        "relative_attention_max_distance": 64,
    },
    # Muon finds the two-step look-up that the exercise needs several times sooner than AdamW.
    "train.optimizer": "muon",
    "train.learning_rate": 0.01,
    "train.rest_learning_rate": 0.1,
    "train.beta2": 0.98,
    "train.weight_decay": 0.0,
    "train.schedule": "linear",
    "train.warmup_share": 0.1,
    "train.batch_size": BATCH,
    "train.max_steps": STEPS,
    "train.validate_every": 400,
    "train.precision": "float32",
    "data.validation_share": 0.01,
}  # fmt: skip


@dataclass(frozen=True)
class Quickstart:
    """What the first run came to.

    Attributes:
        export: the trained model for others to run.
        answer: the exported model's answer to ``OWN_WORDS``.
        data: the folder with the rows it was trained and judged on.
    """

    run: Run
    export: Export
    answer: Prediction
    data: Path

    def result(self) -> dict[str, Any]:
        """One flat object for a program."""
        asked = {"input": self.answer.input, "output": self.answer.output}
        return {**self.run.result(), "export": self.export.result(), "prediction": asked}

    def summary(self) -> str:
        """A few lines for a person, with what to try next."""
        model, shipped = self.run.output_dir, self.export.output_dir
        return "\n".join(
            [
                self.run.summary(),
                "",
                self.export.summary(),
                "",
                f"{self.answer.input!r} -> {self.answer.output!r}",
                "",
                "Next:",
                f"  tinyforge predict {shipped} '{sentences.PREFIX}any words of your own'",
                f"  open {model}/tinyforge/report.html in a browser",
                f"  look at the rows in {self.data}, then train on yours:",
                "  tinyforge train my_data.jsonl --output my-model",
            ]
        )


def quickstart(
    output: Path, *, force: bool = False, listeners: Sequence[Listener] = ()
) -> Quickstart:
    """Make the rows, train, judge on unseen sentences, export, and answer one of the user's own.

    Args:
        output: a new folder for the model; the rows go to ``OUTPUT-data`` beside it, the export to
            ``OUTPUT-onnx``.
        force: replace a former run.
    """
    data, shipped = (output.with_name(output.name + end) for end in ("-data", "-onnx"))
    check_target(shipped, None, force=force)  # better now than after the work
    learnt, unseen = sentences.split(sentences.sentences(), HELD_OUT, SEED)
    practice = sentences.training_sentences(learnt, unseen, STEPS * BATCH, SEED + 1)
    data.mkdir(parents=True, exist_ok=True)
    _write(data / "train.jsonl", practice)
    _write(data / "test.jsonl", unseen)
    settings = load_settings(
        None, (), {**SETTINGS, "data.test": str(data / "test.jsonl"), "train.seed": SEED}
    )
    run = train(
        data / "train.jsonl", settings=settings, output_dir=output, force=force,
        listeners=listeners,
    )  # fmt: skip
    made = export(output, shipped, settings=ExportRunSettings(), force=force)
    made.require_ready()
    answer = load(shipped).predict(sentences.PREFIX + OWN_WORDS)
    return Quickstart(run, made, answer, data)


def _write(path: Path, texts: Iterable[str]) -> None:
    rows = (json.dumps(sentences.exercise(text), ensure_ascii=False) for text in texts)
    write_text(path, "".join(row + "\n" for row in rows))
