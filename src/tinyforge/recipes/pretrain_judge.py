"""Score a pretrained model on text that it has not seen, beside what counting alone can do."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.corpus.batches import VALIDATION_SEED
from tinyforge.corpus.parts import MOST_HELD, EndsHeldOut, Parts, passages
from tinyforge.corpus.token_shards import TokenStore
from tinyforge.evaluate.byte_model import TRAINING_BYTES, ByteNgram
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.run import evaluate
from tinyforge.evaluate.verdict import FEWEST_GROUPS, Verdict, judge
from tinyforge.inference.modes import answering
from tinyforge.inference.torch_model import TorchModel
from tinyforge.recipes.judge import every_ten_seconds
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Prediction
from tinyforge.records.rows import Source
from tinyforge.tasks.pretraining.base import token_bytes
from tinyforge.tasks.tokens import token_ids

if TYPE_CHECKING:
    from tinyforge.config.pretrain import PretrainRunSettings
    from tinyforge.tasks.pretraining.base import Objective

log = logging.getLogger("tinyforge")

SHORT_PASSAGE, PASSAGE, WANTED = 1_000, 4_000, 50
"""Characters of a passage, one row of the judgement: long ones, unless there are few of them."""

SHORTEST_PASSAGE, FEW = 500, 20
"""Where even short ones are few, they are shorter still."""

COUNTED_TOKENS = 20_000_000
"""Tokens that the frequencies of the unigram baseline are counted from, at most."""

TOGETHER = 16
"""Windows in one forward pass."""


@dataclass(frozen=True)
class JudgedText:
    """What a pretraining run came to.

    Attributes:
        evaluation: on the unseen passages; None where there are none.
        notes: what to know about the numbers.
        advice: what would make a verdict possible; empty where there is one.
    """

    evaluation: Evaluation | None
    baselines: dict[str, Evaluation]
    verdict: Verdict
    notes: list[str] = field(default_factory=list)
    advice: str = ""


def judge_text(
    model: Any,
    task: Any,
    corpus: Parts,
    training: TokenStore,
    settings: PretrainRunSettings,
    *,
    window: int,
    held_out: str,
    folder: Any = None,
) -> JudgedText:
    """Bits per byte on the test part, and the verdict against the baseline.

    A decoder tells every byte of a passage and stands beside a byte n-gram model. T5 and BERT are
    told most of a passage and tell what is hidden; beside them stands a model that gives every
    token its frequency in the corpus.
    """
    limit = settings.pretrain.test_characters
    examples, notes = unseen_passages(corpus, limit)
    if not examples:
        nothing = f"Cannot tell: no text is left that was not learnt from too ({held_out})."
        verdict = replace(judge(None, {}), sentence=nothing)
        return JudgedText(None, {}, verdict, notes, "Give text that does not only repeat itself.")
    notes.insert(0, f"unseen: {held_out}")
    how: dict[str, Any] = {
        "task": "language-model", "settings": settings.evaluate, "seed": settings.train.seed,
    }  # fmt: skip
    log.info("judging on unseen text")
    baselines: dict[str, Evaluation] = {}
    if task.family == "decoder":
        predictor: Any = TorchModel.from_loaded(model, task.tokenizer, task, path=folder)
        ours = evaluate(predictor, examples, **how, progress=every_ten_seconds())
        if settings.evaluate.baselines:
            ngram = ByteNgram(_some_texts(corpus, training))
            baselines["byte_ngram"] = evaluate(ngram, examples, **how, name=ngram.title)
            if ngram.note:
                baselines["byte_ngram"].notes.append(ngram.note)
    else:
        filler = Filler(model, task, window)
        ours = evaluate(filler, examples, **how, progress=every_ten_seconds())
        unigram = Unigram(task, window, counts_of(training))
        if settings.evaluate.baselines:
            baselines["token_unigram"] = evaluate(unigram, examples, **how, name=unigram.title)
        notes.append(
            f"measured on the {filler.share:.0%} of the tokens that were hidden, the rest in sight"
        )
        notes.append(
            f"the commonest token alone would be right for {unigram.commonest_share(examples):.1%} "
            "of what is hidden"
        )
    ours.notes.extend(notes)
    verdict = judge(ours, baselines)
    if not baselines or ours.sample.groups >= FEWEST_GROUPS:
        return JudgedText(ours, baselines, verdict, notes)
    said, advice = too_few(examples, corpus)
    verdict = replace(verdict, sentence=f"{verdict.sentence} {said}")
    return JudgedText(ours, baselines, verdict, notes, advice)


def too_few(examples: Sequence[Example], corpus: Parts) -> tuple[str, str]:
    """Why so few passages allow no verdict, and what would.

    Args:
        examples: the passages that were judged on.
    """
    held = sum(len(example.output or "") for example in examples)
    said = (
        f"The text held out to judge on has {held:,} characters: {len(examples)} passages of about "
        f"{held // len(examples):,}."
    )
    wanted = FEWEST_GROUPS * SHORTEST_PASSAGE * 5 // 4  # they end with a line, so are longer
    whole = {
        part: sum(len(document.text) for document in corpus.documents(part))
        for part in ("train", "validation", "test")
    }
    if whole["test"] >= wanted:
        return said, f"For a verdict judge on more of it: --set pretrain.test_characters={wanted}."
    if not isinstance(corpus, EndsHeldOut):
        return said, "For a verdict give more or longer documents."
    total = sum(whole.values())
    enough = _rounded(wanted / corpus.test_share)
    advice = f"For a verdict give a text of about {enough:,} characters (this one has {total:,})"
    if total * MOST_HELD >= wanted:
        advice += f", or hold out more of it: --set pretrain.held_share={MOST_HELD}"
    return said, f"{advice}."


def _rounded(value: float) -> int:
    """To two figures, upwards."""
    step = int(10 ** max(0, int(math.log10(value)) - 1))
    return math.ceil(value / step) * step


def unseen_passages(corpus: Parts, limit: int) -> tuple[list[Example], list[str]]:
    """Passages of the test part, those of a document in one group, and notes.

    With very few documents each passage stands for itself, or no interval could be given.
    """
    total = sum(len(document.text) for document in corpus.documents("test"))
    size = min(total, limit)
    characters = max(SHORT_PASSAGE, min(PASSAGE, size // WANTED))
    if size < FEW * SHORT_PASSAGE:
        characters = max(SHORTEST_PASSAGE, size // FEW)
    found = passages(lambda: corpus.documents("test"), characters=characters, limit=limit)
    names = {document.id for document, _ in found}
    apart = len(names) < FEWEST_GROUPS
    notes = []
    if apart and names:
        notes.append(
            f"the test part has {len(names)} document{'s' if len(names) > 1 else ''} only: the "
            "intervals are about passages like these, not about other documents"
        )
    examples = [
        Example(output=text, group=None if apart else document.id,
                source=Source(document.id, number))
        for number, (document, text) in enumerate(found, start=1)
    ]  # fmt: skip
    return examples, notes


def counts_of(store: TokenStore) -> NDArray[np.int64]:
    """How often each id occurs, in so many tokens of every source."""
    counts = np.zeros(store.vocab_size, dtype=np.int64)
    for source in store.sources:
        size = min(store.tokens(source), COUNTED_TOKENS // len(store.sources))
        for start in range(0, size, 1_000_000):
            ids, _ = store.stretch(source, start, min(size, start + 1_000_000))
            counts += np.bincount(ids, minlength=len(counts))
    return counts


class _Hidden:
    """Passages with some tokens hidden, the same ones for whoever is to tell them."""

    def __init__(self, task: Any, window: int) -> None:
        self._task, self._window = task, window

    def _items(self, text: str) -> list[Encoded]:
        ids = np.array(token_ids(self._task.tokenizer, [text], special=False)[0], dtype=np.int32)
        random = np.random.Generator(
            np.random.Philox([VALIDATION_SEED, zlib.crc32(text.encode("utf-8", "replace"))])
        )
        none = np.zeros(0, dtype=np.int64)
        return [
            item
            for start in range(0, len(ids), self._window)
            for item in self._task.examples(ids[start : start + self._window], none, random)
        ]

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        """Nothing: it measures text and writes none."""
        return [Prediction("", finish_reason="stop") for _ in examples]


class Filler(_Hidden):
    """A T5 or a BERT, by how likely it finds what is hidden."""

    def __init__(self, model: Any, task: Objective, window: int) -> None:
        super().__init__(task, window)
        self._model = model
        self.share: float = getattr(task, "share", 0.0)
        self.parameters = sum(weight.numel() for weight in model.parameters())

    def log_likelihoods(self, examples: Sequence[Example]) -> list[Likelihood]:
        """Of each example's hidden tokens; their bytes are those of these tokens."""
        rows = [self._items(example.output or "") for example in examples]
        flat = [item for items in rows for item in items]
        with answering(self._model):
            measured = [
                row
                for start in range(0, len(flat), TOGETHER)
                for row in self._task.losses(self._model, flat[start : start + TOGETHER])
            ]
        told = iter(measured)
        return [_sum([next(told) for _ in items]) for items in rows]


