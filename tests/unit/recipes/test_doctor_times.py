"""How long usual jobs take: reckoned from the measured speed, and said plainly."""

from __future__ import annotations

import pytest

from tinyforge.recipes.doctor import advise
from tinyforge.recipes.doctor_times import JOBS, LONG, JobTime, job_times

LAPTOP = {"float32": 1.7e11, "bfloat16": 4.0e11}


def test_twice_the_speed_is_half_the_time() -> None:
    slow = job_times({"float32": 1e11}, 1e6, 1e6)
    fast = job_times({"float32": 1e11, "bfloat16": 2e11}, 1e6, 1e6)
    assert [job.name for job in slow] == [job.name for job in fast]
    assert len(slow) == len(JOBS)
    for one, other in zip(slow, fast, strict=True):
        assert one.seconds == pytest.approx(2 * other.seconds)


def test_figures_are_those_that_were_measured() -> None:
    """DistilBERT and MiniLM on two cores: docs/explain/speed.md has 1,254 and 3,802 tokens/s."""
    tokens = 1_000 * 50 * 5
    mini, distil, *_ = job_times({"bfloat16": 4.0e11}, 1e6, 1e6)
    assert tokens / mini.seconds == pytest.approx(3_802, rel=0.3)
    assert tokens / distil.seconds == pytest.approx(1_254, rel=0.3)


def test_adapters_cost_less_than_all_weights() -> None:
    found = {job.name.partition(" (")[0]: job.seconds for job in job_times(LAPTOP, 1e6, 1e6)}
    assert found["a chat model on GPT-2 with --lora"] < found["a chat model on GPT-2"]


def test_what_does_not_fit_is_said_and_what_is_long_is_called_slow() -> None:
    lines = [str(job) for job in job_times(LAPTOP, 100, 600)]
    assert lines[0].startswith("a classifier on MiniLM (23 million weights): about ")
    assert lines[3].endswith("does not fit into the free memory")
    assert lines[-1].endswith("does not fit into the free memory")
    assert str(JobTime("a", LONG + 1, True)) == "a: about 30 minutes - slow"
    assert str(JobTime("a", 60, True)) == "a: about 1 minute"
    assert str(JobTime("a", 45.2, True)) == "a: about 45 seconds"


def test_without_a_measured_speed_nothing_is_claimed() -> None:
    assert job_times({}, 1e6, 1e6) == []


def test_other_programs_and_missing_units_are_told() -> None:
    given = {
        "cores": 2, "memory_free": 20 * 10**9, "disk_free": 50 * 10**9, "features": ["AVX2"],
        "torch": "2.13", "threads": 2, "speed": {}, "no_kernels": "", "gpus": [],
        "cached_models": [], "hub_offline": False,
        "abilities": {"classify with a pretrained encoder and no hub": []},
    }  # fmt: skip
    busy = "\n".join(advise(**given, load=1.9))  # type: ignore[arg-type]
    assert "other programs keep about 1.9 of 2 cores busy" in busy
    assert "no unit for 8-bit products" in busy
    quiet = advise(**{**given, "features": ["AVX2", "AVX-VNNI"]}, load=0.2)  # type: ignore[arg-type]
    assert not [line for line in quiet if "other programs" in line or "8-bit" in line]
