"""A run that was interrupted and resumed equals one that was left alone, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training_fakes import Recorder, TinyBatches, digest, tiny_model, train

CASES: dict[str, dict[str, Any]] = {
    "adamw": {},
    "muon": {"optimizer": "muon", "learning_rate": 0.002},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.02},
    "cosine, smoothing, no clipping": {
        "schedule": "cosine", "label_smoothing": 0.1, "clip_norm": 0.0, "warmup_share": 0.3,
    },
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, muon": {"precision": "bfloat16", "optimizer": "muon", "learning_rate": 0.002},
    "plain": {"without_speedups": ["all"]},
    "plain bfloat16": {"precision": "bfloat16", "without_speedups": ["all"]},
    "early stopping": {"early_stopping": 1, "learning_rate": 0.3, "epochs": 20.0},
}  # fmt: skip


def run(path: Path, case: dict[str, Any], **more: Any) -> tuple[str, bytes]:
    model, _ = train(
        path, model=tiny_model(dropout=0.3), batches=TinyBatches(micro=3), checkpoint_every=5,
        **case, **more,
    )  # fmt: skip
    return digest(model), (path / "tinyforge" / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_interrupted_anywhere(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    whole = run(tmp_path / "whole", case)
    for stop in (1, 5, 8, 13) if name == "adamw" else (8, 13):
        path = tmp_path / f"cut-{stop}"
        with pytest.raises(RuntimeError, match="power cut"):
            run(path, case, listener=Recorder(raise_at=stop))
        assert run(path, case, resume=True) == whole, f"cut after step {stop}"


def test_interrupted_again_and_again(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", {})
    for stop in (4, 9, 9, 14, 23, 31):
        with pytest.raises(RuntimeError, match="power cut"):
            run(tmp_path / "cut", {}, resume=True, listener=Recorder(raise_at=stop))
    assert run(tmp_path / "cut", {}, resume=True) == whole


def test_where_checkpoints_are_taken_changes_nothing(tmp_path: Path) -> None:
    digests = set()
    for every in (1, 7, None):
        model, _ = train(tmp_path / str(every), checkpoint_every=every)
        digests.add(digest(model))
    assert len(digests) == 1
