"""A model that is asked with a prompt, with or without solved examples."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.errors import DataError, ModelError, SettingError
from tinyforge.inference.answering import AnsweringModel, Pieces, texts_of
from tinyforge.inference.asked_task import AskedTask
from tinyforge.inference.candidates import AnswerReader, Candidates
from tinyforge.inference.inputs import is_single, to_example
from tinyforge.inference.limits import MAX_NEW_TOKENS, UNBOUNDED_LENGTH
from tinyforge.inference.options import read_options
from tinyforge.inference.prompt_folder import save_prompted
from tinyforge.inference.stripping import Tell, stripped, stripped_tell
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.text.features import SimilarExamples, question
from tinyforge.text.prompts import Prompt, Shot

log = logging.getLogger("tinyforge")

SHOTS = 4
"""Examples shown where training rows are given and the prompt names no number."""

Floats = NDArray[np.float64]
Shots = tuple[Shot, ...]


class PromptedModel:
    """A model that writes text, asked with a prompt; a ``Predictor``.

    A prompt that chooses takes the label whose words are likeliest after the text (rank
    classification, Brown et al. 2020, arXiv:2005.14165). Where the model continues raw text, words
    and text are turned into tokens together, and no end token is counted; an encoder-decoder or a
    chat model is scored on the whole answer with its end token, as it was trained.

    Few-shot examples are found by similarity of their inputs (cosine of TF-IDF; Liu et al. 2022,
    arXiv:2101.06804), anew for each input, and the most similar stands last. What does not fit
    into the model's positions is left out: the least similar examples first, then the input's end.

    Args:
        model: what is asked.
        prompt: how.
        train: solved examples to choose from, in the place of the prompt's own.
        tell: warn, once, where prompts are too long for the model.

    Attributes:
        base: the model itself.
        prompt: with the labels of ``train`` where it names none.
        asked, shortened: prompts so far, and those that were too long for the model.

    Raises:
        ModelError: the model is a classifier and reads no prompt.
    """

    def __init__(
        self,
        model: AnsweringModel,
        prompt: Prompt,
        train: Sequence[Example] | SimilarExamples | None = None,
        *,
        tell: bool = True,
    ) -> None:
        if model.task.name == "classify":
            raise ModelError(
                "this model gives labels of its own and reads no prompt", value=model.name,
                fix="Use it without a prompt, or give a model that writes text",
            )  # fmt: skip
        self.base = model
        self._similar, self._fixed, self._count = _shots(prompt, train)
        if train is not None and prompt.chooses and not prompt.labels and self._similar:
            answers = {example.output or "" for example in self._similar.all()}
            prompt = prompt.with_labels(sorted(answers))
        self.prompt = prompt
        self._scorer = model.scorer()
        words = tuple(prompt.labels.values())
        self._reader = AnswerReader(model.task, words, prompt.lead)
        self._tell, self.asked, self.shortened = tell, 0, 0

    @property
    def model(self) -> Any:
        """The PyTorch module; None where ONNX Runtime answers."""
        return getattr(self.base, "model", None)

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self.base.tokenizer

    @property
    def name(self) -> str:
        """What the user called the model."""
        return self.base.name

    @property
    def path(self) -> Path | None:
        """The folder of the weights; None: only in memory."""
        return self.base.path

    @property
    def hash(self) -> str:
        """The weights' hash; the prompt is no part of it."""
        return self.base.hash

    @property
    def parameters(self) -> int:
        """How many numbers the model has."""
        return self.base.parameters

    @property
    def size_bytes(self) -> int:
        """The model's size in memory."""
        return self.base.size_bytes

    @property
    def device(self) -> str:
        """Where the model runs: ``cpu`` or ``cuda``."""
        return self.base.device

    @property
    def threads(self) -> int:
        """Processor cores that the model uses."""
        return self.base.threads

    @property
    def fit_seconds(self) -> float:
        """What it took to make its examples ready to be searched."""
        return 0.0 if self._similar is None else self._similar.fit_seconds

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels it chooses among; empty where it writes."""
        return tuple(self.prompt.labels)

    @property
    def task(self) -> AskedTask:
        """What it does."""
        base = self.base.task
        if self.prompt.chooses:
            return AskedTask("classify", base.family, self.labels)
        return AskedTask("instruct" if base.name == "instruct" else "text2text", base.family)

    @property
    def settings(self) -> GenerateSettings:
        """How it generates where a call says nothing else."""
        own = {"stop": self.prompt.stop or None, "max_new_tokens": self.prompt.max_new_tokens}
        given = self.base.settings
        new = {n: v for n, v in own.items() if v and n not in given.model_fields_set}
        return given.model_copy(update=new)

    def with_labels(self, labels: Sequence[str]) -> PromptedModel:
        """The same, choosing among these labels unless the prompt has its own."""
        other = PromptedModel(self.base, self.prompt.with_labels(labels))
        other._similar, other._fixed, other._count = self._similar, self._fixed, self._count
        return other

    def info(self) -> dict[str, Any]:
        """What this is; plain JSON."""
        task = {"task": self.task.name, "labels": list(self.labels), "multi_label": False}
        return self.base.info() | task | {"prompt": self.prompt.model_dump(mode="json")}

    def save(self, folder: str | Path) -> Path:
        """Model and prompt as a folder that answers the same way; see ``save_prompted``."""
        examples, shots = self._fixed, self.prompt.shots
        if self._similar is not None:
            examples = tuple(_shot(example) for example in self._similar.all())
            shots = self._count
        prompt = self.prompt.model_copy(update={"examples": examples, "shots": shots})
        return save_prompted(self.base, prompt, Path(folder))

    @overload
    def predict(self, given: str, **options: Any) -> Prediction: ...
    @overload
    def predict(self, given: Any, **options: Any) -> Any: ...
    def predict(self, given: Any, **options: Any) -> Prediction | list[Prediction]:
        """The answer to one input, or a list of answers; as ``AnsweringModel.predict``."""
        if is_single(given):
            return self.predict_examples([to_example(given)], **options)[0]
        if isinstance(given, bytes) or not hasattr(given, "__iter__"):
            to_example(given)  # says what is wrong with it
        examples = [to_example(each, place) for place, each in enumerate(given, start=1)]
        return self.predict_examples(examples, **options)

    def predict_examples(self, examples: Sequence[Example], **options: Any) -> list[Prediction]:
        """One prediction for each example, in order; answers in the examples are not looked at.

        Raises:
            SettingError: an unknown option, one that has no effect, or no labels to choose among.
        """
        settings = read_options(options, self.settings, self.task.name)
        texts = [question(example) for example in examples]
        found = self._choose(texts) if self.prompt.chooses else self._write(texts, settings)
        return [
            replace(prediction, input=example.input, model=self.hash)
            for prediction, example in zip(found, examples, strict=True)
        ]

    def stream(self, given: Any, **options: Any) -> Iterator[str]:
        """Pieces of the answer to one input as they are written; together they are ``predict``'s.

        Raises:
            SettingError: as ``AnsweringModel.stream``; also where the prompt chooses a label.
        """
        return texts_of(self.stream_pieces(given, **options))

    def stream_pieces(self, given: Any, **options: Any) -> Pieces:
        """As ``stream``, and as ``AnsweringModel.stream_pieces``."""
        context, settings = self._one_to_write(given, options)
        return stripped(self.base.stream_pieces(context, **settings))

    @property
    def begin(self) -> Callable[..., Callable[[], None]] | None:
        """As ``OnnxModel.begin``; None where the prompt chooses, or the model has none."""
        begin = None if self.prompt.chooses else getattr(self.base, "begin", None)
        if begin is None:
            return None

        def with_prompt(given: Any, *, tell: Tell, **options: Any) -> Callable[[], None]:
            context, settings = self._one_to_write(given, options)
            cancel: Callable[[], None] = begin(context, tell=stripped_tell(tell), **settings)
            return cancel

        return with_prompt

    @property
    def can_embed(self) -> bool:
        """Whether ``embed`` works."""
        return self.base.can_embed

    def embed(self, texts: Sequence[str], *, batch_rows: int | None = None) -> NDArray[np.float32]:
        """Vectors of the texts themselves, without the prompt; see ``AnsweringModel.embed``."""
        return self.base.embed(texts, batch_rows=batch_rows)

    def _one_to_write(self, given: Any, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """What the model reads for one input, and the options that it is asked with."""
        if self.prompt.chooses:
            raise SettingError(
                "this prompt chooses a label and writes no text that could be streamed",
                where="stream", value=self.name, fix="Use predict",
            )  # fmt: skip
        if not is_single(given):
            raise DataError("one input is streamed at a time", value=given, fix="Use predict")
        settings = read_options(options, self.settings, self.task.name)
        context = self.contexts([question(to_example(given))], settings)[0]
        return context, settings.model_dump(exclude_unset=True)

    def contexts(self, texts: Sequence[str], settings: GenerateSettings | None = None) -> list[str]:
        """The whole text that the model reads for each input, examples and all."""
        room = self._room(None if self.prompt.chooses else settings or self.settings)
        return self._contexts(texts, self._shots_for(texts), room)

    def _write(self, texts: Sequence[str], settings: GenerateSettings) -> list[Prediction]:
        asked = [Example(input=context) for context in self.contexts(texts, settings)]
        options = settings.model_dump(exclude_unset=True)
        found = self.base.predict_examples(asked, **options)
        return [replace(prediction, output=prediction.output.strip()) for prediction in found]

    def _choose(self, texts: Sequence[str]) -> list[Prediction]:
        shots = self._shots_for(texts)
        rows = self._candidates(texts, shots)
        scores = self._scores(rows)
        if self.prompt.calibrate:
            scores -= self._without_content(shots)
        return [
            _chosen(self.labels, shares.tolist(), len(row.prompt))
            for shares, row in zip(_softmax(scores), rows, strict=True)
        ]

    def _candidates(self, texts: Sequence[str], shots: Sequence[Shots]) -> list[Candidates]:
        """What the model reads for each text, and the labels' words behind it."""
        return self._reader.candidates(self._contexts(texts, shots, self._room(None)))

    def _scores(self, rows: Sequence[Candidates]) -> Floats:
        """Log-likelihood of each label, shape (texts, labels), divided by bytes where asked."""
        scores = np.stack(self._scorer.log_likelihoods(rows))
        if self.prompt.likelihood == "per byte":
            sizes = [len(word.encode("utf-8", "replace")) for word in self.prompt.labels.values()]
            scores = scores / np.array(sizes)
        return scores

    def _without_content(self, shots: Sequence[Shots]) -> Floats:
        """The logarithm of each label's mean probability after inputs that say nothing."""
        blanks = self.prompt.content_free
        known: dict[Shots, Floats] = {}
        for some in shots:
            if some not in known:
                shares = _softmax(self._scores(self._candidates(blanks, [some] * len(blanks))))
                known[some] = np.log(np.maximum(shares.mean(axis=0), 1e-30))
        return np.stack([known[some] for some in shots])

    def _shots_for(self, texts: Sequence[str]) -> list[Shots]:
        if self._similar is None or not self._count:
            return [self._fixed] * len(texts)
        return [
            tuple(_shot(example) for example, _ in reversed(found))
            for found in self._similar.nearest(texts, self._count)
        ]

    def _room(self, settings: GenerateSettings | None) -> int:
        """Tokens that a prompt may have so that its answer fits behind it."""
        if settings is None and not self.prompt.labels:
            raise SettingError(
                "the prompt chooses a label and names none", where="prompt.labels",
                fix='Name them in the prompt, for example {"labels": ["positive", "negative"]}',
            )  # fmt: skip
        task = self.base.task
        limit = self.base.max_positions or max(UNBOUNDED_LENGTH, task.max_length or 0)
        if task.family != "decoder":
            return limit
        if settings is not None:  # an answer is written
            longest = settings.max_new_tokens or task.max_new_tokens or MAX_NEW_TOKENS
            return int(limit - min(longest, limit // 2))
        return max(1, limit - self._reader.longest)

    def _contexts(self, texts: Sequence[str], shots: Sequence[Shots], room: int) -> list[str]:
        found = [self.prompt.context(text, some) for text, some in zip(texts, shots, strict=True)]
        sizes = self._sizes(found)
        too_long = [i for i, size in enumerate(sizes) if size > room]
        for i in too_long:
            found[i] = self._shortened(texts[i], shots[i], room)
        if too_long and self._tell and not self.shortened:
            log.warning(
                "%d of %d prompts too long for the model: the least similar examples were left "
                "out, and where that was not enough, the input's end; this is said once",
                len(too_long), len(texts),
            )  # fmt: skip
        self.asked, self.shortened = self.asked + len(texts), self.shortened + len(too_long)
        return found

    def _shortened(self, text: str, shots: Shots, room: int) -> str:
        for first in range(1, len(shots) + 1):
            context = self.prompt.context(text, shots[first:])
            if self._sizes([context])[0] <= room:
                return context
        rest = self._sizes([self.prompt.context("")])[0]
        if rest > room:
            raise SettingError(
                f"the prompt alone has {rest:,} tokens, and the model reads {room:,} at most",
                where="prompt", value=self.prompt.name or None, fix="Write a shorter prompt",
            )  # fmt: skip
        keep = len(text)
        while (size := self._sizes([self.prompt.context(text[:keep])])[0]) > room:
            keep = min(keep - 1, int(keep * max(room - rest, 0) / (size - rest)))
            if keep <= 0:
                return self.prompt.context("")
        return self.prompt.context(text[:keep])

    def _sizes(self, contexts: Sequence[str]) -> list[int]:
        encoded = self.base.task.encode([Example(input=context) for context in contexts])
        return [len(item.input_ids) for item in encoded]


def _shots(
    prompt: Prompt, train: Sequence[Example] | SimilarExamples | None
) -> tuple[SimilarExamples | None, Shots, int]:
    """Examples to search, examples that are always shown, and how many are shown."""
    if isinstance(train, SimilarExamples):
        return train, (), SHOTS if prompt.shots is None else prompt.shots
    if train is not None:
        rows = np.array([i for i in range(len(train)) if train[i].output is not None], np.int64)
        similar = SimilarExamples(train, rows) if len(rows) else None
        return similar, (), SHOTS if prompt.shots is None else prompt.shots
    if prompt.shots is None or prompt.shots >= len(prompt.examples):
        return None, prompt.examples, len(prompt.examples)
    own = [Example(shot.input, shot.output) for shot in prompt.examples]
    return SimilarExamples(own), (), prompt.shots


def _shot(example: Example) -> Shot:
    return Shot(input=question(example), output=example.output or "")


def _softmax(scores: Floats) -> Floats:
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    total: Floats = shares / shares.sum(axis=1, keepdims=True)
    return total


def _chosen(labels: Sequence[str], shares: Sequence[float], prompt_tokens: int) -> Prediction:
    best = max(range(len(labels)), key=lambda i: shares[i])
    scores = dict(zip(labels, shares, strict=True))
    return Prediction(
        labels[best], shares[best], scores=scores, labels=(labels[best],),
        prompt_tokens=prompt_tokens,
    )  # fmt: skip
