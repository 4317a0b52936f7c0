"""What every model that answers does alike, whatever runs it: PyTorch, or ONNX Runtime."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.errors import DataError, ModelError, SettingError
from tinyforge.inference.batching import by_length, reading_budget
from tinyforge.inference.embedding import embedding_rows, unit_length
from tinyforge.inference.inputs import is_single, to_example
from tinyforge.inference.limits import UNBOUNDED_LENGTH
from tinyforge.inference.options import read_options
from tinyforge.inference.writing import Answer
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Piece, Prediction
from tinyforge.tasks.decoder import unanswered

log = logging.getLogger("tinyforge")

Pieces = Generator[Piece, None, None]
"""Pieces of one answer; closing it ends the writing."""


class Writes(Protocol):
    """What writes answers for a backend."""

    def fit(self, prompts: Sequence[Encoded], settings: GenerateSettings) -> list[Encoded]:
        """Prompts cut to what the model can read, with room left for the answer."""
        ...

    def answers(self, prompts: Sequence[Encoded], settings: GenerateSettings) -> Sequence[Answer]:
        """An answer to each fitted prompt, in order."""
        ...

    def stream(self, prompt: Encoded, settings: GenerateSettings) -> Pieces:
        """Pieces of one answer while it is written."""
        ...

    def guide(self, settings: GenerateSettings) -> Any:
        """Raises SettingError where the settings' JSON schema cannot be followed."""
        ...


