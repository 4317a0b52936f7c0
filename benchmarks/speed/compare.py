"""The protocol of a comparison: prepare, then let the sides take turns, then set up the result.

Every run is a process of its own. Ours goes first, then each peer, then ours again, with another
seed in each round. Between rounds the matrix-product rate is measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.speed import figures, harness, machine, ours
from benchmarks.speed.operations import mean_operations

FORMAT = 1


@dataclass(frozen=True)
class Peer:
    """Another program.

    Attributes:
        name: as the result calls it.
        program: a module of this folder.
        one_sided: it learns or starts in another way, so that ours need only end no worse.
        spec: what differs for it.
    """

    name: str
    program: str
    one_sided: bool = False
    spec: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What is compared.

    Attributes:
        name, variant: of the result's file.
        title: for people.
        prepare: for ``prepare.py``: number of rows, model and so on.
        learning: ``batch``, ``steps``, ``learning_rate``, ``schedule``; equal on both sides.
        flags: more words for ``tinyforge train``.
        dropped: first steps of a run that are not counted.
        rank: of low-rank adapters; None: every weight is trained.
        measure: what must agree on the held-out rows, ``loss`` or ``accuracy``.
        ours: settings of ours that differ from the peer's; None: TinyForge's own default.
    """

    name: str
    variant: str
    title: str
    prepare: Mapping[str, Any]
    learning: Mapping[str, Any]
    peers: Sequence[Peer]
    flags: Sequence[str] = ()
    dropped: int = 3
    rank: int | None = None
    measure: str = "loss"
    ours: Mapping[str, Any] = field(default_factory=dict)


Run = dict[str, Any]


