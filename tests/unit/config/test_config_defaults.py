"""What a bare run uses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from tinyforge.config.defaults import PEAK_RATES, Facts, resolve
from tinyforge.config.load import load_settings
from tinyforge.config.names import explicit
from tinyforge.config.settings import Settings
from tinyforge.config.train import TrainSettings

MINILM = Facts("classify", "encoder", 22_700_000, True, False, 8_000, 15.0)
TASKS = {
    "encoder": ["classify"],
    "encoder-decoder": ["text2text"],
    "decoder": ["instruct", "language-model", "text2text"],
}


def train(facts: Facts, *overrides: str) -> TrainSettings:
    return resolve(load_settings(None, overrides), facts)[0].train


def test_a_small_pretrained_encoder() -> None:
    chosen = train(MINILM)
    assert (chosen.learning_rate, chosen.batch_size, chosen.epochs) == (2e-4, 32, 5)
    assert (chosen.schedule, chosen.best_by, chosen.pack) == ("linear", "accuracy", False)
    assert chosen.validate_every == 125


def test_what_the_user_set_stays() -> None:
    given = ["learning_rate=1e-3", "epochs=2", "schedule=constant", "batch_size=5"]
    given += ["validate_every=7", "best_by=loss"]
    chosen = train(MINILM, *(f"train.{setting}" for setting in given))
    assert (chosen.learning_rate, chosen.epochs, chosen.batch_size) == (1e-3, 2, 5)
    assert (chosen.schedule, chosen.validate_every, chosen.best_by) == ("constant", 7, "loss")


def test_explicit_settings_are_still_told_apart_after_resolving() -> None:
    settings = load_settings(None, ["train.epochs=2"])
    assert explicit(resolve(settings, MINILM)[0]) == ["train.epochs"]


def test_every_choice_is_recorded_once_with_a_reason() -> None:
    _, reasons = resolve(Settings(), replace(MINILM, pretrained=False))
    names = [reason.partition(" = ")[0] for reason in reasons]
    assert len(set(names)) == len(names)
    assert "train.learning_rate" in names
    assert "train.epochs" in names
    assert all(": " in reason and len(reason) < 100 for reason in reasons)


def test_few_rows_are_repeated_within_bounds() -> None:
    faq, small = replace(MINILM, train_rows=3), replace(MINILM, train_rows=200)
    assert (train(faq).epochs, train(faq).batch_size) == (60, 8)
    assert 5 < (train(small).epochs or 0) <= 30
    assert train(small).batch_size == 16


def test_without_validation_nothing_is_chosen_for_it() -> None:
    settings, reasons = resolve(Settings(), replace(MINILM, pretrained=False, validation_rows=0))
    assert (settings.train.validate_every, settings.train.best_by) == (None, None)
    assert not any("early_stopping" in reason or "validation" in reason for reason in reasons)


def test_max_steps_bounds_epochs() -> None:
    chosen = train(MINILM, "train.max_steps=600")
    assert chosen.epochs == 3  # 250 steps an epoch
    assert chosen.validate_every == 60


def test_adapters_take_a_higher_rate() -> None:
    big = Facts("instruct", "decoder", 500_000_000, True, False, 5_000, 100.0)
    assert train(replace(big, lora=True)).learning_rate == pytest.approx(5e-4)
    assert train(big).learning_rate == pytest.approx(5e-5)


def test_packing_counts_sequences() -> None:
    facts = Facts("language-model", "decoder", 260_000, True, False, 30_000, 10.0, max_length=512)
    chosen = train(facts)
    assert chosen.pack is True
    assert chosen.batch_size == 16  # 586 sequences, though 30,000 rows
    assert chosen.micro_batch_tokens == 4096
    assert train(facts, "train.micro_batch_size=2").micro_batch_tokens is None


def test_one_sequence_always_fits_a_micro_batch() -> None:
    assert (train(replace(MINILM, max_length=9_000)).micro_batch_tokens or 0) >= 9_000


def test_multi_label_and_generation_pick_their_measure() -> None:
    assert train(replace(MINILM, multi_label=True)).best_by == "micro_f1"
    assert train(Facts("text2text", "encoder-decoder", 10**7, False, False, 99, 9.0)).best_by == (
        "loss"
    )


@for_any(
    family=st.sampled_from(sorted(TASKS)),
    parameters=st.integers(1_000, 10**10),
    pretrained=st.booleans(),
    lora=st.booleans(),
    rows=st.integers(1, 10**7),
    tokens=st.floats(0, 5_000),
    data=st.data(),
)
def test_any_run_gets_usable_settings(
    family: str, parameters: int, pretrained: bool, lora: bool, rows: int, tokens: float,
    data: st.DataObject,
) -> None:  # fmt: skip
    task = data.draw(st.sampled_from(TASKS[family]))
    facts = Facts(task, family, parameters, pretrained, lora, rows, tokens)
    chosen = train(facts)
    rates = [rate for _, rate in PEAK_RATES[family, pretrained]]
    assert min(rates) / 2 <= (chosen.learning_rate or 0) <= 10 * max(rates)
    assert 1 <= (chosen.epochs or 0) <= 1_500
    assert chosen.batch_size
    assert chosen.validate_every
    assert chosen.best_by
    assert chosen.pack is not None


def test_many_labels_want_more_passes() -> None:
    few, many = train(replace(MINILM, labels=5)), train(replace(MINILM, labels=77))
    assert few.epochs is not None
    assert many.epochs is not None
    assert many.epochs > few.epochs


def test_a_new_t5_learns_by_muon_unless_the_user_chose() -> None:
    facts = replace(MINILM, task="text2text", family="encoder-decoder", pretrained=False, labels=0)
    assert train(facts).optimizer == "muon"
    assert train(facts).rest_learning_rate is not None
    chosen = Settings.model_validate({"train": {"learning_rate": 1e-3}})
    assert resolve(chosen, facts)[0].train.optimizer == "adamw"
    assert train(replace(facts, pretrained=True)).optimizer == "adamw"
