"""What is measured for each task, and which number is the headline.

The numbers come from per-row statistics (see ``tally.py`` and ``ranking.py``), so every metric
has a bootstrap interval and two systems can be compared row by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tinyforge.metrics.words import split_words

Scale = Literal["share", "points", "free"]
"""``share``: 0 to 1; ``points``: 0 to 100; ``free``: no upper bound."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name and how to read it.

    Attributes:
        title: what a person calls it.
        definition: how it is computed, in one clause.
        proportion: True where a row is simply right or wrong and the metric is the share right.
        margin: a difference up to this size is too small to matter, in the metric's own unit.
        resolution: an interval with this half width would have shown any worthwhile difference.
    """

    name: str
    title: str
    definition: str
    scale: Scale = "share"
    higher_is_better: bool = True
    proportion: bool = False
    margin: float = 0.005
    resolution: float = 0.05


_ALL = (
    Metric("accuracy", "Accuracy", "share of rows with the right label", proportion=True),
    Metric(
        "macro_f1",
        "Macro F1",
        "mean of the labels' F1, each label counting the same, over labels that occur in the "
        "rows or in the answers",
    ),
    Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        "mean of the labels' recall, over labels that occur (scikit-learn)",
    ),
    Metric("micro_f1", "Micro F1", "F1 of all single label decisions together"),
    Metric("weighted_f1", "Weighted F1", "mean of the labels' F1, weighted by their rows"),
    Metric(
        "subset_accuracy",
        "Exact set",
        "share of rows whose set of labels is exactly right",
        proportion=True,
    ),
    Metric(
        "mcc",
        "MCC",
        "Matthews correlation of labels and answers, for any number of labels (Matthews 1975; "
        "Gorodkin 2004): 1 all right, 0 no better than chance",
        scale="free",
        margin=0.01,
        resolution=0.1,
    ),
    Metric(
        "auroc",
        "AUROC",
        "area under the ROC curve: how often a row with the label has a higher probability of it "
        "than a row without (Hanley and McNeil 1982); of two labels the rarer, of more the mean "
        "of each against the rest",
    ),
    Metric(
        "average_precision",
        "Average precision",
        "area under the precision-recall curve, in steps (scikit-learn); of two labels the "
        "rarer, of more the mean of each against the rest",
    ),
    Metric(
        "brier",
        "Brier score",
        "half the squared distance between probabilities and truth (Brier 1950), 0 to 1; for "
        "label sets the mean squared error of the labels' probabilities",
        higher_is_better=False,
    ),
    Metric(
        "ece",
        "Calibration error",
        "expected calibration error: mean gap between confidence and accuracy in 15 bins of "
        "equal width (Guo et al. 2017); for label sets between each label's probability and how "
        "often it holds",
        higher_is_better=False,
    ),
    Metric(
        "hamming_loss",
        "Hamming loss",
        "share of all single label decisions that are wrong (scikit-learn)",
        higher_is_better=False,
        resolution=0.01,
    ),
    Metric(
        "jaccard",
        "Jaccard",
        "mean over rows of shared labels over all labels of both sets; 1 where both are empty "
        "(scikit-learn, samples)",
    ),
    Metric(
        "exact_match",
        "Exact match",
        "share of answers equal to the expected one, or one of them, but for spaces",
        proportion=True,
    ),
    Metric(
        "numeric_match",
        "Right number",
        "share of answers whose last number is the expected one; commas between thousands, "
        "currency and percent signs do not matter (as for GSM8K, Cobbe et al. 2021)",
        proportion=True,
    ),
    Metric(
        "token_f1",
        "Token F1",
        "mean F1 over words, lower case, without punctuation and the articles a, an, the "
        "(SQuAD 1.1)",
    ),
    Metric("bleu", "BLEU", "sacrebleu's corpus BLEU", scale="points", margin=0.5, resolution=3.0),
    Metric("chrf", "chrF", "sacrebleu's corpus chrF2", scale="points", margin=0.5, resolution=3.0),
    Metric(
        "ter",
        "TER",
        "sacrebleu's translation edit rate (Snover et al. 2006): word edits and shifts for each "
        "100 words of the reference",
        scale="points",
        higher_is_better=False,
        margin=0.5,
        resolution=3.0,
    ),
    Metric(
        "sari",
        "SARI",
        "mean of the sentences' SARI: n-grams kept, deleted and added as in the references "
        "(Xu et al. 2016, SARI.py)",
        scale="points",
        margin=0.5,
        resolution=3.0,
    ),
    Metric(
        "edit_distance",
        "Edit distance",
        "mean of Levenshtein's distance in characters over the longer text's length",
        higher_is_better=False,
    ),
    Metric("rouge1", "ROUGE-1", "mean F1 over words, no stemming (Lin 2004)"),
    Metric("rouge2", "ROUGE-2", "mean F1 over word pairs, no stemming (Lin 2004)"),
    Metric("rougeL", "ROUGE-L", "mean F1 of the longest common subsequence of words (Lin 2004)"),
    Metric(
        "perplexity",
        "Perplexity",
        "exp of the mean negative log-likelihood per token; comparable only between models with "
        "the same tokenizer",
        scale="free",
        higher_is_better=False,
        margin=0.05,
        resolution=0.5,
    ),
    Metric(
        "bits_per_byte",
        "Bits per byte",
        "negative log2-likelihood per UTF-8 byte of the text; comparable between any models",
        scale="free",
        higher_is_better=False,
        margin=0.005,
        resolution=0.05,
    ),
    Metric(
        "bits_per_character",
        "Bits per character",
        "negative log2-likelihood per Unicode character of the text",
        scale="free",
        higher_is_better=False,
        margin=0.005,
        resolution=0.05,
    ),
    Metric(
        "choice_accuracy",
        "Choice accuracy",
        "share of questions whose right choice has the highest log-likelihood (acc of "
        "lm-evaluation-harness)",
        proportion=True,
    ),
    Metric(
        "choice_accuracy_norm",
        "Choice accuracy by length",
        "share of questions whose right choice has the highest log-likelihood per byte "
        "(acc_norm of lm-evaluation-harness)",
        proportion=True,
    ),
    Metric(
        "pair_accuracy",
        "Pair accuracy",
        "share of minimal pairs whose good sentence is likelier than the bad one (BLiMP, "
        "Warstadt et al. 2020)",
        proportion=True,
    ),
    Metric(
        "preference_accuracy",
        "Preferred",
        "share of pairs whose chosen answer has a higher log-likelihood than the rejected one",
        proportion=True,
    ),
    Metric(
        "preference_accuracy_norm",
        "Preferred by length",
        "share of pairs whose chosen answer has a higher log-likelihood per byte than the rejected "
        "one",
        proportion=True,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}

_LABELS = ("auroc", "average_precision", "brier", "ece")
_GENERATION = (
    "exact_match", "numeric_match", "token_f1", "chrf", "bleu", "ter", "sari", "rouge1", "rouge2",
    "rougeL", "edit_distance",
)  # fmt: skip
_LIKELIHOOD = ("bits_per_byte", "bits_per_character", "perplexity")

TASK_METRICS: dict[str, tuple[str, ...]] = {
    "classify": (
        "accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "weighted_f1", "mcc", *_LABELS
    ),
    "classify-multi-label": (
        "micro_f1", "macro_f1", "weighted_f1", "subset_accuracy", "jaccard", "hamming_loss",
        *_LABELS,
    ),
    "text2text": (*_GENERATION, *_LIKELIHOOD),
    "instruct": (*_GENERATION, *_LIKELIHOOD),
    "language-model": _LIKELIHOOD,
    "multiple-choice": ("choice_accuracy", "choice_accuracy_norm"),
    "minimal-pairs": ("pair_accuracy",),
    "preference": ("preference_accuracy", "preference_accuracy_norm"),
}  # fmt: skip
"""Task to the metrics it is measured by, in the order they are shown in, after the headline.

