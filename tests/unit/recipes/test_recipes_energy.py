"""Electricity: measured where counters can be read, else an estimate that is called one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyforge.recipes.energy import WATTS_PER_CORE, EnergyMeter
from tinyforge.train.hooks import StepResult, Validation

STEP = StepResult(1, 0.1, 1.0, 1e-3, 1.0, 8, 64, 8, 0.1)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def package(root: Path, name: str, kind: str, used: int, size: int = 1_000_000_000) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{kind}\n")
    (folder / "energy_uj").write_text(f"{used}\n")
    (folder / "max_energy_range_uj").write_text(f"{size}\n")
    return folder / "energy_uj"


def test_whole_packages_are_added_up_and_their_parts_are_not(tmp_path: Path) -> None:
    first = package(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    second = package(tmp_path, "intel-rapl:1", "package-1", 0)
    core = package(tmp_path, "intel-rapl:0:0", "core", 0)
    meter = EnergyMeter(tmp_path, Clock())
    first.write_text("8000000")
    second.write_text("4000000")
    core.write_text("999000000")
    energy = meter.read()
    assert (energy.joules, energy.measured) == (7.0, True)
    assert "RAPL" in energy.how
    assert energy.to_json()["watt_hours"] == pytest.approx(7 / 3600)


def test_a_counter_that_began_anew_is_read_often_enough(tmp_path: Path) -> None:
    counter = package(tmp_path, "intel-rapl:0", "package-0", 90_000_000, 100_000_000)
    clock = Clock()
    meter = EnergyMeter(tmp_path, clock)
    counter.write_text("10000000")  # 20 J later
    meter.on_validation(Validation(1, 0.1, {}, True))
    counter.write_text("60000000")
    meter.on_step(STEP)  # too soon to look
    clock.now = 100.0
    meter.on_step(STEP)
    counter.write_text("5000000")
    assert meter.read().joules == pytest.approx(20 + 50 + 45)
    assert meter.read().seconds == 100.0


@pytest.mark.parametrize("content", ["", "not a number"])
def test_without_counters_it_is_an_estimate_and_says_so(tmp_path: Path, content: str) -> None:
    if content:
        package(tmp_path, "intel-rapl:0", "package-0", 1).write_text(content)
    meter = EnergyMeter(tmp_path)
    sum(i * i for i in range(300_000))
    energy = meter.read()
    assert not energy.measured
    assert energy.joules == pytest.approx(energy.cpu_seconds * WATTS_PER_CORE)
    assert energy.how.startswith("an estimate, not a measurement")
    assert f"{WATTS_PER_CORE:.0f} W" in energy.how
