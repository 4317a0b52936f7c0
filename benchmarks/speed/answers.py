"""The protocol of the cases that answer: sides take turns until the repeats or the minutes are up.

A peer that is not installed, or that fails, is left out and the result says why; ours must run.
Every finished round makes a whole result, so that one that is cut short has measured something.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.speed import compare, figures, harness, machine, options

Run = dict[str, Any]
Runs = dict[str, list[Run]]

MINUTES = 5.5

LIMITS = {"fp32": 1e-3, "bf16": 0.05, "fp16": 0.01, "int8": 0.05, "int4": 0.5}
"""Relative error of the logits (``fidelity.py``) up to which a side has computed the same model."""

NEAR = 1.25
"""Of two sides with weights of so many bits ours may err by this many times the peer's error."""


@dataclass(frozen=True)
class Side:
    """A program that answers.

    Attributes:
        name: as the result calls it.
        program: a module of this folder.
        spec: what differs for it.
        needs: a package without which it cannot run.
        bits: of its weights where they are to be compared with ours; empty: another precision.
    """

    name: str
    program: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    bits: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is TinyForge."""
        return self.name.startswith("ours")


@dataclass
class Rounds:
    """What was measured so far.

    Attributes:
        runs: of each side that takes part.
        left_out: sides that do not, and why.
        extras: what was measured once a round beside the sides.
    """

    runs: Runs
    left_out: dict[str, str]
    extras: list[Run] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Rounds that are over."""
        return max(len(runs) for runs in self.runs.values())


def parser(about: str | None) -> argparse.ArgumentParser:
    """The flags of every case, and those of the answering ones."""
    flags = options.parser(about)
    flags.add_argument(
        "--minutes", type=float, default=MINUTES,
        help=f"no round is begun that would end later ({MINUTES})",
    )  # fmt: skip
    flags.add_argument(
        "--prepared",
        type=Path,
        help="a folder that keeps the prepared models for other runs of the same code",
    )
    return flags


def prepared(spec: Mapping[str, Any], chosen: argparse.Namespace, place: Path) -> Path:
    """The folder with models and prompts, made by ``prepare_answers`` unless it is there."""
    asked = {"quick": chosen.quick, "data": str(chosen.data_folder), "seed": 0, **spec}
    folder = chosen.prepared.resolve() if chosen.prepared else place / "prepared"
    if (folder / "facts.json").is_file() and harness.read_json(folder / "asked.json") == asked:
        harness.say(f"found what was prepared in {folder}")
        return folder
    started = time.monotonic()
    harness.run_program("prepare_answers", asked, folder, threads=chosen.threads)
    harness.write_json(folder / "asked.json", asked)
    harness.say(f"prepared in {time.monotonic() - started:.0f} s")
    return folder


def take_turns(
    sides: Sequence[Side],
    spec: Mapping[str, Any],
    chosen: argparse.Namespace,
    place: Path,
    *,
    deadline: float,
    told: Callable[[Run], str],
    extra: str = "",
) -> Iterator[Rounds]:
    """Run all sides once, and again; what there is so far comes after every round.

    Args:
        deadline: of ``time.monotonic``; no round is begun that would likely end after it.
        told: a run in a few words.
        extra: a program to run before each round, for what belongs to the machine.

    Raises:
        ChildError: ours failed.
    """
    lacking = {side.name: why for side in sides if (why := missing(side))}
    rounds = Rounds({side.name: [] for side in sides if side.name not in lacking}, lacking)
    for name, why in lacking.items():
        harness.say(f"left out: {name}: {why}")
    for number in range(chosen.repeat):
        began = time.monotonic()
        if extra:
            rounds.extras.append(_run(extra, {"threads": chosen.threads}, place / f"x-{number}"))
        for side in sides:
            if side.name not in rounds.runs:
                continue
            folder = place / f"{side.name.replace(' ', '-')}-{number}"
            told_spec = {**spec, **side.spec, "threads": chosen.threads, "round": number}
            try:
                rounds.runs[side.name].append(_run(side.program, told_spec, folder))
            except harness.ChildError as error:
                if side.ours:
                    raise
                rounds.left_out[side.name] = _reason(error)
                del rounds.runs[side.name]
                harness.say(f"left out: {side.name}: {error}")
                continue
            last = told(rounds.runs[side.name][-1])
            harness.say(f"{number + 1}/{chosen.repeat} {side.name}: {last}")
        yield rounds
        if time.monotonic() + (time.monotonic() - began) > deadline:
            if number + 1 < chosen.repeat:
                harness.say(f"no time for more than {number + 1} rounds")
            return


def missing(side: Side) -> str:
    """Why a side cannot run; empty where it can."""
    if side.needs and find_spec(side.needs) is None:
        return f"{side.needs} is not installed: pip install -e '.[all,bench]'"
    return ""


def _run(name: str, spec: dict[str, Any], folder: Path) -> Run:
    ended = harness.run_program(name, spec, folder, threads=spec["threads"])
    found: Run = harness.read_json(folder / "result.json")
    return {**found, "wall_seconds": ended.seconds, "peak_bytes": ended.peak_bytes}


def _reason(error: harness.ChildError) -> str:
    """The last line that a failed program wrote."""
    return str(error).strip().splitlines()[-1]


def document(
    name: str, variant: str, title: str, rounds: Rounds, chosen: argparse.Namespace
) -> dict[str, Any]:
    """The parts that all results of answering share."""
    return {
        "format": compare.FORMAT, "case": name, "variant": variant, "title": title,
        "quick": chosen.quick, "machine": machine.describe(chosen.threads),
        "repeat": rounds.count, "sides": rounds.runs, "left_out": rounds.left_out,
        "extras": rounds.extras,
    }  # fmt: skip


def compared(
    side: Side, peer: Side, rounds: Rounds, rate: Callable[[Run], float], why: Sequence[str]
) -> dict[str, Any]:
    """One side of ours beside one peer."""
    both = [[rate(run) for run in rounds.runs[one.name]] for one in (side, peer)]
    return {
        "side": side.name, "peer": peer.name, "speed": figures.ratios(*both),
        "valid": not why, "why_not": list(why),
    }  # fmt: skip


def same_model(side: Side, peer: Side, rounds: Rounds, precision: str) -> list[str]:
    """Why two sides did not compute the same model as truly; by the error of their logits."""
    errors = {one.name: _error(rounds.runs[one.name]) for one in (side, peer)}
    limits = {side.name: LIMITS[precision], peer.name: LIMITS[peer.bits or "bf16"]}
    why = [
        f"{name}: its logits are {error:.1%} from the model's"
        for name, error in errors.items()
        if error > limits[name]
    ]
    if peer.bits == precision and errors[side.name] > NEAR * errors[peer.name]:
        why.append(f"ours errs by {errors[side.name]:.2%}, the peer by {errors[peer.name]:.2%}")
    return why


def _error(runs: Sequence[Run]) -> float:
    return max(float(run["fidelity"]["error"]) for run in runs)


def run_case(
    chosen: argparse.Namespace,
    measure: Callable[[argparse.Namespace, Path, float], Iterator[dict[str, Any]]],
    table: Callable[[dict[str, Any]], str],
) -> None:
    """Measure until the repeats or the minutes are up; every round's result is kept.

    Args:
        measure: flags, a folder that is gone afterwards, and the deadline -> results so far.
        table: of ``answer_table``.
    """
    deadline = time.monotonic() + 60 * chosen.minutes
    result = None
    with harness.workplace() as place:
        for result in measure(chosen, place, deadline):
            if chosen.save:
                compare.keep(result)
    if result is not None:
        compare.finish(result, chosen, table)
