"""Tables are made of results alone, and go where the page has its markers."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.speed import report, table


def spread(value: float) -> dict[str, float]:
    return {"median": value, "min": value / 2, "max": value * 2}


def side(rate: float) -> dict[str, Any]:
    return {
        "examples_per_second": spread(rate),
        "tokens_per_second": spread(10 * rate),
        "share_of_peak": spread(0.5),
        "peak_bytes": spread(2**30),
        "held_out": [{"loss": 2.0}, {"loss": 1.0}, {"loss": 3.0}],
        "loss_curves": [[3.0, 2.0]],
    }


def result(*, valid: bool = True) -> dict[str, Any]:
    why = [] if valid else ["ours learnt from 3 examples, the peer from 4"]
    speed = {"ratio": 4.0, "low": 3.5, "high": 4.5}
    return {
        "case": "t5_short_pairs",
        "title": "T5",
        "quick": False,
        "repeat": 3,
        "machine": {
            "processor": "A chip", "cores": 2, "threads": 2, "memory_bytes": 2**34,
            "system": "Linux", "python": "3.11", "date": "2020-02-02",
            "versions": {"torch": "9.9"},
        },
        "peak_operations_per_second": {"bfloat16": 3e11},
        "learning": {"batch": 32, "steps": 60},
        "model": {"parameters": 60_500_000},
        "rows": {"count": 1920, "tokens": 50_000},
        "sides": {"ours": side(80.0), "trainer": side(20.0)},
        "comparisons": [{"peer": "trainer", "speed": speed, "valid": valid, "why_not": why}],
    }  # fmt: skip


def test_a_speed_table_holds_both_sides_and_the_ratio() -> None:
    text = table.render(result())
    assert "| ours | 80 (40 to 160) | 800 | 50% | 1.00 | loss 2.000 |" in text
    assert "4.00x (3.50 to 4.50) | yes |" in text
    assert "60.5 M weights" in text
    assert "Training loss, ours: 3.000 at 1, 2.000 at 2." in text


def test_a_result_that_does_not_count_says_why() -> None:
    assert "no: ours learnt from 3 examples, the peer from 4" in table.render(result(valid=False))


def test_machine_and_versions_stand_once_above_their_tables() -> None:
    text = report.render([result(), result()])
    assert text.count("A chip, 2 cores, 2 threads, 16 GiB") == 1
    assert "300 GFLOP/s in bfloat16" in text
    assert "torch 9.9" in text


def test_accuracy_against_setfit_may_be_out_of_reach() -> None:
    runs = [{"seconds": None, "peak_bytes": 2**30}]
    found = result(valid=False) | {
        "case": "classify",
        "sides": {"ours": runs, "setfit": [{"seconds": 9.0, "peak_bytes": 2**30}]},
        "comparisons": [
            {
                "peer": "setfit", "speed": None, "accuracy": {"ours": 0.8, "setfit": 0.9},
                "valid": False, "why_not": ["ours did not reach SetFit's accuracy"],
            }
        ],
    }  # fmt: skip
    text = table.render(found)
    assert "| ours | 0.800 | not reached | 1.00 |" in text
    assert "no: ours did not reach SetFit's accuracy" in text


def test_tables_replace_what_stood_between_the_markers() -> None:
    page = f"# Speed\n{report.BEGIN}\nold\n{report.END}\nmore\n"
    put = report.put(page, "new")
    assert put == f"# Speed\n{report.BEGIN}\nnew\n{report.END}\nmore\n"
    assert report.put(put, "new") == put


@pytest.mark.parametrize("page", ["", report.BEGIN, f"{report.END} {report.BEGIN}"])
def test_a_page_without_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        report.put(page, "new")
