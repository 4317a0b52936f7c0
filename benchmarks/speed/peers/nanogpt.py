"""nanoGPT's recipe for a character model on a processor, written anew in plain torch.

4 layers, 4 heads, width 128, windows of 64 characters, batches of 12, 2,000 steps of AdamW at
1e-3 falling to 1e-4 along a cosine after 100 steps, no dropout, float32.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from benchmarks.speed.harness import read_spec, write_json

LAYERS, HEADS, WIDTH, BLOCK, BATCH = 4, 4, 128, 64, 12
PEAK, LOWEST, WARM_UP = 1e-3, 1e-4, 100


class Layer(nn.Module):
    """Attention, then two linear layers, each added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = (nn.LayerNorm(WIDTH, bias=False) for _ in range(2))
        self.attend = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.join = nn.Linear(WIDTH, WIDTH, bias=False)
        self.widen = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, length, _ = x.shape
        parts = self.attend(self.before(x)).view(rows, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
        x = x + self.join(seen.transpose(1, 2).reshape(rows, length, WIDTH))
        inner: torch.Tensor = self.narrow(functional.gelu(self.widen(self.between(x))))
        return x + inner


class Model(nn.Module):
    """Characters and places in, logits of the next character out."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(vocabulary, WIDTH)
        self.places = nn.Embedding(BLOCK, WIDTH)
        self.layers = nn.Sequential(*(Layer() for _ in range(LAYERS)))
        self.last = nn.LayerNorm(WIDTH, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                deep = name.endswith(("join.weight", "narrow.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * LAYERS) if deep else 0.02)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.characters(ids) + self.places.weight[: ids.shape[1]]
        last: torch.Tensor = self.last(self.layers(x))
        return last @ self.characters.weight.T


def rate(step: int, steps: int) -> float:
    """Learning rate: a rise, then half a cosine."""
    if step < WARM_UP:
        return PEAK * (step + 1) / (WARM_UP + 1)
    done = (step - WARM_UP) / max(1, steps - WARM_UP)
    return LOWEST + 0.5 * (1 + math.cos(math.pi * done)) * (PEAK - LOWEST)


def loss_of(model: Model, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats."""
    return functional.cross_entropy(model(ids).flatten(0, 1), targets.flatten())


@torch.no_grad()
def validation_loss(model: Model, text: torch.Tensor) -> float:
    """Over all windows of the held-out text."""
    windows = (len(text) - 1) // BLOCK
    read = text[: windows * BLOCK].view(windows, BLOCK)
    targets = text[1 : windows * BLOCK + 1].view(windows, BLOCK)
    total = sum(
        float(loss_of(model, read[i : i + 64], targets[i : i + 64])) * len(read[i : i + 64])
        for i in range(0, windows, 64)
    )
    return total / windows


def main() -> None:
    """Train for a number of steps, and measure seconds of the steps alone."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    torch.manual_seed(spec["seed"])
    train, held = (Path(spec[name]).read_text(encoding="utf-8") for name in ("train", "held"))
    characters = sorted(set(train + held))
    number = {character: index for index, character in enumerate(characters)}
    learnt, unseen = (torch.tensor([number[c] for c in text]) for text in (train, held))
    model = Model(len(characters))
    weights = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [w for w in weights if w.ndim == 2], "weight_decay": 0.1},
            {"params": [w for w in weights if w.ndim != 2], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.99),
    )
    steps = []
    for step in range(spec["steps"]):
        started = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = rate(step, spec["steps"])
        starts = torch.randint(len(learnt) - BLOCK, (BATCH,))
        windows = torch.stack([learnt[i : i + BLOCK + 1] for i in starts])
        loss = loss_of(model, windows[:, :-1], windows[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        value = float(loss.detach())
        seconds = time.perf_counter() - started
        steps.append(
            {"seconds": seconds, "loss": value, "examples": BATCH, "tokens": BATCH * BLOCK}
        )
    result = {
        "steps": steps,
        "loss": validation_loss(model, unseen[: spec["characters"]]),
        "parameters": sum(w.numel() for w in weights),
    }
    write_json(Path(spec["folder"]) / "result.json", result)


if __name__ == "__main__":
    main()