class AnsweringModel(ABC):
    """A model with its tokenizer and its task; a ``Predictor``.

    Attributes:
        tokenizer: its tokenizer.
        task: how inputs become tokens and outputs become answers.
        name: what the user called it.
        path: the folder that its weights were read from, or saved to; None: only in memory.
        settings: how it generates where a call says nothing else.
        max_positions: tokens that the model's positions reach to; None where nothing bounds them.
    """

    def __init__(
        self,
        tokenizer: Any,
        task: Any,
        *,
        name: str,
        path: Path | None,
        settings: GenerateSettings | None,
        max_positions: int | None,
        writer: Writes | None,
    ) -> None:
        self.tokenizer, self.task = tokenizer, task
        self.name, self.path = name, path
        self.settings = settings or GenerateSettings()
        self.max_positions = max_positions
        self._writer = writer
        self._cuts_noted = False

    @property
    @abstractmethod
    def parameters(self) -> int:
        """How many numbers the model has."""

    @property
    @abstractmethod
    def size_bytes(self) -> int:
        """Its size in memory."""

    @property
    @abstractmethod
    def hash(self) -> str:
        """Which weights answer: 12 hex digits that any change of them changes."""

    @property
    @abstractmethod
    def model_type(self) -> str:
        """The architecture, by Hugging Face's name."""

    @property
    @abstractmethod
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""

    @property
    @abstractmethod
    def threads(self) -> int:
        """Processor cores that it uses."""

    @abstractmethod
    def log_likelihoods(
        self,
        examples: Sequence[Example],
        *,
        window: int | None = None,
        stride: int | None = None,
    ) -> list[Likelihood]:
        """How likely the model finds each example's answer.

        Args:
            window, stride: tokens read at once, and tokens by which that moves on, where a text
                is longer than a decoder reads; by default all it can read, and half of that.

        Raises:
            ModelError: the model is a classifier.
            DataError: an example has no answer.
        """

    @abstractmethod
    def scorer(self) -> Any:
        """What measures answers one does not know: ``log_likelihoods`` and ``with_greedy`` of
        ``candidates.Candidates``, as ``choosing.AnswerScorer`` has them."""

    @abstractmethod
    def _logits(self, items: Sequence[Encoded], rows: int) -> NDArray[np.float32]:
        """A classifier's logits of items that fit, shape (items, labels).

        Args:
            rows: rows run together, at most.
        """

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers a hidden state has."""

    @property
    @abstractmethod
    def can_embed(self) -> bool:
        """Whether ``embed`` works."""

    @abstractmethod
    def _means(self, rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """The mean of the last hidden states over each row's tokens, shape (rows, width)."""

    def embed(self, texts: Sequence[str], *, batch_rows: int | None = None) -> NDArray[np.float32]:
        """A vector for each text, such that like texts have like vectors.

        It is the mean of the model's last hidden states over the text's tokens, of length 1
        (Reimers and Gurevych 2019, "Sentence-BERT", arXiv:1908.10084): of an encoder, of the
        encoder in an encoder-decoder, or of a decoder. How well it serves depends on the model:
        one that was trained for it serves best. Text beyond what the model reads is cut.

        Args:
            batch_rows: texts run together, at most; default: as many as do well.

        Returns:
            float32, shape (texts, width).

        Raises:
            ModelError: the model cannot (see ``can_embed``), or its numbers are not finite.
            DataError: one of them is no text.
        """
        if not self.can_embed:
            raise ModelError(
                "this model gives no vectors", value=self.name,
                fix="Export it again, or use the model that it was made from",
            )  # fmt: skip
        limit = self.max_positions or UNBOUNDED_LENGTH
        rows = embedding_rows(self.tokenizer, texts, limit)
        batches = by_length(
            [len(row) for row in rows], rows=batch_rows or max(1, len(rows)),
            tokens=reading_budget(self.device),
        )  # fmt: skip
        found = np.zeros((len(rows), self.width), dtype=np.float32)
        for batch in batches:
            found[batch] = self._means([rows[i] for i in batch])
        return unit_length(found, self.name)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels of a classifier; empty otherwise."""
        return tuple(getattr(self.task, "labels", ()))

    def info(self) -> dict[str, Any]:
        """What this model is; plain JSON."""
        return {
            "name": self.name,
            "path": str(self.path) if self.path is not None else None,
            "task": self.task.name,
            "labels": list(self.labels),
            "multi_label": bool(getattr(self.task, "multi_label", False)),
            "family": self.task.family,
            "model_type": self.model_type,
            "parameters": self.parameters,
            "max_positions": self.max_positions,
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
                top_p, num_beams, stop, seed, batch_size, logprobs, json_schema. Greedy by default.
                With a seed, a sampled answer depends on the seed, the options and the input alone,
                not on the inputs beside it.

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
        return texts_of(self.stream_pieces(given, **options))

    def stream_pieces(self, given: Any, **options: Any) -> Pieces:
        """As ``stream``, with the tokens' scores where ``logprobs`` asks for them.

        The last piece says why the answer ended and how many tokens were read and written.

        Raises:
            SettingError: as ``stream``.
        """
        prompt, settings, writer = self._one_to_write(given, options)
        return writer.stream(prompt, settings)

    def _one_to_write(
        self, given: Any, options: dict[str, Any]
    ) -> tuple[Encoded, GenerateSettings, Writes]:
        """One input, fitted, with its settings, and what writes.

        Raises:
            SettingError: as ``stream``.
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
        self._writer.guide(settings)
        encoded = self._encode([self._example(given, 1)])
        fitted = self._writer.fit(encoded, settings)
        self._note_cuts(fitted)
        return fitted[0], settings, self._writer

    def predict_examples(self, examples: Sequence[Example], **options: Any) -> list[Prediction]:
        """One prediction for each example, in order; answers in the examples are not looked at."""
        settings = read_options(options, self.settings, self.task.name)
        return self._answer(examples, settings, once=True)

    def logits(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """What a classifier says of each label before probabilities are made of it.

        Returns:
            float32, shape (examples, labels), labels in the task's order.

        Raises:
            ModelError: the model is no classifier.
        """
        if self._writer is not None:
            raise ModelError("only a classifier has a number for each label", value=self.name)
        items = self._fitted(self._encode(examples))
        return self._logits(items, max(1, len(items)))

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
                Prediction(
                    a.text, confidence=a.confidence, finish_reason=a.finish_reason,
                    prompt_tokens=len(prompt.input_ids), tokens=a.tokens,
                    token_scores=a.token_scores,
                )
                for prompt, a in zip(fitted, self._writer.answers(fitted, settings), strict=True)
            ]  # fmt: skip
        return [
            replace(prediction, input=example.input, model=self.hash)
            for prediction, example in zip(found, examples, strict=True)
        ]

    def _encode(self, examples: Sequence[Example]) -> list[Encoded]:
        encoded: list[Encoded] = self.task.encode([unanswered(example) for example in examples])
        return encoded

    def _fitted(self, encoded: Sequence[Encoded]) -> list[Encoded]:
        limit = self.max_positions or UNBOUNDED_LENGTH
        cut = [self.task.cut(item, limit, limit) for item in encoded]
        return [item if len(item.input_ids) else self._blank(item) for item in cut]

    def _blank(self, item: Encoded) -> Encoded:
        """A text of no token at all, as a model has to read something: a special token."""
        known = (
            getattr(self.tokenizer, f"{name}_token_id", None)
            for name in ("bos", "eos", "unk", "pad")
        )
        first = next((token for token in known if token is not None), 0)
        return replace(item, input_ids=np.array([first], dtype=np.int32))

    def _classify(
        self, encoded: Sequence[Encoded], settings: GenerateSettings, once: bool
    ) -> list[Prediction]:
        items = self._fitted(encoded)
        self._note_cuts(items, once=once)
        rows = settings.batch_size if "batch_size" in settings.model_fields_set else len(items)
        logits = self._logits(items, rows)
        if not np.isfinite(logits).all():
            raise ModelError(
                "the model's outputs are not finite numbers, so it is damaged",
                value=self.name,
                fix="Copy, download or train it again",
            )
        return [
            replace(prediction, prompt_tokens=len(item.input_ids))
            for prediction, item in zip(self.task.decide(logits), items, strict=True)
        ]

    def _note_cuts(self, items: Sequence[Encoded], *, once: bool = False) -> None:
        cut = [item.cut_input for item in items if item.cut_input]
        if not cut or (once and self._cuts_noted):
            return
        self._cuts_noted = True
        log.warning(
            "%d of %d inputs too long for the model: %d of their tokens were left out%s",
            len(cut), len(items), sum(cut), "; this is said once" if once else "",
        )  # fmt: skip


def texts_of(pieces: Pieces) -> Iterator[str]:
    """The texts of pieces that have one; closing it closes them."""
    with closing(pieces):
        for piece in pieces:
            if piece.text:
                yield piece.text
