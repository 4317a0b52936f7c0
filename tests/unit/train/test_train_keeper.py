"""Work is never lost: identity, damage, full disks, odd ends."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file
from training_fakes import Recorder, TinyTask, digest, tiny_model, train

from tinyforge.artifacts.checkpoint import all_checkpoints, latest_good, problems
from tinyforge.errors import FolderError, SettingError
from tinyforge.train import keeper as module


def checkpoints(path: Path) -> Path:
    return path / "tinyforge" / "checkpoints"


def cut(path: Path, step: int, **given: Any) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        train(path, listener=Recorder(raise_at=step), **given)


def test_no_pickle_and_no_tied_weight_twice(tmp_path: Path) -> None:
    cut(tmp_path, 12, checkpoint_every=5)
    found = latest_good(checkpoints(tmp_path))
    assert found is not None
    kinds = {file.suffix for file in found.rglob("*") if file.is_file()}
    assert kinds == {".json", ".safetensors"}
    names = set(load_file(found / "model.safetensors"))
    assert names == {
        "embedding.weight", "inner.weight", "inner.bias", "outer.weight", "outer.bias",
        "norm.weight", "norm.bias", "seen",
    }  # fmt: skip


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    cut(tmp_path, 30, checkpoint_every=5, keep_checkpoints=2)
    steps = [path.name for path in all_checkpoints(checkpoints(tmp_path))]
    assert steps == ["step-00000020", "step-00000024", "step-00000025"]
    # 24 is the best; 30 was cut before it was saved.


@pytest.mark.parametrize(
    ("identity", "named"),
    [
        ({"data": "xyz"}, r"data: .*it was 'abc' and is 'xyz' now"),
        ({"data": "abc", "settings": {"train": {"seed": 4}}}, r"settings\.train\.seed: "),
    ],
)
def test_another_identity_is_refused(tmp_path: Path, identity: Any, named: str) -> None:
    cut(tmp_path, 12)
    with pytest.raises(SettingError, match=f"{named}.*--force"):
        train(tmp_path, resume=True, identity=identity)


def test_another_model_is_refused(tmp_path: Path) -> None:
    cut(tmp_path, 12)
    with pytest.raises(FolderError, match=r"another model.*embedding\.weight.*--force"):
        train(tmp_path, resume=True, model=tiny_model(width=32))


def test_other_frozen_weights_are_refused(tmp_path: Path) -> None:
    def model(seed: int) -> Any:
        made = tiny_model(seed=seed)
        made.embedding.weight.requires_grad_(False)
        return made

    cut(tmp_path, 12, model=model(7))
    with pytest.raises(SettingError, match=r"model\.name: the frozen weights are not those"):
        train(tmp_path, resume=True, model=model(8))
    resumed, _ = train(tmp_path, resume=True, model=model(7))
    whole, _ = train(tmp_path.with_name("whole"), model=model(7))
    assert digest(resumed) == digest(whole)


def test_another_thread_count_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    threads = torch.get_num_threads()
    cut(tmp_path, 12)
    try:
        with caplog.at_level(logging.WARNING, "tinyforge"):
            train(tmp_path, resume=True, threads=threads + 1)
    finally:
        torch.set_num_threads(threads)
    assert f"threads {threads} and goes on with {threads + 1}" in caplog.text


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole, _ = train(tmp_path / "whole", checkpoint_every=5)
    cut(tmp_path / "cut", 23, checkpoint_every=5)
    newest = all_checkpoints(checkpoints(tmp_path / "cut"))[-1]
    file = newest / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.unlink()
    if damage != "delete":
        file.write_bytes(content if damage == "flip" else content[:-1])
    with caplog.at_level(logging.INFO, "tinyforge"):
        resumed, _ = train(tmp_path / "cut", resume=True, checkpoint_every=5)
    assert newest.name == "step-00000020"
    assert str(file) in caplog.text
    assert "resumed after step 16" in caplog.text
    assert digest(resumed) == digest(whole)


def test_without_an_intact_checkpoint_the_run_starts_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, _ = train(tmp_path / "whole")
    cut(tmp_path / "cut", 20)
    for folder in all_checkpoints(checkpoints(tmp_path / "cut")):
        (folder / "model.safetensors").unlink()
    with caplog.at_level(logging.WARNING, "tinyforge"):
        resumed, _ = train(tmp_path / "cut", resume=True)
    assert "no checkpoint is intact; the run starts from the beginning" in caplog.text
    assert digest(resumed) == digest(whole)
    metrics = [(tmp_path / n / "tinyforge/metrics.jsonl").read_bytes() for n in ("cut", "whole")]
    assert metrics[0] == metrics[1]


def test_damaged_best_weights_are_said_and_the_run_goes_on(tmp_path: Path) -> None:
    values = iter([1.0, 5.0, 4.0, 3.0])
    cut(tmp_path, 21, evaluate=lambda model: {"loss": next(values)}, checkpoint_every=5)
    best = checkpoints(tmp_path) / "step-00000008"
    (best / "model.safetensors").write_bytes(b"")
    listener = Recorder()
    _, outcome = train(
        tmp_path, evaluate=lambda model: {"loss": next(values)}, checkpoint_every=5,
        resume=True, listener=listener,
    )  # fmt: skip
    assert [event.kind for event in listener.events] == ["resumed", "best lost"]
    assert outcome.best_step == 32


class FullDisk:
    """From its start on, only so many syncs succeed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
        self.left, self.real = allowed, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.real(descriptor)


