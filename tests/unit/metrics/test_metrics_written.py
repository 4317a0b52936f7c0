"""Edit distance, numbers, SARI, TER and several references."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.metrics.edit_rate import EditDistance, FastTER
from tinyforge.metrics.edits import edit_distance, levenshtein
from tinyforge.metrics.generation import Writing, generation_tallies
from tinyforge.metrics.numeric import is_numeric, last_number, same_number
from tinyforge.metrics.simplification import Simplification, looks_simplified

short = st.text("abcé ", max_size=14)
words = st.lists(st.sampled_from(["the", "cat", "sat", "Fox", "x.", "3", "on"]), max_size=10).map(
    " ".join
)
several = st.lists(words, min_size=1, max_size=3)


def table_distance(first: str, second: str) -> int:
    """Levenshtein's distance cell by cell (Wagner and Fischer 1974)."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        above, row = row, [i]
        for j, b in enumerate(second, start=1):
            row.append(min(above[j - 1] + (a != b), above[j] + 1, row[j - 1] + 1))
    return row[-1]


@given(short, short)
def test_levenshtein_equals_the_table(first: str, second: str) -> None:
    assert levenshtein(first, second) == table_distance(first, second)


def test_long_texts() -> None:
    first, second = "abcdefghij" * 30, "abcdefghi" * 33
    assert levenshtein(first, second) == table_distance(first, second)


def test_edit_distance_is_a_share() -> None:
    assert edit_distance("kitten", "sitting") == pytest.approx(3 / 7)
    assert edit_distance("", "") == 0
    assert edit_distance("", "ab") == 1
    assert edit_distance("a  b\n", " a b") == 0


@pytest.mark.parametrize(
    ("text", "alone", "number"),
    [
        ("72", True, "72"),
        ("She sold 48 + 24 = <<48+24=72>>72 clips.\n#### 72", True, "72"),
        ("$1,234.50", True, "1234.50"),
        ("50 %", True, "50"),
        ("-3", True, "-3"),
        ("0.5", True, "0.5"),
        ("72.", True, "72"),
        ("007", False, "7"),
        ("12 apples", False, "12"),
        ("3/4", False, "4"),
        ("5-3", False, "3"),
        ("It is -$5 now", False, "-5"),
        ("1,2345", False, "2345"),
        ("none", False, None),
    ],
)
def test_numbers(text: str, alone: bool, number: str | None) -> None:
    assert is_numeric(text) is alone
    assert last_number(text) == (None if number is None else Decimal(number))


def test_the_same_number_written_otherwise() -> None:
    assert same_number("#### 1,200", "So they need $1200.00 in all.")
    assert same_number("42", "6 * 7 = 42\n#### 42")
    assert not same_number("42", "43")
    assert not same_number("42", "no idea")


def test_numbers_are_compared_where_answers_are_numbers() -> None:
    gold = ["a\n#### 5", "b\n#### 1,000", "#### 7"]
    found = generation_tallies(gold, ["#### 5", "1000", "8"]).tallies
    assert found["numeric_match"].value() == pytest.approx(2 / 3)
    assert "numeric_match" not in generation_tallies(["5", "a word"], ["5", "a word"]).tallies


SARI_SOURCE = "About 95 species are currently accepted ."
SARI_REFERENCES = [
    "About 95 species are currently known .",
    "About 95 species are now accepted .",
    "95 species are now accepted .",
]


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("About 95 you now get in .", 0.2682782411698074),
        ("About 95 species are now agreed .", 0.5889995423074248),
        ("About 95 species are currently agreed .", 0.5071608864657479),
    ],
)
def test_sari_examples_of_its_authors(answer: str, value: float) -> None:
    """The three sentences at the end of ``SARI.py`` (github.com/cocoxu/simplification).

    Xu et al. 2016 print 0.2683 for the first (tensor2tensor's ``sari_hook_test.py`` quotes it);
    the others are what the formulas of ``SARI.py`` give, worked out by ``by_the_book`` too.
    """
    found = Simplification().score(SARI_SOURCE, answer, SARI_REFERENCES)
    assert found == pytest.approx(value, abs=1e-12)
    book = by_the_book(SARI_SOURCE.split(), answer.split(), [r.split() for r in SARI_REFERENCES])
    assert book == pytest.approx(value, abs=1e-12)


