"""Many streams that arrive at random: our engine beside static batches and llama.cpp.

Bursts of requests (Alpaca's questions, answers of 32 to 160 tokens) arrive as a Poisson process.
The sides have the same requests at the same moments. Tokens a second are all tokens over the time
from the first arrival to the last token; beside them stands the time to the first token. Ours and
``llama.cpp loop`` run in one process, the server behind HTTP on this machine, as it is meant to.

Counts as ``decode`` says; and answers of ours must be the same alone as beside others, or part
where the two tokens are nearer to one another than the precision's own error. (Products for one row
and for several add in another order; random weights have near ties, a trained model few.)
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.speed import answer_table, answers, arrivals, figures, harness, options
from benchmarks.speed.answers import Rounds, Run, Side

BURSTS = 3
MEASURES = ("tokens_per_second", "first_p50", "first_p95")


def main() -> None:
    """Compare."""
    flags = answers.parser(__doc__)
    flags.add_argument("--streams", type=int, default=8, help="requests of a burst (8)")
    flags.add_argument("--precision", choices=("int4", "int8"), default="int4")
    flags.add_argument("--bursts", type=int, default=BURSTS, help=f"in a run ({BURSTS})")
    flags.add_argument("--scheme", help="of our export; default: the one named as the precision")
    flags.add_argument("--llama-server", help="llama.cpp's server; default: as found on the path")
    flags.set_defaults(repeat=2)
    chosen = options.parse(flags)
    if chosen.quick:
        chosen.streams, chosen.bursts = 3, 1
    answers.run_case(chosen, measure, answer_table.streams)


def measure(chosen: argparse.Namespace, place: Path, deadline: float) -> Iterator[dict[str, Any]]:
    """All sides in turn; the result after each round."""
    asked = {"case": "decoder", "precisions": [chosen.precision], "scheme": chosen.scheme}
    prepared = answers.prepared(asked, chosen, place)
    facts = harness.read_json(prepared / "facts.json")
    prompts = harness.read_json(prepared / "prompts.json")
    spec = {
        "prepared": str(prepared), "streams": chosen.streams, "precision": chosen.precision,
        "bursts": [
            arrivals.burst(prompts, chosen.streams, seed) for seed in range(chosen.bursts)
        ],
    }  # fmt: skip
    sides, lacking = all_sides(chosen)
    for rounds in answers.take_turns(sides, spec, chosen, place, deadline=deadline, told=told):
        rounds.left_out.update(lacking)
        yield result_of(sides, rounds, facts, chosen)


def all_sides(chosen: argparse.Namespace) -> tuple[list[Side], dict[str, str]]:
    """Ours and the peers, and those that are not there."""
    bits = chosen.precision
    sides = [
        Side("ours", "our_streams"),
        Side("llama.cpp loop", "peers.llama_loop", needs="llama_cpp", bits=bits),
        Side("static batches bf16", "peers.static_batches", {"dtype": "bf16"}),
    ]
    beside = Path(sys.executable).with_name("llama-server")
    server = chosen.llama_server or shutil.which("llama-server")
    if server is None and beside.is_file():
        server = str(beside)
    if server is None:
        why = "there is no llama-server: benchmarks/README.md says how to build it"
        harness.say(f"left out: llama.cpp server: {why}")
        return sides, {"llama.cpp server": why}
    sides.insert(2, Side("llama.cpp server", "peers.llama_server", {"server": server}, bits=bits))
    return sides, {}


def told(run: Run) -> str:
    """A run in a few words."""
    found = arrivals.told(run["bursts"])
    return ", ".join(f"{name} {value:.3f}" for name, value in found.items())


def rate(run: Run) -> float:
    """Tokens a second."""
    return arrivals.told(run["bursts"])["tokens_per_second"]


def result_of(
    sides: list[Side], rounds: Rounds, facts: dict[str, Any], chosen: argparse.Namespace
) -> dict[str, Any]:
    """The result of the rounds so far."""
    there = [side for side in sides if side.name in rounds.runs]
    figured = {}
    for side in there:
        found = [arrivals.told(run["bursts"]) for run in rounds.runs[side.name]]
        figured[side.name] = {
            measure: figures.summary([each[measure] for each in found]) for measure in MEASURES
        }
        peaks = [run["peak_bytes"] for run in rounds.runs[side.name]]
        figured[side.name]["peak_bytes"] = figures.summary(peaks)
    ours = there[0]
    comparisons = []
    for peer in there[1:]:
        why = why_not(ours, peer, rounds, chosen.precision)
        found = answers.compared(ours, peer, rounds, rate, why)
        waits = [[arrivals.told(r["bursts"])["first_p95"] for r in rounds.runs[one.name]]
                 for one in (ours, peer)]  # fmt: skip
        comparisons.append({**found, "first_p95": figures.ratios(*waits)})
    title = f"{chosen.streams} streams arriving at random, {chosen.precision}"
    variant = f"{chosen.streams}-{chosen.precision}"
    return {
        **answers.document("streams", variant, title, rounds, chosen),
        "model": {"parameters": facts["parameters"]}, "schemes": facts["schemes"],
        "streams": chosen.streams, "bursts": chosen.bursts, "figures": figured,
        "comparisons": comparisons,
    }  # fmt: skip


def why_not(ours: Side, peer: Side, rounds: Rounds, precision: str) -> list[str]:
    """Reasons why a ratio does not count. The server has the file of the loop beside it."""
    why = []
    if "fidelity" in rounds.runs[peer.name][0]:
        why = answers.same_model(ours, peer, rounds, precision)
    for side in (ours, peer):
        short = [
            one
            for run in rounds.runs[side.name]
            for burst in run["bursts"]
            for one in burst
            if one["tokens"] != one["wanted"]
        ]
        if short:
            why.append(f"{side.name}: {len(short)} answers have another length than asked for")
    for run in rounds.runs[ours.name]:
        far = [one["request"] for one in run["alone"] if one["gap"] > run["fidelity"]["error"]]
        if far:
            why.append(f"ours: answers {far} differ when nothing runs beside them")
    return why


if __name__ == "__main__":
    main()
