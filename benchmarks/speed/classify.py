"""MiniLM, or a new DistilBERT, learns Banking77 or SMS spam, beside the Trainer or SetFit.

Against the Trainer examples a second are compared. SetFit learns from pairs, so that there the
seconds are compared in which each side reaches the accuracy that SetFit ends with, on rows that
neither has seen; both get the same few rows of each label.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from benchmarks.speed import compare, figures, harness, machine, options, ours, table

BATCH = 32


def main() -> None:
    """Compare."""
    flags = options.parser(__doc__)
    flags.add_argument("--data", default="banking77", choices=["banking77", "sms_spam"])
    flags.add_argument("--model", default="minilm", choices=["minilm", "distilbert-size"])
    flags.add_argument("--peer", default="trainer", choices=["trainer", "setfit"])
    flags.add_argument("--epochs", type=int, default=1, help="against the Trainer (1)")
    flags.add_argument("--steps", type=int, help="instead of whole epochs")
    flags.add_argument("--shots", type=int, help="against SetFit: rows of each label")
    flags.add_argument("--iterations", type=int, default=20, help="SetFit's num_iterations (20)")
    flags.add_argument("--half", action="store_true", help="SetFit with bfloat16 products")
    chosen = options.parse(flags)
    if chosen.peer == "setfit":
        if chosen.model != "minilm":
            flags.error("SetFit needs a pretrained sentence encoder: --model minilm")
        compare.finish(beside_setfit(chosen), chosen, table.accuracy)
    else:
        compare.finish(compare.compare(beside_trainer(chosen), chosen), chosen, table.speed)


def beside_trainer(chosen: argparse.Namespace) -> compare.Case:
    """One epoch, or so many steps, on all rows but those held out."""
    batch = 8 if chosen.quick else BATCH
    rows = {"banking77": 8_000, "sms_spam": 3_200}[chosen.data]
    steps = chosen.steps or chosen.epochs * rows // BATCH
    steps = 4 if chosen.quick else steps
    pretrained = chosen.model == "minilm"
    return compare.Case(
        name="classify",
        variant=f"{chosen.data}-{chosen.model}",
        title=f"{chosen.model}, {chosen.data}",
        prepare={
            "rows": min(rows, steps * batch), "held_out": 16 if chosen.quick else 900,
            "name": chosen.data, "model": chosen.model, "shots": 0,
        },
        learning={
            "batch": batch, "steps": steps, "learning_rate": 2e-4 if pretrained else 1e-4,
            "schedule": "linear" if pretrained else "constant",
        },
        # Our new classifier starts from the labels' shares, so that ours may well end lower.
        peers=[compare.Peer("trainer", "trainer", one_sided=True)],
        flags=["--task", "classify"],
        measure="accuracy" if pretrained else "loss",
    )  # fmt: skip


def beside_setfit(chosen: argparse.Namespace) -> dict[str, Any]:
    """Seconds to SetFit's accuracy, with TinyForge's own defaults and nothing set but the rows."""
    shots = 2 if chosen.quick else chosen.shots or {"banking77": 16, "sms_spam": 64}[chosen.data]
    iterations = 1 if chosen.quick else chosen.iterations
    sides: dict[str, list[dict[str, Any]]] = {"ours": [], "setfit": []}
    with harness.workplace() as place:
        case = compare.Case(
            name="classify", variant=f"{chosen.data}-setfit", title="", learning={}, peers=(),
            prepare={
                "name": chosen.data, "model": "minilm", "shots": shots, "rows": 0,
                "held_out": 100 if chosen.quick else 900,
            },
        )  # fmt: skip
        facts = compare.prepare(case, chosen, place)
        for number in range(chosen.repeat):
            spec = {
                **compare.specification(case, chosen, facts, place, seed=number),
                "iterations": iterations, "half": chosen.half,
            }  # fmt: skip
            peer = place / f"setfit-{number}"
            ended = harness.run_program("peers.setfit_pairs", spec, peer, threads=chosen.threads)
            found = harness.read_json(peer / "result.json")
            sides["setfit"].append({**found, "peak_bytes": ended.peak_bytes})
            run = _to_accuracy(spec, place / f"ours-{number}", found["accuracy"], chosen.quick)
            sides["ours"].append(run)
            harness.say(f"setfit {found}, ours {run['accuracy']} after {run['seconds']}")
    reached = all(run["seconds"] is not None for run in sides["ours"])
    seconds = [[run["seconds"] for run in sides[name]] for name in ("setfit", "ours")]
    return {
        "format": compare.FORMAT, "case": "classify", "variant": case.variant,
        "title": f"MiniLM, {chosen.data}, {shots} rows of each label", "quick": chosen.quick,
        "machine": machine.describe(chosen.threads), "repeat": chosen.repeat,
        "rows": {"count": len(facts["lengths"])}, "sides": sides,
        "comparisons": [
            {
                "peer": "setfit",
                "speed": figures.ratios(*seconds) if reached else None,
                "accuracy": {
                    name: statistics.median(run["accuracy"] for run in runs)
                    for name, runs in sides.items()
                },
                "valid": reached,
                "why_not": [] if reached else ["ours did not reach SetFit's accuracy"],
            }
        ],
    }  # fmt: skip


def _to_accuracy(spec: dict[str, Any], folder: Path, wanted: float, quick: bool) -> dict[str, Any]:
    """Our run; ``seconds`` of training until a validation reached the accuracy, or None."""
    settings: dict[str, Any] = {
        "data.validation": spec["held"], "data.test_share": 0, "data.keep_leaks": "true",
        "evaluate.baselines": "false", "train.threads": spec["threads"],
        "train.seed": spec["seed"], "train.best_by": "accuracy",
    }  # fmt: skip
    if quick:
        settings |= {"train.max_steps": 4, "train.validate_every": 2}
    words = ours.command(
        Path(spec["train"]), folder / "model", spec["model"], settings, "--task", "classify"
    )
    ended = harness.run(words, threads=spec["threads"], log=folder / "log.txt")
    steps = ours.read_run(folder / "model")["steps"]
    seen = ours.validations(folder / "model")
    enough = [value["step"] for value in seen if value["accuracy"] >= wanted]
    seconds = [step["seconds"] for step in steps]
    return {
        "seconds": sum(seconds[: enough[0]]) if enough else None,
        "seconds_of_all_steps": sum(seconds),
        "accuracy": max(value["accuracy"] for value in seen),
        "validations": [[value["step"], value["accuracy"]] for value in seen],
        "peak_bytes": ended.peak_bytes,
    }


if __name__ == "__main__":
    main()
