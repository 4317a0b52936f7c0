"""What a pretraining run would take in time, energy and money, here and on other hardware."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from tinyforge.config.pretrain import CostSettings
from tinyforge.recipes.energy import WATTS_PER_CORE
from tinyforge.recipes.pretrain_plan import Plan

STEP_SECONDS = 0.02
"""A step takes no less than this on another machine, however small the model: its operations are
started one after the other."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine.

    Attributes:
        speed: floating-point operations a second that training sustains; 0: as measured here.
        watts: while it works, all of it.
        price: rent for an hour; 0 for one's own, of which the electricity is counted.
        source: where the figures come from.
    """

    name: str
    speed: float
    watts: float
    price: float
    source: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run takes on a machine; None where it is not known."""

    hardware: str
    seconds: float | None
    kilowatt_hours: float | None
    money: float | None
    source: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def machines(settings: CostSettings) -> list[Hardware]:
    """The machines that a run is reckoned on."""
    cores = os.cpu_count() or 1
    here = settings.watts or WATTS_PER_CORE * cores
    return [
        Hardware("this machine", 0.0, here, 0.0, "measured in a few steps"),
        Hardware(
            "a laptop", 1.5e11, settings.laptop_watts, 0.0,
            "8 cores with AVX2 at 3 GHz: 0.77 TFLOP/s in float32 on paper, a fifth of it in "
            "training",
        ),
        Hardware(
            "one RTX 4090", 5e13, settings.gpu_watts, settings.gpu_price,
            "165 TFLOP/s in bfloat16 (NVIDIA's Ada white paper), 30 % of it",
        ),
        Hardware(
            "one H100", 4e14, settings.h100_watts, settings.h100_price,
            "989 TFLOP/s in bfloat16 (NVIDIA's data sheet, SXM), 40 % of it",
        ),
    ]  # fmt: skip


def costs(plan: Plan, settings: CostSettings) -> list[Cost]:
    """The plan's time, energy and money on each machine.

    Money is rent, or the electricity where the machine is one's own, in the currency of the
    prices.
    """
    found = []
    for machine in machines(settings):
        seconds = plan.seconds
        if machine.speed:
            seconds = max(plan.operations / machine.speed, STEP_SECONDS * plan.steps)
        if seconds is None:
            found.append(Cost(machine.name, None, None, None, machine.source))
            continue
        hours = seconds / 3600
        energy = machine.watts * hours / 1000
        money = machine.price * hours if machine.price else energy * settings.electricity
        found.append(Cost(machine.name, seconds, energy, money, machine.source))
    return found


def rows(found: list[Cost]) -> list[tuple[str, str, str, str, str]]:
    """The costs in words: machine, time, energy, money, source."""
    shown = []
    for cost in found:
        words = ("–", "–", "–")
        if cost.seconds is not None and cost.kilowatt_hours is not None and cost.money is not None:
            words = (_time(cost.seconds), _energy(cost.kilowatt_hours), _money(cost.money))
        shown.append((cost.hardware, *words, cost.source))
    return shown


def table(found: list[Cost]) -> list[str]:
    """The costs as lines for a terminal."""
    lines = [("", "time", "energy", "cost"), *(row[:4] for row in rows(found))]
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    return [
        f"  {line[0]:<{widths[0]}}  " + "  ".join(f"{line[i]:>{widths[i]}}" for i in range(1, 4))
        for line in lines
    ]


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def _energy(kilowatt_hours: float) -> str:
    return f"{1000 * kilowatt_hours:.2g} Wh" if kilowatt_hours < 1 else f"{kilowatt_hours:.1f} kWh"


def _money(money: float) -> str:
    return f"{money:.2f}" if money >= 0.01 else "< 0.01"
