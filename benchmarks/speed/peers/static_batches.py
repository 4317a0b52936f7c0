"""transformers' generate in static batches, bfloat16: whoever has arrived is answered together.

A batch ends with its longest answer, and only then the next begins. Tokens count as told when the
step that made them is over, although a batch as such gives them at its end.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from benchmarks.speed.harness import read_spec, write_json
from benchmarks.speed.peers.generating import fidelity, load

Request = dict[str, Any]


class Steps(StoppingCriteria):
    """When each step was over; stops nothing."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: Any, **unused: Any) -> torch.Tensor:
        """After a step."""
        self.found.append(time.perf_counter())
        return torch.zeros(len(input_ids), dtype=torch.bool)


def answer(model: Any, requests: list[Request]) -> list[float]:
    """When each step of one batch was over."""
    longest = max(len(one["ids"]) for one in requests)
    ids = torch.zeros(len(requests), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, one in enumerate(requests):
        ids[row, longest - len(one["ids"]) :] = torch.tensor(one["ids"])
        mask[row, longest - len(one["ids"]) :] = 1
    steps, new = Steps(), max(one["new"] for one in requests)
    with torch.inference_mode():
        model.generate(
            ids, attention_mask=mask, max_new_tokens=new, min_new_tokens=new, do_sample=False,
            num_beams=1, stopping_criteria=StoppingCriteriaList([steps]),
        )  # fmt: skip
    return steps.found


def serve(model: Any, requests: list[Request], size: int) -> list[dict[str, float]]:
    """One burst."""
    found: list[dict[str, float]] = []
    started = time.perf_counter()
    while len(found) < len(requests):
        waiting = requests[len(found) :]
        now = time.perf_counter() - started
        batch = [one for one in waiting if one["arrives"] <= now][:size]
        if not batch:
            time.sleep(max(0.0, waiting[0]["arrives"] - now))
            continue
        stamps = [stamp - started for stamp in answer(model, batch)]
        found += [
            {
                "arrives": one["arrives"], "first": stamps[0], "end": stamps[one["new"] - 1],
                "tokens": one["new"], "wanted": one["new"],
            }
            for one in batch
        ]  # fmt: skip
    return found


def main() -> None:
    """Serve the bursts one after the other."""
    spec = read_spec()
    model = load(spec)
    answer(model, [{**spec["bursts"][0][0], "new": 16}])  # warm
    bursts = [serve(model, requests, spec["streams"]) for requests in spec["bursts"]]
    result = {"bursts": bursts, "fidelity": fidelity(model, Path(spec["prepared"]))}
    write_json(Path(spec["folder"]) / "result.json", result)


if __name__ == "__main__":
    main()
