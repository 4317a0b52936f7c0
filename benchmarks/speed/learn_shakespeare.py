"""A program that teaches tinyshakespeare's characters to ``ngram_gpt`` and measures as it goes.

Learnt from: the first nine tenths of the text alone. Validation loss: mean nats of a character over
the last tenth in windows of 256 side by side, in bfloat16, as nanoGPT measures in random windows.
Matrices learn by Muon, the rest by AdamW, with TinyForge's optimizer, kernels and precision;
windows are short at first, which costs less and teaches as much, and long at the end.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.speed.harness import read_spec, write_json
from benchmarks.speed.ngram_gpt import Model, Sizes
from tinyforge.config.train import TrainSettings
from tinyforge.train.optimizers import Optimizer, clip_factor
from tinyforge.train.precision import Precision, choose_precision
from tinyforge.train.speedups import fast
from tinyforge.train.weights import Weights

WINDOW = 256
STEP = 32 * WINDOW
"""Characters in a step."""
LENGTHS = ((0.1, 64), (0.3, 128), (0.85, 256))
LAST = 512
"""Until which share of the run windows have which length, and their length at its end."""
RATE, REST, DECAY = 0.02, 0.004, 0.1
WARM_UP, FALL = 0.02, 0.7
"""Shares of the run in which rates rise, and over which they fall to nothing."""
LOOKS = 12
"""Validations."""


def share_of_rate(done: float) -> float:
    """Of the peak rate, where ``done`` of the run is over."""
    return min(1.0, (done + 1e-3) / WARM_UP) * min(1.0, (1 - done) / FALL)


def window(done: float) -> int:
    """Characters of a window."""
    return next((length for until, length in LENGTHS if done < until), LAST)


@torch.no_grad()
def validation_loss(
    model: Model, text: Tensor, precision: Precision, length: int = WINDOW
) -> float:
    """Over all windows of ``length`` of the held-out text."""
    model.eval()
    windows = (len(text) - 1) // length
    read = text[: windows * length].view(windows, length)
    targets = text[1 : windows * length + 1].view(windows, length)
    total = 0.0
    with precision.forward():
        for i in range(0, windows, 64):
            logits = model(read[i : i + 64]).flatten(0, 1)
            total += float(
                functional.cross_entropy(logits, targets[i : i + 64].flatten(), reduction="sum")
            )
    model.train()
    return total / (windows * length)


def texts(path: Path) -> tuple[Tensor, Tensor, int]:
    """Numbers of the characters to learn and of those held out, and how many there are."""
    text = path.read_text(encoding="utf-8")
    characters = sorted(set(text))
    number = {character: index for index, character in enumerate(characters)}
    data = torch.tensor([number[character] for character in text])
    cut = len(text) * 9 // 10
    return data[:cut], data[cut:], len(characters)


def learn(spec: dict[str, Any]) -> dict[str, Any]:
    """Train for a number of characters; seconds are those of the steps alone."""
    learnt, unseen, characters = texts(Path(spec["text"]))
    unseen = unseen[: spec["held"]]
    torch.manual_seed(spec["seed"])
    model = Model(Sizes(characters, **spec["sizes"])).train()
    settings = TrainSettings(
        learning_rate=RATE, rest_learning_rate=REST, optimizer="muon", weight_decay=DECAY,
        precision="bfloat16", beta2=0.95,
    )  # fmt: skip
    precision, weights = choose_precision(settings, model), Weights(model)
    places = torch.Generator().manual_seed(spec["seed"])
    seconds, looked, looks, steps = 0.0, 0, [], spec["characters"] // STEP
    with fast(model, weights, settings, precision) as speedups:
        optimizer = Optimizer(
            model, settings, weights, native=speedups.native_adamw,
            row_gradients=speedups.row_gradients, stacked_muon=True,
        )  # fmt: skip
        for step in range(steps):
            started = time.perf_counter()
            length = window(step / steps)
            starts = torch.randint(len(learnt) - length - 1, (STEP // length,), generator=places)
            taken = learnt[starts[:, None] + torch.arange(length + 1)]
            with precision.forward():
                logits = model(taken[:, :-1]).flatten(0, 1)
                loss = functional.cross_entropy(logits, taken[:, 1:].flatten())
            torch.autograd.backward(loss)
            clip = clip_factor(optimizer.norm(), 1.0)
            optimizer.step(RATE * share_of_rate(step / steps), clip)
            optimizer.zero_grad()
            seconds += time.perf_counter() - started
            if (step + 1) * LOOKS // steps > looked:
                looked += 1
                found = validation_loss(model, unseen, precision)
                looks.append({"step": step + 1, "seconds": seconds, "loss": found})
                write_json(Path(spec["folder"]) / "looks.json", looks)
        longer = validation_loss(model, unseen, precision, LAST)
    return {
        "steps": steps, "seconds": seconds, "looks": looks, "loss": looks[-1]["loss"],
        "loss_in_longer_windows": longer,
        "speedups": list(speedups.names), "parameters": sum(w.numel() for w in model.parameters()),
    }  # fmt: skip


def main() -> None:
    """Read what to do, and do it."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    write_json(Path(spec["folder"]) / "result.json", learn(spec))


if __name__ == "__main__":
    main()
