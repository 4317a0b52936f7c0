"""Rows of the user whose label is probably wrong, by cross-validated confident learning.

Confident learning: Northcutt, Jiang and Chuang 2021 (arXiv:1911.00068). A quick model gives every
row the probabilities of its labels without having learnt from that row or from one like it (folds
keep near-duplicates together). A row is suspected where a label other than its own is likelier
than that label usually is on its own rows; of those the counts of the confident joint allow, the
least likely labels first. Only for one label a row: with several, a missing label and a wrong one
are different questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.errors import DataError
from tinyforge.evaluate.text_features import TextFeatures, question
from tinyforge.metrics.tally import Floats
from tinyforge.records.examples import Example

FOLDS = 5
FEWEST_ROWS = 50
"""With fewer rows than this a model that learns from them tells nothing about their labels."""

MARGIN = 0.5
"""The default cut: the suggested label is likelier than the given one by more than this.

With 5 % of the labels replaced at random, about five of six suspects in Banking77 were such, two
of three in TREC and one of three in SST-2; with MiniLM's vectors five of six, three of four and one
of two (``benchmarks/quality/label_noise.py``)."""

_STRENGTH = 3.0
_SMALLEST = 1e-6

Probabilities = Callable[[NDArray[np.int64], NDArray[np.int64]], Floats]
"""From the numbers of rows to learn from and of rows to judge, to (judged rows, labels)."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row whose label is probably wrong.

    Attributes:
        row: its number among the rows that were given.
        where: ``file:line``.
        score: 0 to 1, how much likelier the suggested label is than the given one.
        p_given, p_suggested: what a model that had not seen the row gives to both.
    """

    row: int
    where: str
    text: str
    given: str
    suggested: str
    score: float
    p_given: float
    p_suggested: float


@dataclass(frozen=True, slots=True)
class Mixed:
    """Two labels that are mixed up: rows with the first that look like the second."""

    given: str
    suggested: str
    rows: int


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """What confident learning says of the labels.

    Attributes:
        rows: how many rows were looked at.
        labels: how many labels they have.
        agreement: how often the quick model, on rows it had not seen, gives the label they have.
            The lower it is, the less the suspicion is worth.
        estimated: how many rows have a wrong label, by the confident joint; a rough number that
            hard rows raise.
        share: suspects among all rows.
        suspects: the surest first.
        pairs: the commonest of the confusions among the suspects.
    """

    rows: int
    labels: int
    folds: int
    agreement: float
    estimated: int
    share: float
    suspects: tuple[Suspect, ...]
    pairs: tuple[Mixed, ...]
    sentence: str


def find_label_errors(
    examples: Sequence[Example],
    *,
    clusters: NDArray[np.int64] | None = None,
    vectors: Floats | None = None,
    known: Floats | None = None,
    labels: Sequence[str] = (),
    margin: float = MARGIN,
    seed: int = 0,
) -> LabelErrors:
    """Look for wrong labels by a model that learns the rows in five folds.

    Args:
        examples: rows with one label each.
        clusters: int64, shape (rows,); rows with equal numbers stay in one fold.
        vectors: a sentence vector for each row, shape (rows, d), to be used beside TF-IDF.
        known: probabilities by a model that did not learn from these rows, shape (rows, labels),
            in the order of ``labels``; NaN in the rows it learnt from. They are averaged with
            those of the quick model.
        labels: of ``known``.
        margin: the default cut; higher gives fewer and surer suspects.
        seed: of the folds.

    Raises:
        DataError: rows carry several labels or none, or are too few.
    """
    given = [_label(example) for example in examples]
    names = sorted(set(given))
    if len(given) < FEWEST_ROWS or len(names) < 2:
        raise DataError(
            f"at least {FEWEST_ROWS} rows with two labels are needed to look for wrong labels",
            value=f"{len(given)} rows, {len(names)} labels", fix="Give more rows",
        )  # fmt: skip
    place = {name: number for number, name in enumerate(names)}
    own = np.array([place[name] for name in given])
    found = [
        out_of_fold(model, own, len(names), folds_of(own, clusters, seed))
        for model in _models([question(example) for example in examples], own, vectors, seed)
    ]
    probabilities = np.mean(found, axis=0)
    if known is not None:
        probabilities = _averaged(probabilities, known, [labels.index(name) for name in names])
    return _report(examples, names, own, probabilities, margin)


def _label(example: Example) -> str:
    if example.labels is not None or example.output is None:
        raise DataError(
            "wrong labels are looked for in rows with one label each",
            where=str(example.source), fix="Give rows with one label, or look at one label at a "
            "time",
        )  # fmt: skip
    return example.output


def folds_of(
    own: NDArray[np.int64], clusters: NDArray[np.int64] | None, seed: int
) -> NDArray[np.int64]:
    """The fold of each row: clusters whole, each label spread evenly, at random."""
    random = np.random.default_rng([seed, len(own)])
    if clusters is None:
        clusters = np.arange(len(own))
    _, cluster = np.unique(clusters, return_inverse=True)
    count = int(cluster.max()) + 1
    leader = np.zeros(count, dtype=np.int64)
    leader[cluster[::-1]] = own[::-1]
    shuffled = random.permutation(count)
    order = shuffled[np.argsort(leader[shuffled], kind="stable")]
    fold = np.empty(count, dtype=np.int64)
    fold[order] = np.arange(count) % FOLDS
    found: NDArray[np.int64] = fold[cluster]
    return found


def out_of_fold(
    model: Probabilities, own: NDArray[np.int64], labels: int, folds: NDArray[np.int64]
) -> Floats:
    """Probabilities of every row by a model that learnt the other folds: shape (rows, labels)."""
    found = np.zeros((len(own), labels))
    for fold in range(FOLDS):
        held = np.flatnonzero(folds == fold)
        rest = np.flatnonzero(folds != fold)
        if len(held) and len(rest):
            found[held] = model(rest, held)
    return found


def _models(
    texts: list[str], own: NDArray[np.int64], vectors: Floats | None, seed: int
) -> list[Probabilities]:
    """TF-IDF with logistic regression; with vectors also logistic regression on these."""
    matrices: list[Any] = [TextFeatures(texts).matrix]
    if vectors is not None:
        spread = np.maximum(vectors.std(axis=0), _SMALLEST)
        matrices.append((vectors - vectors.mean(axis=0)) / spread / np.sqrt(vectors.shape[1]))
    labels = int(own.max()) + 1
    return [_regression(matrix, own, labels, seed) for matrix in matrices]


def _regression(matrix: Any, own: NDArray[np.int64], labels: int, seed: int) -> Probabilities:
    """One logistic regression a label, their probabilities made to sum to 1."""
    from sklearn.linear_model import LogisticRegression

    def probabilities(rest: NDArray[np.int64], held: NDArray[np.int64]) -> Floats:
        found = np.full((len(held), labels), _SMALLEST)
        learnt, asked = matrix[rest], matrix[held]
        for label in range(labels):
            wanted = own[rest] == label
            if not wanted.any() or wanted.all():
                found[:, label] = max(float(wanted.all()), _SMALLEST)
                continue
            model = LogisticRegression(
                solver="liblinear", C=_STRENGTH, tol=0.01, max_iter=1_000, random_state=seed
            ).fit(learnt, wanted)
            found[:, label] = np.maximum(model.predict_proba(asked)[:, 1], _SMALLEST)
        shares: Floats = found / found.sum(axis=1, keepdims=True)
        return shares

    return probabilities


def _averaged(ours: Floats, known: Floats, columns: list[int]) -> Floats:
    theirs = known[:, columns]
    have = np.isfinite(theirs).all(axis=1)
    mixed = ours.copy()
    mixed[have] = (ours[have] + theirs[have]) / 2
    return mixed


@dataclass(frozen=True)
class Confident:
    """The confident joint of some labels and probabilities.

    Attributes:
        thresholds: mean probability of each label over the rows that carry it, shape (labels,).
        counts: rows of given label i that are confidently j, shape (labels, labels).
        joint: the same, calibrated so that it sums to the rows of each given label.
        likely: for each row the label it confidently is; -1 where there is none.
    """

    thresholds: Floats
    counts: NDArray[np.int64]
    joint: Floats
    likely: NDArray[np.int64]


def confident_joint(own: NDArray[np.int64], probabilities: Floats) -> Confident:
    """Count the rows that are confidently another label than theirs (section 3.1 of the paper).

    Args:
        own: the given label of each row, shape (rows,).
        probabilities: out of fold, shape (rows, labels).
    """
    labels = probabilities.shape[1]
    sizes = np.bincount(own, minlength=labels)
    sums = np.bincount(own, weights=probabilities[np.arange(len(own)), own], minlength=labels)
    thresholds = np.divide(sums, sizes, out=np.ones(labels), where=sizes > 0)
    reached = np.where(probabilities >= thresholds - _SMALLEST, probabilities, -1.0)
    likely = np.where(reached.max(axis=1) > 0, reached.argmax(axis=1), -1)
    sure = likely >= 0
    counts = np.bincount(own[sure] * labels + likely[sure], minlength=labels**2)
    counts = counts.reshape(labels, labels).astype(np.int64)
    rows = counts.sum(axis=1, keepdims=True)
    joint = np.divide(counts, rows, out=np.zeros((labels, labels)), where=rows > 0)
    joint[rows[:, 0] == 0, rows[:, 0] == 0] = 1.0
    return Confident(thresholds, counts, joint * sizes[:, None], likely)


def suspects_of(
    own: NDArray[np.int64], probabilities: Floats, margin: float = MARGIN
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Rows to suspect, the surest first, their likelier labels, and the scores.

    A row is suspected if it is confidently another label, that label is likelier than its own by
    more than the margin, and the calibrated joint has room for it: of each pair of labels, so
    many rows with the largest margins ("both" prunings of the paper's section 3.2).
    """
    found = confident_joint(own, probabilities)
    rows = np.flatnonzero((found.likely >= 0) & (found.likely != own))
    lead = probabilities[rows, found.likely[rows]] - probabilities[rows, own[rows]]
    rows, lead = rows[lead > margin], lead[lead > margin]
    order = np.argsort(-lead, kind="stable")
    rows, lead = rows[order], lead[order]
    room = np.ceil(found.joint - 1e-9)
    kept = []
    for position, row in enumerate(rows.tolist()):
        cell = own[row], found.likely[row]
        if room[cell] > 0:
            room[cell] -= 1
            kept.append(position)
    return rows[kept], found.likely[rows[kept]], lead[kept]


