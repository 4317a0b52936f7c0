"""A PyTorch model that answers: ours, or any Hugging Face model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, overload

import torch

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.errors import DataError, ModelError, SettingError
from tinyforge.inference import fingerprint
from tinyforge.inference.batching import by_length, reading_budget
from tinyforge.inference.generate import UNBOUNDED_LENGTH, Writer
from tinyforge.inference.inputs import is_single, to_example
from tinyforge.inference.likelihood import likelihoods
from tinyforge.inference.modes import answering, on_device
from tinyforge.inference.options import read_options
from tinyforge.models.folder import is_adapter, read_json, weight_files
from tinyforge.models.load import load_for_inference
from tinyforge.models.save import TASK_FILE
from tinyforge.models.sizes import max_positions, parameters
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Prediction
from tinyforge.tasks import guess_task, task_from_state
from tinyforge.tasks.decoder import unanswered

log = logging.getLogger("tinyforge")


class TorchModel:
    """A model with its tokenizer and its task; a ``Predictor``.

    Make one with ``load`` (a folder or a hub id) or ``from_loaded`` (a model in memory).

    Attributes:
        model: the PyTorch module.
        tokenizer: its tokenizer.
        task: how inputs become tokens and outputs become answers.
        name: what the user called it.
        path: the folder that its weights were read from, or saved to; None: only in memory.
        settings: how it generates where a call says nothing else.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        task: Any,
        *,
        name: str,
        path: Path | None,
        settings: GenerateSettings | None = None,
    ) -> None:
        self.model, self.tokenizer, self.task = model, tokenizer, task
        self.name, self.path = name, path
        self.settings = settings or GenerateSettings()
        self._limit = max_positions(model)
        self._hash = ""
        self._cuts_noted = False
        self._writer = (
            None if task.name == "classify" else Writer(model, tokenizer, task, self._limit)
        )

    @classmethod
    def load(
        cls,
        path_or_id: str | Path,
        *,
        trust_remote_code: bool = False,
        revision: str | None = None,
        settings: GenerateSettings | None = None,
    ) -> Self:
        """A run folder, any Hugging Face folder, an adapter's folder, or a hub id.

        Where the folder has TinyForge's ``tinyforge/task.json`` it says how to answer, otherwise
        the architecture does. The model goes to the GPU where there is one.

        Raises:
            ModelError: there is no such model, or it cannot answer.
            FolderError: its saved task is damaged.
        """
        loaded = load_for_inference(
            path_or_id, trust_remote_code=trust_remote_code, revision=revision
        )
        for note in loaded.notes:
            log.info(note)
        folder = Path(loaded.path) if loaded.path else None
        config = loaded.model.config
        state_file = _task_file(folder)
        if state_file is None:
            task = guess_task(config, loaded.tokenizer)
        else:
            task = task_from_state(read_json(state_file), loaded.tokenizer, config)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return cls(
            loaded.model.to(device), loaded.tokenizer, task,
            name=str(path_or_id), path=folder, settings=settings,
        )  # fmt: skip

    @classmethod
    def from_loaded(
        cls,
        model: Any,
        tokenizer: Any,
        task: Any,
        *,
        name: str = "this model",
        path: str | Path | None = None,
        settings: GenerateSettings | None = None,
    ) -> Self:
        """A model in memory, for example one in training; its mode is left as it was.

        Args:
            path: the folder that these weights were saved to, if they were; the answers are then
                marked with the same hash as those of the loaded folder.
        """
        folder = None if path is None else Path(path)
        return cls(model, tokenizer, task, name=name, path=folder, settings=settings)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels of a classifier; empty otherwise."""
        return tuple(getattr(self.task, "labels", ()))

    @property
    def parameters(self) -> int:
        """How many numbers the model has."""
        return parameters(self.model)

    @property
    def size_bytes(self) -> int:
        """Its size in memory."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters())

    @property
    def max_positions(self) -> int | None:
        """Tokens that the model's positions reach to; None where nothing bounds them."""
        return self._limit

    @property
    def hash(self) -> str:
        """The first 12 hex digits of the SHA-256 of ``model.safetensors``.

        Sharded weights: of the files in order. Only in memory, or an adapter merged on loading:
        of the state dict. Computed on first use and kept, so that a model that is trained on
        needs a new ``TorchModel``.
        """
        if not self._hash:
            on_disk = self.path is not None and not is_adapter(self.path)
            self._hash = (
                fingerprint.of_files(weight_files(self.path))
                if self.path is not None and on_disk
                else fingerprint.of_model(self.model)
            )
        return self._hash

    def info(self) -> dict[str, Any]:
        """What this model is; plain JSON."""
        return {
            "name": self.name,
            "path": str(self.path) if self.path is not None else None,
            "task": self.task.name,
            "labels": list(self.labels),
            "multi_label": bool(getattr(self.task, "multi_label", False)),
            "family": self.task.family,
            "model_type": self.model.config.model_type,
            "parameters": self.parameters,
            "max_positions": self._limit,
            "model": self.hash,
        }

    @overload
    def predict(self, given: str, **options: Any) -> Prediction: ...
    @overload
    def predict(self, given: Any, **options: Any) -> Any: ...
    def predict(self, given: Any, **options: Any) -> Prediction | list[Prediction]:
        """The answer to one input, or a list of answers to a list of inputs, in order.

        Args:
            given: a text; a row such as ``{"input": "…"}``; a chat (a list of
                ``{"role", "content"}``, or ``{"messages": […]}``); or a list of these.
            **options: the fields of ``GenerateSettings``: max_new_tokens, temperature, top_k,
                top_p, num_beams, stop, seed, batch_size. Greedy by default. With a seed, a sampled
                answer depends on the seed, the options and the input alone, not on the inputs
                beside it.

        Raises:
            SettingError: an unknown option, a wrong value, or one that has no effect.
            DataError: an input is none of the above, or a chat the model cannot read.
        """
        settings = read_options(options, self.settings, self.task.name)
        if is_single(given):
            return self._answer([self._example(given, 1)], settings)[0]
        if isinstance(given, bytes) or not hasattr(given, "__iter__"):
            to_example(given)  # says what is wrong with it
        examples = [self._example(each, place) for place, each in enumerate(given, start=1)]
        return self._answer(examples, settings)

    def stream(self, given: Any, **options: Any) -> Iterator[str]:
        """Pieces of the answer to one input as they are written; together they are ``predict``'s.

        The options are those of ``predict``. Closing the iterator early ends the writing.

        Raises:
            SettingError: as ``predict``; also for beams, which have no order to stream in, and
                for a classifier, which writes nothing.
        """
        settings = read_options(options, self.settings, self.task.name)
        if self._writer is None:
            raise SettingError(
                "this model gives labels and writes no text that could be streamed",
                where="stream", value=self.name, fix="Use predict",
            )  # fmt: skip
        if settings.num_beams > 1:
            raise SettingError(
                "beam search knows its answer only at the end, so it cannot be streamed",
                where="generate.num_beams", value=settings.num_beams, fix="Use predict",
            )  # fmt: skip
        if not is_single(given):
            raise DataError("one input is streamed at a time", value=given, fix="Use predict")
        encoded = self._encode([self._example(given, 1)])
        fitted = self._writer.fit(encoded, settings)
        self._note_cuts(fitted)
        return self._writer.stream(fitted[0], settings)

    def predict_examples(self, examples: Sequence[Example], **options: Any) -> list[Prediction]:
        """One prediction for each example, in order; answers in the examples are not looked at."""
        settings = read_options(options, self.settings, self.task.name)
        return self._answer(examples, settings, once=True)

    def log_likelihoods(
        self,
        examples: Sequence[Example],
        *,
        window: int | None = None,
        stride: int | None = None,
    ) -> list[Likelihood]:
        """How likely the model finds each example's answer; see ``likelihood.likelihoods``.

        Args:
            window, stride: tokens read at once, and tokens by which that moves on, where a text
                is longer than a decoder reads; by default all it can read, and half of that.

        Raises:
            ModelError: the model is a classifier.
            DataError: an example has no answer.
        """
        if self._writer is None:
            raise ModelError("a classifier cannot tell how likely a text is", value=self.name)
        return likelihoods(
            self.model, self.task, examples, self._limit, window=window, stride=stride
        )

    def _example(self, given: Any, place: int) -> Example:
        example = to_example(given, place)
        if example.messages and self.task.name != "instruct":
            raise DataError(
                f"this model does not chat: its task is {self.task.name}",
                where=str(example.source), fix="Give a text, or use a model trained for instruct",
            )  # fmt: skip
        return example

    def _answer(
        self, examples: Sequence[Example], settings: GenerateSettings, *, once: bool = False
    ) -> list[Prediction]:
        if not examples:
            return []
        encoded = self._encode(examples)
        if self._writer is None:
            found = self._classify(encoded, settings, once)
        else:
            fitted = self._writer.fit(encoded, settings)
            self._note_cuts(fitted, once=once)
            found = [
                Prediction(a.text, confidence=a.confidence, finish_reason=a.finish_reason)
                for a in self._writer.answers(fitted, settings)
            ]
        return [
            replace(prediction, input=example.input, model=self.hash)
            for prediction, example in zip(found, examples, strict=True)
        ]

    def _encode(self, examples: Sequence[Example]) -> list[Encoded]:
        encoded: list[Encoded] = self.task.encode([unanswered(example) for example in examples])
        return encoded

    def _classify(
        self, encoded: Sequence[Encoded], settings: GenerateSettings, once: bool
    ) -> list[Prediction]:
        limit = self._limit or UNBOUNDED_LENGTH
        items = [self.task.cut(item, limit, limit) for item in encoded]
        self._note_cuts(items, once=once)
        rows = settings.batch_size if "batch_size" in settings.model_fields_set else len(items)
        found: dict[int, Prediction] = {}
        device = self.model.device
        lengths = [len(item.input_ids) for item in items]
        with answering(self.model):
            for batch in by_length(lengths, rows=rows, tokens=reading_budget(device.type)):
                tensors = on_device(self.task.collate([items[i] for i in batch]), device)
                logits = self.task.logits(self.model, tensors)
                if not torch.isfinite(logits).all():
                    raise ModelError(
                        "the model's outputs are not finite numbers, so it is damaged",
                        value=self.name,
                        fix="Copy, download or train it again",
                    )
                found.update(zip(batch, self.task.decide(logits), strict=True))
        return [found[index] for index in range(len(items))]

    def _note_cuts(self, items: Sequence[Encoded], *, once: bool = False) -> None:
        cut = [item.cut_input for item in items if item.cut_input]
        if not cut or (once and self._cuts_noted):
            return
        self._cuts_noted = True
        log.warning(
            "%d of %d inputs too long for the model: %d of their tokens were left out%s",
            len(cut), len(items), sum(cut), "; this is said once" if once else "",
        )  # fmt: skip


def _task_file(folder: Path | None) -> Path | None:
    """Where the task was saved; an adapter's lies in the run folder around it."""
    if folder is None:
        return None
    places = [folder, folder.parent] if is_adapter(folder) else [folder]
    return next((p / TASK_FILE for p in places if (p / TASK_FILE).is_file()), None)
