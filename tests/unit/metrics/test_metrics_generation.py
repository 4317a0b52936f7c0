"""BLEU, chrF, ROUGE, exact match and token F1 against the packages they come from."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.errors import DataError
from tinyforge.metrics.generation import generation_tallies, rouge_l, token_f1
from tinyforge.metrics.tally import Tally

GOLD = [
    "The cat sat on the mat.",
    "A quick brown fox jumps over the lazy dog, twice.",
    "yes",
    "Ein Mann läuft über die Straße.",
]
ANSWERS = ["The cat sat on a mat.", "A quick brown dog jumps over the fox", "", "Ein Mann rennt."]

texts = st.lists(st.sampled_from(["the", "cat", "sat", "Fox", "é", "x.", "3"]), max_size=12).map(
    " ".join
)


def test_values_are_sacrebleus() -> None:
    from sacrebleu.metrics import BLEU, CHRF

    scored = generation_tallies(GOLD, ANSWERS)
    assert scored.tallies["bleu"].value() == pytest.approx(
        BLEU().corpus_score(ANSWERS, [GOLD]).score
    )
    assert scored.tallies["chrf"].value() == pytest.approx(
        CHRF().corpus_score(ANSWERS, [GOLD]).score
    )
    assert "tok:13a" in scored.signatures["bleu"]
    assert "nc:6|nw:0" in scored.signatures["chrf"]


@settings(deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_bleu_and_chrf_equal_sacrebleu_on_any_rows(rows: list[tuple[str, str]]) -> None:
    from sacrebleu.metrics import BLEU, CHRF

    gold, answers = [a for a, _ in rows], [b for _, b in rows]
    tallies = generation_tallies(gold, answers).tallies
    bleu = BLEU(force=True).corpus_score(answers, [gold]).score
    chrf = CHRF().corpus_score(answers, [gold]).score
    assert tallies["bleu"].value() == pytest.approx(bleu, abs=1e-9)
    assert tallies["chrf"].value() == pytest.approx(chrf, abs=1e-9)


@settings(deadline=None)
@given(texts, texts)
def test_rouge_equals_rouge_score(gold: str, answer: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    gold, answer = gold.replace("é", "e"), answer.replace("é", "e")
    expected = RougeScorer(["rougeL", "rouge1"]).score(gold, answer)
    assert rouge_l(gold, answer) == pytest.approx(expected["rougeL"].fmeasure)
    tallies = generation_tallies([gold], [answer]).tallies
    assert tallies["rouge1"].value() == pytest.approx(expected["rouge1"].fmeasure)


def test_rouge_reads_letters_beyond_ascii() -> None:
    assert rouge_l("привет мир", "привет друг") == pytest.approx(0.5)
    assert rouge_l("今天天气", "今天下雨") == pytest.approx(0.5)


def test_exact_match_forgives_spaces_only() -> None:
    value = generation_tallies(["a b", "a b", "a b"], [" a  b\n", "A b", "a b."]).tallies
    assert value["exact_match"].value() == pytest.approx(1 / 3)


def test_token_f1_is_squads() -> None:
    assert token_f1("The Eiffel Tower!", "eiffel tower") == 1
    assert token_f1("in Paris", "Paris") == pytest.approx(2 / 3)
    assert token_f1("the", "") == 1
    assert token_f1("Paris", "") == 0


def test_all_answers_empty() -> None:
    tallies = generation_tallies(["one two", "three"], ["", ""]).tallies
    values = {name: tally.value() for name, tally in tallies.items()}
    assert values.pop("ter") == 100
    assert values.pop("edit_distance") == 1
    assert set(values.values()) == {0.0}


def test_a_script_without_spaces_is_cut_into_characters() -> None:
    scored = generation_tallies(["今天天气很好我们去公园"], ["今天天气很好我们去学校"])
    assert "tok:char" in scored.signatures["bleu"]
    assert scored.tallies["bleu"].value() > 50


def test_no_rows_is_an_error() -> None:
    with pytest.raises(DataError, match="no rows to score"):
        generation_tallies([], [])


def test_each_row_alone_has_a_score() -> None:
    tally = generation_tallies(GOLD, ANSWERS).tallies["chrf"]
    assert isinstance(tally, Tally)
    rows = tally.by_row()
    assert rows.shape == (4,)
    assert rows[2] == 0
    assert rows[0] > rows[3]
