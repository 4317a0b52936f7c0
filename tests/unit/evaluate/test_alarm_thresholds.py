"""The alarm's threshold: few false alarms, and a guarantee that holds as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from tinyforge.evaluate.findings.alarms import choose_alarm, measure_alarm


def test_no_more_false_alarms_on_the_rows_than_allowed() -> None:
    shares = np.linspace(0, 1, 1_000)
    value, guaranteed = choose_alarm(shares, 0.05)  # type: ignore[misc]
    assert guaranteed
    assert 0 < (shares > value).mean() <= 0.05


def test_the_guarantee_holds_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    true = []
    for _ in range(400):
        value, guaranteed = choose_alarm(random.random(600), 0.05)  # type: ignore[misc]
        assert guaranteed
        true.append(1 - value)  # of uniform shares, those above the threshold
    assert np.mean(np.array(true) > 0.05) < 0.09
    assert np.mean(true) > 0.025  # and it is not bought with a threshold far too high


@pytest.mark.parametrize(("rows", "guaranteed"), [(58, False), (59, True)])
def test_too_few_rows_give_no_guarantee(rows: int, guaranteed: bool) -> None:
    # 0.95 ** 59 is the first power below 0.05.
    found = choose_alarm(np.arange(rows) / rows, 0.05)
    assert found is not None
    assert found[1] == guaranteed


def test_nothing_can_be_chosen_without_rows() -> None:
    assert choose_alarm(np.zeros(0), 0.05) is None
    nothing = (np.array([0.9]), np.array([True]))
    assert measure_alarm(("toxic",), 0.05, nothing, nothing) is None


def test_equal_probabilities_raise_no_alarm() -> None:
    value, _ = choose_alarm(np.ones(100), 0.05)  # type: ignore[misc]
    assert value == 1.0


def test_it_is_measured_on_the_test_rows() -> None:
    validation = (np.r_[np.linspace(0, 0.5, 500), np.ones(50)], np.r_[[False] * 500, [True] * 50])
    test = (np.array([0.1, 0.9, 0.2, 0.99, 0.01, 0.8]),
            np.array([False, False, False, True, True, True]))  # fmt: skip
    alarm = measure_alarm(("toxic",), 0.02, validation, test)
    assert alarm is not None
    assert alarm.recall is not None
    assert alarm.precision is not None
    assert alarm.false_alarms is not None
    assert 0.45 < alarm.value <= 0.5
    assert (alarm.recall.value, alarm.recall.rows) == (pytest.approx(2 / 3), 3)
    assert alarm.precision.value == pytest.approx(2 / 3)
    assert alarm.false_alarms.value == pytest.approx(1 / 3)
    assert alarm.recall.low < 2 / 3 < alarm.recall.high
    assert alarm.validation_rows == 500
    assert "2 % false alarms (guaranteed" in alarm.sentence
