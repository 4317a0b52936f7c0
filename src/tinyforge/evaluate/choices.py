"""Multiple choice and minimal pairs by likelihood: what a model finds likelier, unasked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.data import DataSettings
from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.data.names import plain
from tinyforge.data.read import read_rows
from tinyforge.data.store import ExampleStore
from tinyforge.errors import DataError, ModelError
from tinyforge.evaluate.evaluation import Evaluation, Sample
from tinyforge.evaluate.keeping import KeptPredictions, Places, Worst
from tinyforge.evaluate.run import group_all
from tinyforge.evaluate.scoring import interval
from tinyforge.inference.base import Predictor
from tinyforge.inference.candidates import AnswerReader, Candidates
from tinyforge.metrics import Primary
from tinyforge.metrics.spill import Column
from tinyforge.metrics.tally import Means, Tally, bootstrap
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.records.rows import Rejected, Row

Kind = Literal["multiple-choice", "minimal-pairs"]

_QUESTIONS = ("question", "query", "input", "prompt", "text")
_CHOICES = ("choices", "options", "endings")
_ANSWERS = ("answer", "label", "target", "gold", "answerkey", "answer_idx")
_CHUNK = 64


def looks_like(columns: Iterable[str]) -> bool:
    """Whether these columns hold multiple choice questions or minimal pairs."""
    return kind_of(columns) is not None


def kind_of(columns: Iterable[str]) -> Kind | None:
    """What the columns hold: ``question``, ``choices`` and ``answer`` (MMLU and the like), or
    ``sentence_good`` and ``sentence_bad`` (BLiMP); None where it is neither."""
    named = {plain(name) for name in columns}
    if {"sentence_good", "sentence_bad"} <= named:
        return "minimal-pairs"
    parts = (_QUESTIONS, _CHOICES, _ANSWERS)
    return "multiple-choice" if all(named.intersection(part) for part in parts) else None


def find_kind(data: Any, settings: DataSettings) -> Kind | None:
    """What the first good row of ``data`` holds."""
    for row in read_rows(data, settings):
        if isinstance(row, Row):
            return kind_of(row.fields)
    return None


def read_choices(data: Any, settings: DataSettings, file: Path) -> ExampleStore:
    """All good rows as examples on disk, in the file ``file``.

    An example's ``input`` is the question, ``references`` are its choices, and ``output`` is the
    right one; a minimal pair has no question, and its good sentence is the right choice.

    Raises:
        DataError: there is no good row; the first bad one is named.
    """
    bad: list[Rejected] = []

    def examples() -> Iterator[Example]:
        for row in read_rows(data, settings):
            made = row if isinstance(row, Rejected) else _example(row)
            if isinstance(made, Rejected):
                bad.append(made) if not bad else None
            else:
                yield made

    store = ExampleStore.of(examples(), file)
    if not len(store):
        first = bad[0] if bad else None
        raise DataError(
            f"no row can be used: {first.reason}" if first else "there are no rows",
            where=str(first.source) if first else str(data),
            fix="A row needs a question, a list of choices and the answer: its number from 0, its "
            "letter or its text",
        )
    return store


def score_choices(
    predictor: Predictor,
    examples: Sequence[Example],
    *,
    settings: EvaluateSettings,
    shots: Sequence[Example] = (),
    seed: int = 0,
    name: str = "this model",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Ask which choice, or which sentence of a pair, the model finds likeliest.

    A question is put as ``Question: …`` and ``Answer:`` on the next line, and the likelihoods of
    the choices' own texts after it are compared, summed (``choice_accuracy``) and divided by the
    choices' UTF-8 bytes (``choice_accuracy_norm``): the ``acc`` and ``acc_norm`` of the
    lm-evaluation-harness (Gao et al. 2021) on tasks with that template; of equal likelihoods the
    first choice's wins, as there. Letters are not asked for, which small models cannot name.
    For a minimal pair the whole sentences are compared, and the good one has to be likelier
    (Warstadt et al. 2020).

    Args:
        predictor: a ``TorchModel``, or anything with ``log_likelihoods``.
        examples: as ``read_choices`` makes them.
        shots: solved questions that are put before each question.
        seed: of the choice of rows, where settings bound their number, and of the resamples.
        progress: called with (rows done, rows in all).

    Raises:
        ModelError: the predictor gives no likelihoods.
        DataError: there are no rows.
    """
    if not len(examples):
        raise DataError("there are no rows to judge on", fix="Give a file with at least one row")
    measure = _measure(predictor, name)
    rows = _choose(len(examples), settings, seed)
    asked = _Asked(pairs=not examples[0].input, model=getattr(predictor, "hash", ""))
    prefix = "".join(f"{_question(shot)} {shot.output}\n\n" for shot in shots)
    for start in range(0, len(rows), _CHUNK):
        numbers = rows[start : start + _CHUNK].tolist()
        part = [examples[number] for number in numbers]
        started = time.monotonic()
        contexts = ["" if asked.pairs else prefix + _question(example) for example in part]
        scores = measure(contexts, [example.references for example in part])
        asked.seconds += time.monotonic() - started
        asked.add(numbers, part, scores)
        if progress is not None:
            progress(start + len(part), len(rows))
    return asked.close(name, len(examples), len(shots), settings, seed)