def by_the_book(source: list[str], answer: list[str], references: list[list[str]]) -> float:
    """SARI as the paper's section 3 and ``SARI.py`` have it, n-gram by n-gram with fractions."""
    total = Fraction(0)
    for n in range(1, 5):

        def times(words: list[str], n: int = n) -> dict[tuple[str, ...], int]:
            grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
            return {gram: grams.count(gram) for gram in grams}

        i, o = times([w.lower() for w in source]), times([w.lower() for w in answer])
        some = [times([w.lower() for w in r]) for r in references]
        every = {gram for r in some for gram in r}
        # how many of the source's and the answer's grams the references have, of each copy
        r = {gram: Fraction(sum(s.get(gram, 0) for s in some), len(some)) for gram in every}
        kept = {g: min(i[g], o[g]) for g in i if g in o}
        keepable = {g: min(Fraction(i[g]), r[g]) for g in i if g in r}
        good = {g: min(Fraction(kept[g]), r[g]) for g in kept if g in r}
        p = Fraction(sum(good[g] / kept[g] for g in good)) / len(kept) if kept else 0
        q = Fraction(sum(good[g] / keepable[g] for g in good)) / len(keepable) if keepable else 0
        keep = 2 * p * q / (p + q) if p + q else 0
        gone = {g: i[g] - o.get(g, 0) for g in i if i[g] > o.get(g, 0)}
        well = {g: max(gone[g] - r.get(g, Fraction(0)), Fraction(0)) for g in gone}
        delete = sum(well[g] / gone[g] for g in gone) / len(gone) if gone else 0
        added, addable = set(o) - set(i), every - set(i)
        p = Fraction(len(added & addable), len(added)) if added else Fraction(0)
        q = Fraction(len(added & addable), len(addable)) if addable else Fraction(0)
        total += keep + delete + (2 * p * q / (p + q) if p + q else 0)
    return float(total / 12)


@settings(deadline=None)
@given(words, words, several)
def test_sari_is_the_papers_on_any_sentences(source: str, answer: str, gold: list[str]) -> None:
    def clean(text: str) -> str:
        return text.replace(".", "")

    found = Simplification().score(clean(source), clean(answer), [clean(text) for text in gold])
    book = by_the_book(
        clean(source).split(), clean(answer).split(), [clean(text).split() for text in gold]
    )
    assert found == pytest.approx(book, abs=1e-12)


def test_sari_is_the_mean_of_the_sentences() -> None:
    inputs = ["He was born in the town of Ely.", "It is a very large dog."]
    gold = [["He was born in Ely."], ["It is a big dog.", "It is a huge dog."]]
    answers = ["He was born in Ely.", "It is a very large dog."]
    found = generation_tallies(gold, answers, inputs).tallies["sari"].value()
    scorer = Simplification()
    rows = [scorer.score(*row) for row in zip(inputs, answers, gold, strict=True)]
    assert found == pytest.approx(100 * sum(rows) / 2)
    assert "sari" not in generation_tallies(gold, answers).tallies


def test_what_looks_simplified() -> None:
    long = ["The committee reached the decision to postpone the annual meeting until May."] * 5
    simple = ["The committee decided to postpone the meeting until May."] * 5
    assert looks_simplified(long, simple)
    assert not looks_simplified(long, long)
    assert not looks_simplified(long, [" ".join(reversed(text.split())) for text in long])
    assert not looks_simplified(long, ["It waits."] * 5)
    assert not looks_simplified(["name[Alimentum], area[city]"] * 5, simple)