class Unigram(_Hidden):
    """Tells every hidden token by how often it occurs, plus one."""

    title = "every token as often as in the corpus"

    def __init__(self, task: Objective, window: int, counts: NDArray[np.int64]) -> None:
        super().__init__(task, window)
        size = max(len(counts), len(task.tokenizer))
        padded = np.pad(counts, (0, size - len(counts)))
        special = sorted(index for index in task.tokenizer.all_special_ids if index < size)
        padded[special] = 0
        self._commonest = int(padded.argmax())
        self._nats = -np.log((padded + 1) / (padded.sum() + size))
        self._bytes = token_bytes(task.tokenizer)
        self.parameters = size

    def log_likelihoods(self, examples: Sequence[Example]) -> list[Likelihood]:
        """Of each example's hidden tokens."""
        return [
            _sum([
                (float(self._nats[ids].sum()), len(ids), int(self._bytes[ids].sum()))
                for ids in self._hidden(example)
            ])
            for example in examples
        ]  # fmt: skip

    def commonest_share(self, examples: Sequence[Example]) -> float:
        """How many of the hidden tokens are the one that is commonest in the corpus."""
        hidden = [ids for example in examples for ids in self._hidden(example)]
        total = sum(len(ids) for ids in hidden)
        right = sum(int((ids == self._commonest).sum()) for ids in hidden)
        return right / max(1, total)

    def _hidden(self, example: Example) -> Iterator[NDArray[np.int32]]:
        return (self._task.hidden(item) for item in self._items(example.output or ""))


def _sum(rows: Sequence[tuple[float, int, int]]) -> Likelihood:
    nats, tokens, size = (sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0, 0)
    return Likelihood(float(nats), int(tokens), int(size))


def _some_texts(corpus: Parts, training: TokenStore) -> Iterator[str]:
    """Training texts for the n-gram model: from all over the corpus, as many as it takes."""
    every = max(1, sum(map(training.bytes, training.sources)) // TRAINING_BYTES)
    for number, document in enumerate(corpus.documents("train")):
        if number % every == 0:
            yield document.text