class _Asked:
    """What is kept of the questions while a model goes through them.

    Args:
        pairs: whether they are minimal pairs.
        model: the weights' hash.
    """

    def __init__(self, *, pairs: bool, model: str) -> None:
        self.pairs, self._model = pairs, model
        self._places, self._worst, self._kept = Places(), Worst(raw=False), KeptPredictions()
        self._means = Means(
            ["pair_accuracy"] if pairs else ["choice_accuracy", "choice_accuracy_norm"]
        )
        self._quality, self._confidences = Column(np.float64), Column(np.float32)
        self._chances = self.seconds = 0.0

    def add(
        self,
        numbers: Sequence[int],
        part: Sequence[Example],
        scores: Sequence[NDArray[np.float64]],
    ) -> None:
        """Some questions, and the log-likelihoods of their choices."""
        start = self._places.count
        for number, example in zip(numbers, part, strict=True):
            self._places.add(number, example, (*example.references, example.output))
        right = _right(part, scores, self.pairs)
        answers = [_answer(e, row, self._model) for e, row in zip(part, scores, strict=True)]
        self._means.add(dict(zip(self._means.names, right, strict=True)))
        self._worst.offer(start, part, right[0], answers)
        self._quality.extend(right[0])
        self._confidences.extend([answer.confidence or 0.0 for answer in answers])
        self._kept.extend(answers)
        self._chances += sum(1 / len(example.references) for example in part)

    def close(
        self, name: str, given: int, shots: int, settings: EvaluateSettings, seed: int
    ) -> Evaluation:
        """Scores with intervals."""
        self._kept.close()
        rows, keys, groups = self._places.close()
        alone = self._means.close()
        tallies = group_all(alone, groups)
        resampled = bootstrap(tallies, samples=settings.bootstrap_samples, seed=seed)
        kind: Kind = "minimal-pairs" if self.pairs else "multiple-choice"
        headline = self._means.names[0]
        first, units = alone[headline], int(groups.max()) + 1
        return Evaluation(
            name=name, task=kind, multi_label=False,
            primary=Primary(headline, f"the rows are {kind.replace('-', ' ')}"),
            scores={m: interval(m, tallies[m], resampled[m], len(rows)) for m in tallies},
            sample=Sample(
                self._places.fingerprint, len(rows), units, settings.bootstrap_samples, seed
            ),
            rows=rows, keys=keys, groups=groups, quality=self._quality.close(),
            confidences=self._confidences.close(), labels=(), probabilities=None,
            predictions=self._kept, label_table=[], confusion=None, reliability=[],
            mistakes=self._worst.close(), signatures={},
            notes=_notes(given, len(rows), self._chances / len(rows), shots),
            model=self._model, seconds=self.seconds, fit_seconds=0.0, tallies=tallies,
            row_tally=first if isinstance(first, Tally) else None, resampled=resampled,
        )  # fmt: skip


Measure = Callable[[Sequence[str], Sequence[tuple[str, ...]]], list[NDArray[np.float64]]]


def _measure(predictor: Any, name: str) -> Measure:
    """How to get the log-likelihood of each choice after each context."""
    task = getattr(predictor, "task", None)
    ask = getattr(predictor, "log_likelihoods", None)
    if ask is None or getattr(task, "name", "") == "classify":
        raise ModelError(
            "this model cannot tell how likely a text is", value=name,
            fix="Judge multiple choice and minimal pairs with a model that writes text",
        )  # fmt: skip
    if hasattr(task, "tokenizer"):
        return _shared(predictor)

    def one_by_one(
        contexts: Sequence[str], choices: Sequence[tuple[str, ...]]
    ) -> list[NDArray[np.float64]]:
        asked = [
            Example(context, f" {choice}" if context else choice)
            for context, texts in zip(contexts, choices, strict=True)
            for choice in texts
        ]
        found = np.array([-row.nll for row in ask(asked)])
        return np.split(found, np.cumsum([len(texts) for texts in choices])[:-1])

    return one_by_one