Those that need probabilities, likelihoods, numbers or simplifications only where there are any.
"""


@dataclass(frozen=True, slots=True)
class Primary:
    """The headline metric, and why it is that one."""

    name: str
    why: str


LOPSIDED = 0.8
"""From this share of one label on, accuracy says little and macro F1 is the headline."""


def primary_for_labels(gold: Sequence[str] | Mapping[str, int]) -> Primary:
    """Headline for one label a row: accuracy, or macro F1 where one label dominates.

    Args:
        gold: the rows' labels, or how many rows each label has.
    """
    counts = Counter(gold)
    label, count = counts.most_common(1)[0]
    share = count / counts.total()
    if share > LOPSIDED:
        return Primary(
            "macro_f1",
            f"{share:.0%} of the rows are {label!r}, so that accuracy would say little",
        )
    return Primary("accuracy", "no label dominates the rows")


def primary_for_label_sets() -> Primary:
    """Headline for several labels a row: micro F1."""
    return Primary("micro_f1", "a row may carry several labels; each decision counts the same")


def primary_for_answers(inputs: Sequence[str], gold: Sequence[str]) -> Primary:
    """Headline for written answers: exact match where one answer is right, else chrF.

    One answer is taken to be right where answers are short (three words or fewer on average),
    come from a closed set (at most half as many different ones as rows), are made from few
    different words (at most 100), or are nearly always the input's own words in another order.
    """
    words = [split_words(text) for text in gold]
    count = sum(len(row) for row in words)
    if count <= 3 * len(gold):
        return Primary("exact_match", "answers are short")
    if len(gold) >= 20:
        if len(set(gold)) <= len(gold) / 2:
            return Primary("exact_match", "answers come from a closed set")
        if count >= 500 and len({word for row in words for word in row}) <= 100:
            return Primary("exact_match", "answers are made from few different words")
    moved = sum(_reordered(split_words(a), b) for a, b in zip(inputs, words, strict=True))
    if moved >= 0.9 * len(gold):
        return Primary("exact_match", "answers are the input's words in another order")
    return Primary("chrf", "answers are free text, in which many wordings are right")


def primary_for_numbers() -> Primary:
    """Headline for answers that are numbers: the share of right ones."""
    return Primary("numeric_match", "answers are numbers, or end in one")


def primary_for_likelihoods() -> Primary:
    """Headline for raw text: bits per byte, which no choice of tokenizer can flatter."""
    return Primary("bits_per_byte", "comparable between models with different tokenizers")


def primary_for_preferences() -> Primary:
    """Headline for preference pairs: how often the chosen answer is the likelier one."""
    return Primary("preference_accuracy", "the rows are pairs of a chosen and a rejected answer")


def _reordered(source: list[str], target: list[str]) -> bool:
    extra = Counter(source)
    extra.subtract(target)
    return min(extra.values(), default=-1) >= 0 and len(source) - len(target) <= 2


def better_first(values: Mapping[str, float], metric: str) -> list[str]:
    """The names of ``values``, the best value of ``metric`` first; ties in the given order."""
    sign = -1 if METRICS[metric].higher_is_better else 1
    return sorted(values, key=lambda name: sign * values[name])
