"""TRL's SFTTrainer at its best on a processor: chats in its own format, answers learnt only.

Packing and padding-free batches are left out: both need flash attention, and without it TRL lets
packed rows see each other, which is another loss. Gradient checkpointing, on by default, is off,
because memory is not short here. With LoRA the frozen weights are held in bfloat16.
"""

from __future__ import annotations

from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

from benchmarks.speed.encoding import messages
from benchmarks.speed.harness import read_lines, read_spec
from benchmarks.speed.peers.recording import Clock, finish, recorded
from benchmarks.speed.peers.trainer import adapters, best_arguments, load_model


def chats(path: Path) -> Dataset:
    """Prompt and completion as chat turns."""
    pairs = [messages(row) for row in read_lines(path)]
    return Dataset.from_list([{"prompt": asked, "completion": told} for asked, told in pairs])


def main() -> None:
    """Train."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    torch.manual_seed(spec["seed"])
    tokenizer = AutoTokenizer.from_pretrained(spec["model"])
    model = load_model(spec)
    clock = Clock()
    trainer = recorded(SFTTrainer)(
        model=model,
        args=SFTConfig(
            **best_arguments(spec),
            completion_only_loss=True,
            max_length=spec["longest"],
            packing=False,
            gradient_checkpointing=False,
        ),
        train_dataset=chats(Path(spec["train"])),
        processing_class=tokenizer,
        peft_config=adapters(spec),
        clock=clock,
    )
    trainer.train()
    finish(trainer.model, tokenizer, clock, Path(spec["folder"]))


if __name__ == "__main__":
    main()