def _shared(predictor: Any) -> Measure:
    """With each context read only once. What a model cannot read is left out at its start."""
    scorer, task = predictor.scorer(), predictor.task
    limit = predictor.max_positions

    def together(
        contexts: Sequence[str], choices: Sequence[tuple[str, ...]]
    ) -> list[NDArray[np.float64]]:
        rows = [
            AnswerReader(task, texts, " " if context else "").candidates([context])[0]
            for context, texts in zip(contexts, choices, strict=True)
        ]
        found: list[NDArray[np.float64]] = scorer.log_likelihoods(
            [_fitting(row, limit) for row in rows]
        )
        return found

    return together


def _fitting(row: Candidates, limit: int | None) -> Candidates:
    if limit is None:
        return row
    answers = tuple(answer[: limit - 1] for answer in row.answers)
    room = limit - max(map(len, answers))
    return row if len(row.prompt) <= room else Candidates(row.prompt[-room:], answers)


def _right(
    examples: Sequence[Example], scores: Sequence[NDArray[np.float64]], pairs: bool
) -> list[NDArray[np.float64]]:
    """Whether the right choice wins: by sum, and by sum over bytes."""
    gold = [example.references.index(example.output or "") for example in examples]
    if pairs:
        return [np.array([float(row[0] > row[1]) for row in scores])]
    by_sum = [float(row.argmax() == right) for row, right in zip(scores, gold, strict=True)]
    by_byte = []
    for example, row, right in zip(examples, scores, gold, strict=True):
        sizes = np.array([max(len(text.encode()), 1) for text in example.references])
        by_byte.append(float((row / sizes).argmax() == right))
    return [np.array(by_sum), np.array(by_byte)]


def _answer(example: Example, scores: NDArray[np.float64], model: str) -> Prediction:
    """The likeliest choice, with its share of all choices' likelihood."""
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    best = int(scores.argmax())
    choice = example.references[best]
    return Prediction(choice, float(shares[best]), labels=(choice,), model=model)


def _question(example: Example) -> str:
    return f"Question: {example.input.strip()}\nAnswer:"


def _choose(count: int, settings: EvaluateSettings, seed: int) -> NDArray[np.int64]:
    if settings.max_rows is None or settings.max_rows >= count:
        return np.arange(count)
    chosen = np.random.default_rng(seed).choice(count, settings.max_rows, replace=False)
    return np.sort(chosen).astype(np.int64)


def _notes(given: int, judged: int, chance: float, shots: int) -> list[str]:
    notes = [f"by chance {chance:.1%} would be right"]
    if judged < given:
        notes.append(f"a random {judged:,} of {given:,} rows were judged")
    if shots:
        notes.append(f"each question comes after {shots} solved ones")
    return notes


def _example(row: Row) -> Example | Rejected:
    fields = {plain(name): value for name, value in row.fields.items()}
    good, bad = fields.get("sentence_good"), fields.get("sentence_bad")
    if isinstance(good, str) and isinstance(bad, str):
        if not good or not bad:
            return Rejected(row.source, "empty sentence")
        return Example(output=good, references=(good, bad), source=row.source)
    question, choices, answer = (
        _first(fields, names) for names in (_QUESTIONS, _CHOICES, _ANSWERS)
    )
    if isinstance(choices, Mapping):  # {"text": [...], "label": ["A", ...]}, as ARC has it
        letters, choices = choices.get("label"), choices.get("text")
        if isinstance(letters, list) and answer in letters:
            answer = letters.index(answer)
    if not isinstance(question, str) or not question.strip():
        return Rejected(row.source, "empty question")
    if not isinstance(choices, list | tuple) or len(choices) < 2:
        return Rejected(row.source, "fewer than two choices")
    texts = tuple(str(choice).strip() for choice in choices)
    if not all(texts):
        return Rejected(row.source, "empty choice")
    right = _place(answer, texts)
    if right is None:
        return Rejected(row.source, "the answer is none of the choices", str(answer)[:40])
    return Example(question, texts[right], references=texts, source=row.source)


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _place(answer: Any, texts: Sequence[str]) -> int | None:
    """Which choice is right: by its number from 0, its letter, or its text."""
    if isinstance(answer, bool) or answer is None:
        return None
    if isinstance(answer, int):
        return answer if 0 <= answer < len(texts) else None
    text = str(answer).strip()
    if text in texts:
        return texts.index(text)
    if len(text) == 1 and text.isalpha():
        place = ord(text.upper()) - ord("A")
        return place if 0 <= place < len(texts) else None
    if text.isdecimal() and int(text) < len(texts):
        return int(text)
    return None
