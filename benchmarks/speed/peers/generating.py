"""transformers' generate writes one answer after the other, in bfloat16; when each token came."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.generation.streamers import BaseStreamer

from benchmarks.speed.fidelity import against
from benchmarks.speed.harness import read_json, read_spec, write_json

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


class Stamps(BaseStreamer):
    """When each token came; the prompt comes first and does not count."""

    def __init__(self) -> None:
        self.found: list[float] = []
        self._prompt = True

    def put(self, value: torch.Tensor) -> None:
        """A token."""
        if not self._prompt:
            self.found.append(time.perf_counter())
        self._prompt = False

    def end(self) -> None:
        """All are there."""


def load(spec: dict[str, Any]) -> Any:
    """The prepared model, in the asked precision."""
    torch.set_num_threads(spec["threads"])
    return AutoModelForCausalLM.from_pretrained(
        Path(spec["prepared"]) / "model", dtype=DTYPES[spec["dtype"]]
    ).eval()


def fidelity(model: Any, prepared: Path) -> dict[str, float]:
    """Its logits against those in float32."""
    probes = torch.tensor(read_json(prepared / "probes.json"))
    with torch.inference_mode():
        found = model(input_ids=probes).logits.float().numpy()
    return against(prepared, np.ascontiguousarray(found.reshape(-1, found.shape[-1])))


def main() -> None:
    """Time the answers."""
    spec = read_spec()
    model = load(spec)
    answers = []
    for number, ids in enumerate([spec["prompts"][0], *spec["prompts"]]):
        stamps = Stamps()
        tensor = torch.tensor([ids])
        new = spec["new"] if number else 16  # the first is to warm
        started = time.perf_counter()
        with torch.inference_mode():
            model.generate(
                tensor, attention_mask=torch.ones_like(tensor), max_new_tokens=new,
                min_new_tokens=new, do_sample=False, num_beams=1, streamer=stamps,
            )  # fmt: skip
        answers.append([stamp - started for stamp in stamps.found])
    result = {"answers": answers[1:], "fidelity": fidelity(model, Path(spec["prepared"]))}
    write_json(Path(spec["folder"]) / "result.json", result)


if __name__ == "__main__":
    main()
