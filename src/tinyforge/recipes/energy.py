"""How much electricity a run used: measured where the machine tells, else estimated and called so.

Intel and AMD processors under Linux count the energy of their packages (RAPL); the counters are
often readable by the administrator only. Everywhere else the processor's time is all there is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinyforge.train.hooks import Listener, StepResult, Validation

RAPL = Path("/sys/class/powercap")

WATTS_PER_CORE = 10.0
"""What a busy core takes, its share of the rest of the machine included, in an estimate.

Laptops and servers lie between about 4 and 20 W.
"""

LOOK_SECONDS = 60.0
"""The counters start again from zero after some tens of minutes, so they are read this often."""


@dataclass(frozen=True, slots=True)
class Energy:
    """Electricity used.

    Attributes:
        joules: how much; of the processor packages where measured.
        measured: False for an estimate from processor time.
        how: where the figure comes from, in words.
        cpu_seconds: processor time of this process and of those it waited for, all cores together.
        seconds: wall time.
    """

    joules: float
    measured: bool
    how: str
    cpu_seconds: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the same in watt hours."""
        return {**asdict(self), "watt_hours": self.joules / 3600}


class EnergyMeter(Listener):
    """Counts from its making on; as a listener of the training loop it reads often enough.

    Args:
        root: where the counters lie.
        clock: seconds that only grow.
    """

    def __init__(self, root: Path = RAPL, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counters = [c for c in map(_Counter, _packages(root)) if c.readable]
        self._began, self._looked = clock(), clock()
        self._cpu_began = _cpu_seconds()

    def on_step(self, result: StepResult) -> None:
        """Read the counters now and then."""
        if self._clock() - self._looked >= LOOK_SECONDS:
            self._look()

    def on_validation(self, validation: Validation) -> None:
        """Read the counters."""
        self._look()

    def read(self) -> Energy:
        """What was used since the meter was made."""
        self._look()
        seconds, cpu = self._clock() - self._began, _cpu_seconds() - self._cpu_began
        if self._counters:
            joules = sum(counter.joules for counter in self._counters)
            how = (
                "measured by the processor's own counters (RAPL): the whole package, with what "
                "other programs used"
            )
            return Energy(joules, True, how, cpu, seconds)
        how = (
            f"an estimate, not a measurement: {cpu:,.0f} processor seconds at "
            f"{WATTS_PER_CORE:.0f} W for a busy core; a GPU is not in it"
        )
        return Energy(cpu * WATTS_PER_CORE, False, how, cpu, seconds)

    def _look(self) -> None:
        self._looked = self._clock()
        for counter in self._counters:
            counter.look()


class _Counter:
    """One package's counter, which starts again from zero at its range."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._range = _number(folder / "max_energy_range_uj") or 0
        self._last = _number(self._file)
        self.readable = self._last is not None
        self.joules = 0.0

    def look(self) -> None:
        """Add what was used since the last look."""
        now = _number(self._file)
        if now is None or self._last is None:
            return
        step = now - self._last if now >= self._last else now + self._range - self._last
        self.joules += max(step, 0) / 1e6
        self._last = now


def _packages(root: Path) -> list[Path]:
    """Folders of whole packages; what is inside a package (cores, memory) is not counted twice."""
    return sorted(
        folder
        for folder in root.glob("intel-rapl:*")
        if folder.name.count(":") == 1 and _name(folder).startswith("package")
    )


def _name(folder: Path) -> str:
    try:
        return (folder / "name").read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
