"""A small GPT learns tinyshakespeare's characters, beside nanoGPT's CPU recipe in plain torch.

Both end with a loss on the last tenth of the text, in windows of 64 characters; seconds are those
of the optimizer steps alone.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from benchmarks.speed import compare, figures, harness, machine, options, ours, table

PUBLISHED = 1.88
BLOCK = 64
NOISE = 0.02
"""Ours may end this much higher: a guess at what two seeds of the recipe differ by."""


def main() -> None:
    """Compare."""
    flags = options.parser(__doc__)
    flags.add_argument("--steps", type=int, default=2_000, help="of the recipe (2000)")
    flags.add_argument("--our-steps", type=int, default=250, help="of TinyForge (250)")
    chosen = options.parse(flags)
    if chosen.quick:
        chosen.steps = chosen.our_steps = 20
    compare.finish(measure(chosen), chosen, table.seconds_to_loss)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Both sides in turn."""
    sides: dict[str, list[dict[str, Any]]] = {"ours": [], "nanogpt": []}
    case = compare.Case(
        name="gpt_characters", variant="", title="", prepare={}, learning={}, peers=()
    )
    with harness.workplace() as place:
        compare.prepare(case, chosen, place)
        for number in range(chosen.repeat):
            spec = {
                "train": str(place / "train.txt"), "held": str(place / "held.txt"),
                "model": str(place / "model"), "threads": chosen.threads, "seed": number,
                "steps": chosen.steps, "our_steps": chosen.our_steps, "block": BLOCK,
                "characters": 2_000 if chosen.quick else None,
            }  # fmt: skip
            sides["ours"].append(ours_run(spec, place / f"ours-{number}"))
            sides["nanogpt"].append(recipe(spec, place / f"nanogpt-{number}"))
            last = {name: (runs[-1]["seconds"], runs[-1]["loss"]) for name, runs in sides.items()}
            harness.say(f"gpt_characters {number + 1}/{chosen.repeat}: {last}")
    return document(chosen, sides)


def recipe(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The peer."""
    ended = harness.run_program("peers.nanogpt", spec, folder, threads=spec["threads"])
    return _run(harness.read_json(folder / "result.json"), ended)


def ours_run(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """TinyForge on the raw text, with a character model of the same size: the same windows of
    characters, but Muon, which needs an eighth of the steps, twice as many windows in each."""
    settings = {
        "data.validation_share": 0, "data.test_share": 0, "data.near_duplicate": 1,
        "data.max_length": BLOCK, "evaluate.baselines": "false", "train.batch_size": 24,
        "train.max_steps": spec["our_steps"], "train.optimizer": "muon",
        "train.learning_rate": 0.02, "train.rest_learning_rate": 0.005,
        "train.weight_decay": 0, "train.beta2": 0.95, "train.warmup_share": 0.03,
        "train.schedule": "linear", "train.precision": "bfloat16",
        "train.seed": spec["seed"], "train.threads": spec["threads"],
    }  # fmt: skip
    output = folder / "model"
    words = ours.command(
        Path(spec["train"]), output, spec["model"], settings, "--task", "language-model"
    )
    ended = harness.run(words, threads=spec["threads"], log=folder / "log.txt")
    held = {key: spec[key] for key in ("held", "threads", "block", "characters")}
    held["model"] = str(output)
    harness.run_program("held_out", held, folder / "held-out", threads=spec["threads"])
    loss = harness.read_json(folder / "held-out" / "result.json")["loss"]
    return _run({**ours.read_run(output), "loss": loss}, ended)


def _run(found: dict[str, Any], ended: harness.Ended) -> dict[str, Any]:
    steps = found["steps"]
    return {
        "seconds": sum(step["seconds"] for step in steps),
        "wall_seconds": ended.seconds,
        "loss": found["loss"],
        "steps": len(steps),
        "tokens": sum(step["tokens"] for step in steps),
        "peak_bytes": ended.peak_bytes,
        "loss_curve": [round(step["loss"], 4) for step in steps],
    }


def document(chosen: argparse.Namespace, sides: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The result: the peer's seconds over ours count if ours ends as low."""
    losses = {name: [run["loss"] for run in runs] for name, runs in sides.items()}
    seconds = {name: [run["seconds"] for run in runs] for name, runs in sides.items()}
    medians = {name: statistics.median(values) for name, values in losses.items()}
    valid = medians["ours"] <= medians["nanogpt"] + NOISE
    return {
        "format": compare.FORMAT, "case": "gpt_characters", "variant": "",
        "title": "GPT from scratch, tinyshakespeare characters", "quick": chosen.quick,
        "machine": machine.describe(chosen.threads), "repeat": chosen.repeat,
        "published_loss": PUBLISHED, "sides": sides,
        "comparisons": [
            {
                "peer": "nanogpt",
                "speed": figures.ratios(seconds["nanogpt"], seconds["ours"]),
                "loss": medians,
                "valid": valid,
                "why_not": [] if valid else ["ours ended higher: {ours:.3f}, {nanogpt:.3f}".format(
                    **medians
                )],
            }
        ],
    }  # fmt: skip


if __name__ == "__main__":
    main()
