"""A program that saves a classifier with a new head, for what only reads and never trains."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer

from benchmarks.speed.harness import read_spec
from benchmarks.speed.peers.trainer import load_model


def main() -> None:
    """Load, name the labels, save."""
    spec = read_spec()
    target = Path(spec["folder"]) / "model"
    load_model(spec).save_pretrained(target)
    AutoTokenizer.from_pretrained(spec["model"]).save_pretrained(target)


if __name__ == "__main__":
    main()