def compare(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Run everything; returns the result as one JSON document."""
    with harness.workplace() as place:
        facts = prepare(case, options, place)
        runs: dict[str, list[Run]] = {"ours": [], **{peer.name: [] for peer in case.peers}}
        peaks = []
        for number in range(options.repeat):
            peaks.append(measure_peak(place / f"peak-{number}", options.threads))
            for name in runs:
                peer = next((peer for peer in case.peers if peer.name == name), None)
                folder = place / f"{name}-{number}"
                spec = specification(case, options, facts, place, seed=number)
                run = run_ours(case, spec, folder) if peer is None else run_peer(peer, spec, folder)
                runs[name].append(run)
                shown = figures.rates(run["steps"], dropped(case, run))
                harness.say(
                    f"{case.name} {number + 1}/{options.repeat} {name}: "
                    f"{shown['examples_per_second']:.2f} examples/s, loss {run['held_out']}"
                )
    return document(case, options, facts, runs, peaks)


def prepare(case: Case, options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """The model and the rows; returns what is known of them."""
    spec = {
        "case": case.name, "quick": options.quick, "data": str(options.data_folder), "seed": 0,
        **case.prepare,
    }  # fmt: skip
    harness.run_program("prepare", spec, place, threads=options.threads)
    facts: dict[str, Any] = harness.read_json(place / "facts.json")
    return facts


def specification(
    case: Case, options: argparse.Namespace, facts: Mapping[str, Any], place: Path, *, seed: int
) -> dict[str, Any]:
    """What a peer's program is told, and what our settings are made of."""
    return {
        **case.learning,
        "kind": facts["kind"],
        "longest": facts["longest"],
        "labels": facts["labels"],
        "model": str(place / "model"),
        "train": str(place / "train.jsonl"),
        "held": str(place / "held.jsonl"),
        "rank": case.rank,
        "threads": options.threads,
        "seed": seed,
    }


def run_ours(case: Case, spec: dict[str, Any], folder: Path) -> Run:
    """TinyForge, through its command line."""
    output = folder / "model"
    settings = {**ours.plain_run(spec), **case.ours}
    chosen = {name: value for name, value in settings.items() if value is not None}
    words = ours.command(Path(spec["train"]), output, spec["model"], chosen, *case.flags)
    ended = harness.run(words, threads=spec["threads"], log=folder / "log.txt")
    return _finished(ours.read_run(output), ended, spec, folder)


def run_peer(peer: Peer, spec: dict[str, Any], folder: Path) -> Run:
    """Another program, on the same rows."""
    spec = {**spec, **peer.spec}
    ended = harness.run_program(f"peers.{peer.program}", spec, folder, threads=spec["threads"])
    return _finished(harness.read_json(folder / "result.json"), ended, spec, folder)


def _finished(run: Run, ended: harness.Ended, spec: dict[str, Any], folder: Path) -> Run:
    told = {key: spec[key] for key in ("kind", "held", "longest", "threads")}
    held = {**told, "model": str(folder / "model")}
    harness.run_program("held_out", held, folder / "held-out", threads=spec["threads"])
    return {
        **run,
        "wall_seconds": ended.seconds,
        "peak_bytes": ended.peak_bytes,
        "held_out": harness.read_json(folder / "held-out" / "result.json"),
    }


def measure_peak(folder: Path, threads: int) -> dict[str, float]:
    """Operations a second of matrix products, by number format."""
    harness.run_program("peak", {"threads": threads}, folder, threads=threads)
    found: dict[str, float] = harness.read_json(folder / "result.json")
    return found


def dropped(case: Case, run: Run) -> int:
    """First steps that do not count; never all of them."""
    return min(case.dropped, len(run["steps"]) - 1)


def document(
    case: Case,
    options: argparse.Namespace,
    facts: Mapping[str, Any],
    runs: Mapping[str, list[Run]],
    peaks: Sequence[Mapping[str, float]],
) -> dict[str, Any]:
    """The result."""
    peak = {name: statistics.median(found[name] for found in peaks) for name in peaks[0]}
    best = peak.get("bfloat16", peak["float32"])
    operations = mean_operations(
        facts["config"], [tuple(pair) for pair in facts["lengths"]],
        labels=len(facts["labels"]), rank=case.rank,
    )  # fmt: skip
    per_token = operations * len(facts["lengths"]) / tokens_of(facts)
    sides = {name: side(case, found, per_token / best) for name, found in runs.items()}
    return {
        "format": FORMAT,
        "case": case.name,
        "variant": case.variant,
        "title": case.title,
        "quick": options.quick,
        "machine": machine.describe(options.threads),
        "learning": dict(case.learning),
        "repeat": options.repeat,
        "dropped_steps": case.dropped,
        "model": {"parameters": facts["parameters"], "rank": case.rank},
        "rows": {"count": len(facts["lengths"]), "tokens": tokens_of(facts)},
        "operations_per_row": operations,
        "peak_operations_per_second": peak,
        "sides": sides,
        "comparisons": [comparison(case, peer, runs) for peer in case.peers],
    }


def tokens_of(facts: Mapping[str, Any]) -> int:
    """Real tokens of all rows, counted as the sides count them."""
    both = facts["kind"] == "seq2seq"
    return sum(read + (learnt if both else 0) for read, learnt in facts["lengths"])


def side(case: Case, runs: Sequence[Run], share_per_token: float) -> dict[str, Any]:
    """Medians and spread of one side, and every run's loss curve."""
    speeds = [figures.rates(run["steps"], dropped(case, run)) for run in runs]
    shares = [speed["tokens_per_second"] * share_per_token for speed in speeds]
    found = {
        name: figures.summary([speed[name] for speed in speeds])
        for name in ("examples_per_second", "tokens_per_second", "seconds")
    }
    return {
        **found,
        "share_of_peak": figures.summary(shares),
        "peak_bytes": figures.summary([run["peak_bytes"] for run in runs]),
        "wall_seconds": figures.summary([run["wall_seconds"] for run in runs]),
        "loop_seconds": figures.summary([run["loop_seconds"] for run in runs]),
        "held_out": [run["held_out"] for run in runs],
        "loss_curves": [[round(step["loss"], 5) for step in run["steps"]] for run in runs],
        "notes": runs[0]["notes"],
    }


def comparison(case: Case, peer: Peer, runs: Mapping[str, list[Run]]) -> dict[str, Any]:
    """Ours beside one peer, and whether the ratio counts.

    It counts if both sides saw the same rows and learnt the same: their value on the held-out
    rows agrees within noise, or, for a peer that learns in another way, ours is no worse.
    """
    a, b = runs["ours"], runs[peer.name]
    why = [figures.same_rows(x["steps"], y["steps"]) for x, y in zip(a, b, strict=True)]
    held = _agreement(case.measure, a, b)
    train = figures.agreement("training loss", *(_end_losses(side) for side in (a, b)))
    better = "ours higher" if case.measure == "accuracy" else "ours lower"
    fine = ("same", better) if peer.one_sided else ("same",)
    if held.word not in fine:
        why.append(f"held-out {held.measure}: {held.word} ({held.ours:.4f}, {held.peer:.4f})")
    speeds = [
        [figures.rates(run["steps"], dropped(case, run))["examples_per_second"] for run in side]
        for side in (a, b)
    ]
    sizes = [[float(run["peak_bytes"]) for run in side] for side in (a, b)]
    reasons = sorted({reason for reason in why if reason})
    return {
        "peer": peer.name,
        "speed": figures.ratios(*speeds),
        "memory": figures.ratios(*sizes),
        "held_out": dataclasses.asdict(held),
        "training": dataclasses.asdict(train),
        "one_sided": peer.one_sided,
        "valid": not reasons,
        "why_not": reasons,
    }


def _end_losses(runs: Sequence[Run]) -> list[float]:
    return [figures.end_loss([step["loss"] for step in run["steps"]]) for run in runs]


def _agreement(measure: str, a: Sequence[Run], b: Sequence[Run]) -> figures.Agreement:
    values = [[run["held_out"][measure] for run in side] for side in (a, b)]
    if measure == "accuracy":
        return figures.agreement(measure, *values, relative=0.0, absolute=figures.ACCURACY)
    return figures.agreement(measure, *values)


def finish(
    result: dict[str, Any], options: argparse.Namespace, table: Callable[[dict[str, Any]], str]
) -> None:
    """Print the result, as JSON or as a table, and keep it with ``--save``."""
    import json
    import sys

    text = json.dumps(result, ensure_ascii=False) if options.json else table(result)
    sys.stdout.write(text + "\n")
    if options.save:
        keep(result)


def keep(result: dict[str, Any]) -> None:
    """Into the folder that the report reads."""
    name = "-".join(filter(None, [result["case"], result["variant"]]))
    harness.write_json(Path(__file__).parent / "results" / f"{name}.json", result)