@pytest.mark.parametrize("allowed", [20, 23, 26, 29, 32])
def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    with monkeypatch.context() as patch:
        FullDisk(patch, allowed)
        with pytest.raises(FolderError, match=r"the disk is full.*go on with --resume") as error:
            train(tmp_path / "full", checkpoint_every=3)
    assert "\n" not in str(error.value)
    found = latest_good(checkpoints(tmp_path / "full"))
    assert found is not None
    resumed, _ = train(tmp_path / "full", checkpoint_every=3, resume=True)
    whole, _ = train(tmp_path / "whole", checkpoint_every=3)
    assert digest(resumed) == digest(whole)


def test_time_decides_where_the_settings_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN", 0.0)
    cut(tmp_path, 7, evaluate=None)
    assert [p.name for p in all_checkpoints(checkpoints(tmp_path))] == [
        "step-00000005", "step-00000006",
    ]  # fmt: skip


def test_a_run_whose_training_was_done_does_nothing_more(tmp_path: Path) -> None:
    whole, first = train(tmp_path)
    listener, task = Recorder(), TinyTask()
    again, second = train(tmp_path, resume=True, listener=listener, task=task)
    assert task.calls == 0
    assert listener.steps == []
    assert digest(again) == digest(whole)
    assert (second.steps, second.best_step) == (first.steps, first.best_step)
    assert second.history == first.history


def test_a_disk_without_links_is_served_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Any, target: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    cut(tmp_path / "cut", 13, checkpoint_every=3)
    assert problems(all_checkpoints(checkpoints(tmp_path / "cut"))[-1]) == []
    resumed, _ = train(tmp_path / "cut", checkpoint_every=3, resume=True)
    whole, _ = train(tmp_path / "whole", checkpoint_every=3)
    assert digest(resumed) == digest(whole)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_adapters_alone_are_saved_and_come_back(tmp_path: Path) -> None:
    config = transformers.GPT2Config(
        vocab_size=24,
        n_positions=16,
        n_embd=16,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )

    class Wrapped(torch.nn.Module):
        """Gives logits, as the tiny task wants them."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            base = transformers.GPT2LMHeadModel(config)
            torch.manual_seed(1)
            lora = peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)
            self.inner = peft.get_peft_model(base, lora)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.inner(input_ids=ids).logits

    whole, _ = train(tmp_path / "whole", model=Wrapped(), learning_rate=0.1)
    cut(tmp_path / "cut", 13, model=Wrapped(), learning_rate=0.1)
    saved = load_file(all_checkpoints(checkpoints(tmp_path / "cut"))[-1] / "model.safetensors")
    assert saved
    assert all("lora_" in name for name in saved)
    resumed, _ = train(tmp_path / "cut", model=Wrapped(), learning_rate=0.1, resume=True)
    assert digest(resumed) == digest(whole)


def test_missing_lines_of_metrics_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut(tmp_path, 20)
    (tmp_path / "tinyforge" / "metrics.jsonl").unlink()
    with caplog.at_level(logging.WARNING, "tinyforge"):
        _, outcome = train(tmp_path, resume=True)
    assert "lines of the steps before the resume are missing" in caplog.text
    assert outcome.steps == 32


def test_a_killed_saves_rest_is_removed(tmp_path: Path) -> None:
    cut(tmp_path, 12)
    shutil.copytree(
        checkpoints(tmp_path) / "step-00000008", checkpoints(tmp_path) / ".step-00000012.tmp"
    )
    train(tmp_path, resume=True)
    assert not list(checkpoints(tmp_path).glob(".*"))