def test_ter_of_sacrebleus_own_tests() -> None:
    """Cases of sacrebleu's ``test/test_ter.py``."""
    cases = [
        ("aaaa bbbb cccc dddd", "aaaa bbbb cccc dddd", 0),
        ("dddd eeee ffff", "aaaa bbbb cccc", 100),
        ("", "a", 100),
        ("d e f g h a b c", "a b c d e f g h", 100 / 8),
    ]
    for answer, gold, value in cases:
        assert generation_tallies([gold], [answer]).tallies["ter"].value() == pytest.approx(value)


@settings(deadline=None)
@given(st.lists(st.tuples(several, words), min_size=1, max_size=4))
def test_several_references_equal_sacrebleu(rows: list[tuple[list[str], str]]) -> None:
    from itertools import zip_longest

    from sacrebleu.metrics import BLEU, CHRF, TER

    gold, answers = [row[0] for row in rows], [row[1] for row in rows]
    streams = [list(stream) for stream in zip_longest(*gold)]
    found = generation_tallies(gold, answers)
    for name, metric in (("bleu", BLEU(force=True)), ("chrf", CHRF()), ("ter", TER())):
        expected = metric.corpus_score(answers, streams)
        assert found.tallies[name].value() == pytest.approx(expected.score, abs=1e-9)
        assert found.signatures[name] == str(metric.get_signature())


@settings(deadline=None)
@given(several, words)
def test_several_references_equal_rouge_score(gold: list[str], answer: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    expected = RougeScorer(["rouge1", "rouge2", "rougeL"]).score_multi(gold, answer)
    tallies = generation_tallies([gold], [answer]).tallies
    for name, score in expected.items():
        assert tallies[name].value() == pytest.approx(score.fmeasure)


def test_the_best_reference_counts() -> None:
    tallies = generation_tallies([["a dog", "two dogs ran", "x"]], ["two dogs  ran"]).tallies
    assert tallies["exact_match"].value() == 1
    assert tallies["token_f1"].value() == 1
    assert tallies["edit_distance"].value() == 0


def test_parts_change_nothing() -> None:
    gold = [["one two", "one"], ["three four five"], ["six", "seven eight", "nine"], ["ten"]]
    answers = ["one", "three five", "seven nine", ""]
    whole = generation_tallies(gold, answers)
    writing = Writing(ter=True)
    quality = [writing.add(gold[:1], answers[:1]), writing.add(gold[1:], answers[1:])]
    parts = writing.close()
    assert parts.signatures == whole.signatures
    assert "nrefs:var" in parts.signatures["bleu"]
    for name, tally in whole.tallies.items():
        assert parts.tallies[name].value() == pytest.approx(tally.value())
    assert quality[0].tolist() == [1]
    assert quality[1][2] == 0
    assert 0 < quality[1][0] < 1


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=14), st.randoms(use_true_random=False)
)
def test_fast_ter_equals_sacrebleus(reference: list[str], random: Random) -> None:
    from sacrebleu.metrics import TER

    cut = random.randrange(len(reference) + 1)
    moved = reference[cut:] + reference[:cut]
    for _ in range(random.randrange(3)):
        moved[random.randrange(len(moved))] = random.choice("axy")
    mixed = random.sample(reference, len(reference)) + ["z"] * random.randrange(4)
    for answer in (" ".join(moved), " ".join(mixed)):
        expected = TER().corpus_score([answer], [[" ".join(reference)]]).score
        assert FastTER().corpus_score([answer], [[" ".join(reference)]]).score == expected


@pytest.mark.parametrize("moved", [0, 5, 20, 23, 24, 28, 40])
def test_fast_distances_are_those_within_sacrebleus_beam(moved: int) -> None:
    """From a shift of 25 words on, the beam misses the shortest way, and so must we."""
    from sacrebleu.metrics.lib_ter import BeamEditDistance

    reference = [f"w{i}" for i in range(90)]
    words = [f"x{i}" for i in range(moved)] + reference[: 90 - moved]
    slow = BeamEditDistance(reference)(words)[0]
    assert EditDistance(reference)(words)[0] == slow
    assert slow == (2 * moved if moved < 25 else 90)