def _report(
    examples: Sequence[Example],
    names: list[str],
    own: NDArray[np.int64],
    probabilities: Floats,
    margin: float,
) -> LabelErrors:
    rows, likely, scores = suspects_of(own, probabilities, margin)
    joint = confident_joint(own, probabilities).joint
    estimated = round(float(joint.sum() - joint.trace()))
    suspects = tuple(
        Suspect(
            row=int(row),
            where=str(examples[int(row)].source),
            text=question(examples[int(row)]),
            given=names[own[row]],
            suggested=names[label],
            score=float(score),
            p_given=float(probabilities[row, own[row]]),
            p_suggested=float(probabilities[row, label]),
        )
        for row, label, score in zip(rows, likely, scores, strict=True)
    )
    agreement = float((probabilities.argmax(axis=1) == own).mean())
    return LabelErrors(
        rows=len(own),
        labels=len(names),
        folds=FOLDS,
        agreement=agreement,
        estimated=estimated,
        share=len(suspects) / len(own),
        suspects=suspects,
        pairs=_pairs(suspects),
        sentence=_sentence(suspects, len(own), agreement),
    )


def _pairs(suspects: Sequence[Suspect], shown: int = 10) -> tuple[Mixed, ...]:
    counts: dict[tuple[str, str], int] = {}
    for suspect in suspects:
        pair = suspect.given, suspect.suggested
        counts[pair] = counts.get(pair, 0) + 1
    ranked = sorted(counts, key=lambda pair: (-counts[pair], pair))[:shown]
    return tuple(Mixed(*pair, counts[pair]) for pair in ranked)


def _sentence(suspects: Sequence[Suspect], rows: int, agreement: float) -> str:
    if not suspects:
        return f"No label of the {rows:,} rows is suspected to be wrong."
    first = suspects[0]
    return (
        f"{len(suspects):,} of {rows:,} labels ({100 * len(suspects) / rows:.1f} %) are suspected "
        f"to be wrong, first of all {first.where}: {first.given!r}, which looks like "
        f"{first.suggested!r}. A quick model agrees with {100 * agreement:.0f} % of the labels on "
        "rows it has not seen, so look before you change any."
    )
