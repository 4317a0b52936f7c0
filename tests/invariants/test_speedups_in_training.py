"""Whole trainings with speed-ups: the same learning, a plain model afterwards, exact resumes."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from speedup_checks import needs_kernels
from task_models import ENCODER_DECODERS, ENCODERS, classifier, gpt_tokenizer, language_model
from test_speedups_agree import USED, build, micro_batch, scaled
from torch import nn
from training_fakes import Recorder, TinyMicroBatch, digest, tiny_model, train

from tinyforge.artifacts.checkpoint import latest_good, read_state
from tinyforge.config.settings import Settings
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.tasks import build_task, chunked
from tinyforge.train.speedups import TABLE

pytestmark = needs_kernels

MODELS = ["t5-tied", "t5-untied", "bert", "distilbert", "gpt2", "llama", "gemma2", "gemma3"]


class Rows:
    """Batches of rows that count upwards, of different length; with ``pack``, two rows in one."""

    def __init__(
        self, task: Any, *, batch_size: int = 8, micro: int = 4, pack: bool = False
    ) -> None:
        self.task, self.batch_size, self.micro, self.pack = task, batch_size, micro, pack
        self.rows = [self._row(number) for number in range(32)]
        self.examples, self.steps_per_epoch, self.can_halve = 32, 32 // batch_size, False

    def _row(self, number: int) -> Encoded:
        length = 3 + number % 7
        ids = 4 + (np.arange(length) * 3 + number * 5) % 60
        following = 4 + (np.arange(4) * 3 + number * 5 + length * 3) % 60
        if self.task.name == "classify":
            return Encoded(ids, np.array([number * 5 % 60 // 20]))
        if self.task.family == "decoder":
            unknown = np.full(length, IGNORED)
            return Encoded(np.append(ids, following), np.append(unknown, following))
        return Encoded(ids, following)

    def step(self, index: int) -> list[TinyMicroBatch]:
        epoch, place = divmod(index, self.steps_per_epoch)
        order = np.random.default_rng([1, epoch]).permutation(len(self.rows))
        rows = [self.rows[i] for i in order[place * self.batch_size :][: self.batch_size]]
        return [self._collate(rows[at : at + self.micro]) for at in range(0, len(rows), self.micro)]

    def _collate(self, rows: list[Encoded]) -> TinyMicroBatch:
        tensors = None
        if self.pack:
            bins = [rows[at : at + 2] for at in range(0, len(rows), 2)]
            tensors = self.task.collate_packed(bins)
        return micro_batch(self.task, rows, tensors)


def with_dropout(model: Any, rate: float) -> Any:
    """The model, dropping: in its modules, and in the attention of Llama-like ones."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = rate
    return model


def start_of(name: str) -> tuple[Any, Any]:
    model, task = build(name)
    if name not in {*ENCODERS, *ENCODER_DECODERS}:
        scaled(model, 0.25)  # as they are made
    return model, task


def losses(path: Path, name: str, *, pack: bool = False, **given: Any) -> list[float]:
    """Of every step of five epochs."""
    model, task = start_of(name)
    listener = Recorder()
    train(
        path, model=model, task=task, batches=Rows(task, pack=pack), evaluate=None,
        listener=listener, epochs=5.0, learning_rate=0.005, **given,
    )  # fmt: skip
    return [result.loss for result in listener.steps]


@pytest.mark.parametrize("name", MODELS)
def test_several_epochs_end_at_the_same_loss(tmp_path: Path, name: str) -> None:
    """float32: every step's loss to 1e-3. bfloat16 weights: to 3 % of the first loss, and the last
    epoch's mean to 2 %, against autocast."""
    plain = losses(tmp_path / "a", name, without_speedups=["all"])
    fast = losses(tmp_path / "b", name)
    assert len(plain) == 20
    assert plain[-1] < 0.95 * plain[0]
    assert fast == pytest.approx(plain, rel=1e-3)
    autocast = losses(tmp_path / "c", name, precision="bfloat16", without_speedups=["all"])
    narrow = losses(tmp_path / "d", name, precision="bfloat16")
    assert narrow == pytest.approx(autocast, abs=0.03 * autocast[0])
    assert sum(narrow[-4:]) == pytest.approx(sum(autocast[-4:]), abs=0.02 * 4 * autocast[0])


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_packed_rows_end_at_the_same_loss(tmp_path: Path, name: str) -> None:
    """float32: every step's loss to 1e-3."""
    plain = losses(tmp_path / "a", name, pack=True, without_speedups=["all"])
    assert losses(tmp_path / "b", name, pack=True) == pytest.approx(plain, rel=1e-3)
    assert plain == pytest.approx(losses(tmp_path / "c", name, without_speedups=["all"]), rel=1e-3)


@pytest.mark.parametrize("optimizer", ["muon", "sgd"])
@pytest.mark.parametrize("name", ["t5-tied", "llama"])
def test_other_optimizers_end_at_the_same_loss(tmp_path: Path, name: str, optimizer: str) -> None:
    """float32: every step's loss to 2e-3."""
    plain = losses(tmp_path / "a", name, optimizer=optimizer, without_speedups=["all"])
    fast = losses(tmp_path / "b", name, optimizer=optimizer)
    assert fast == pytest.approx(plain, rel=2e-3)


def look(model: nn.Module) -> dict[str, Any]:
    """All that a speed-up might leave behind."""
    return {
        name: (
            type(module),
            sorted(vars(module)),
            getattr(getattr(module, "config", None), "_attn_implementation", None),
            [(key, p.dtype, p.requires_grad, p.grad) for key, p in module.named_parameters()],
            [(key, b.dtype) for key, b in module.named_buffers()],
            [len(hooks) for hooks in (module._forward_hooks, module._forward_pre_hooks)],
        )
        for name, module in model.named_modules()
    }


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_afterwards_the_model_is_plain(tmp_path: Path, name: str, precision: str) -> None:
    model, task = start_of(name)
    before, ties = (
        look(model),
        {k: id(p) for k, p in model.named_parameters(remove_duplicate=False)},
    )
    start = digest(model)
    for broken in (True, False):
        listener = Recorder(raise_at=2 if broken else None)
        given = {"model": model, "task": task, "batches": Rows(task), "evaluate": None,
                 "listener": listener, "epochs": 1.0, "precision": precision}  # fmt: skip
        if broken:
            with pytest.raises(RuntimeError, match="power cut"):
                train(tmp_path / "broken", **given)
            model.eval()
        else:
            train(tmp_path / "whole", **given)
        expected = {*USED[name], *(["bfloat16-weights"] if precision == "bfloat16" else [])}
        assert set(listener.started.speedups) == expected
        assert look(model) == before
        assert {k: id(p) for k, p in model.named_parameters(remove_duplicate=False)} == ties
        assert chunked._slope_in_place.get() is None
        assert not model.training
    assert digest(model) != start
    model.save_pretrained(tmp_path / "saved")
    again = type(model).from_pretrained(tmp_path / "saved")
    assert digest(again) == digest(model)
    assert type(copy.deepcopy(model)) is type(model)


@pytest.mark.parametrize("speedup", [*TABLE, "all"])
def test_each_can_be_left_out_and_the_record_says_so(tmp_path: Path, speedup: str) -> None:
    name = {"first-token": "bert", "dropout": "gpt2"}.get(speedup, "llama")
    model, task = start_of(name)
    listener = Recorder()
    optimizer = "muon" if speedup == "muon" else "adamw"
    _, outcome = train(
        tmp_path, model=model, task=task, batches=Rows(task), evaluate=None, listener=listener,
        max_steps=1, precision="bfloat16", optimizer=optimizer, without_speedups=[speedup],
    )  # fmt: skip
    gone = {speedup, *(["embedding"] if speedup == "adamw" else [])}  # which needs our AdamW
    usual = {"bfloat16-weights", *USED[name], *(["muon"] if optimizer == "muon" else [])}
    expected = usual - gone
    if speedup == "all":
        expected = set()
    else:
        assert speedup in usual
    assert set(outcome.speedups) == expected
    assert outcome.speedups == listener.started.speedups
    assert listener.started.settings["without_speedups"] == [speedup]
    newest = latest_good(tmp_path / "tinyforge" / "checkpoints")
    assert newest is not None
    assert read_state(newest)["machine"]["speed-ups"] == (", ".join(outcome.speedups) or "none")


def evaluate(model: Any) -> dict[str, float]:
    """Some number that depends on all weights."""
    with torch.no_grad():
        return {"loss": float(sum(weight.float().abs().mean() for weight in model.parameters()))}


@pytest.mark.parametrize(
    ("name", "given"),
    [("t5-tied", {}), ("t5-untied", {"precision": "bfloat16"}), ("bert", {"precision": "bfloat16"}),
     ("gpt2", {"precision": "bfloat16", "optimizer": "muon"}), ("llama", {"precision": "bfloat16"}),
     ("llama", {"optimizer": "sgd"}), ("gemma3", {"precision": "bfloat16"})],
    ids=lambda value: value if isinstance(value, str) else "-".join(value.values()) or "float32",
)  # fmt: skip
def test_interrupted_and_resumed_is_the_same_to_the_last_bit(
    tmp_path: Path, name: str, given: dict[str, str]
) -> None:
    """With dropout, several micro-batches and all speed-ups."""

    def run(path: Path, **more: Any) -> tuple[str, bytes]:
        model, task = start_of(name)
        model, outcome = train(
            path, model=with_dropout(model, 0.2), task=task, batches=Rows(task, micro=3),
            evaluate=evaluate, epochs=3.0, checkpoint_every=3, validate_every=4, **given, **more,
        )  # fmt: skip
        assert {"attention"} <= set(outcome.speedups)
        assert ("bfloat16-weights" in outcome.speedups) == ("precision" in given)
        return digest(model), (path / "tinyforge" / "metrics.jsonl").read_bytes()

    whole = run(tmp_path / "whole")
    for stop in (4, 10):
        path = tmp_path / f"cut-{stop}"
        with pytest.raises(RuntimeError, match="power cut"):
            run(path, listener=Recorder(raise_at=stop))
        assert run(path, resume=True) == whole, f"cut after step {stop}"


def test_a_model_large_enough_for_bfloat16_by_itself(tmp_path: Path) -> None:
    """Above the bound, ``precision: auto`` narrows the weights where the processor has a unit."""
    from tinyforge.train.precision import SMALL_MODEL, bfloat16_unit

    def run(path: Path, **more: Any) -> tuple[str, tuple[str, ...]]:
        model, outcome = train(
            path, model=tiny_model(width=720), precision="auto", max_steps=4, checkpoint_every=2,
            validate_every=2, **more,
        )  # fmt: skip
        assert sum(weight.numel() for weight in model.parameters()) > SMALL_MODEL
        return digest(model), outcome.speedups

    whole, speedups = run(tmp_path / "whole")
    assert ("bfloat16-weights" in speedups) == (bfloat16_unit() is not None)
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "cut", listener=Recorder(raise_at=3))
    assert run(tmp_path / "cut", resume=True)[0] == whole


def test_rows_of_an_embedding_that_no_batch_uses_stay_as_they_are(tmp_path: Path) -> None:
    model, task = start_of("llama")
    before = model.model.embed_tokens.weight.detach().clone()
    train(tmp_path, model=model, task=task, batches=Rows(task), evaluate=None, epochs=2.0)
    after = model.model.embed_tokens.weight.detach()
    assert torch.equal(after[64:], before[64:])
    assert not torch.equal(after[4:64], before[4:64])


def test_losses_are_finite_numbers_with_everything_on(tmp_path: Path) -> None:
    """Dropout of a half, bfloat16, packing and smoothing, together."""
    model = with_dropout(language_model("llama", dropout=0.5), 0.5)
    scaled(model, 0.25)
    task = build_task(
        "language-model", tokenizer=gpt_tokenizer(), config=model.config, settings=Settings()
    )
    listener = Recorder()
    train(
        tmp_path, model=model, task=task, batches=Rows(task, pack=True), evaluate=None,
        listener=listener, epochs=8.0, precision="bfloat16", label_smoothing=0.1,
    )  # fmt: skip
    found = [result.loss for result in listener.steps]
    assert all(map(math.isfinite, found))
    assert sum(found[-4:]) < 0.9 * sum(found[:4])


def test_a_frozen_encoder_learns_its_head_alone(tmp_path: Path) -> None:
    """Frozen weights are narrowed too, and come back as they were."""
    model = classifier("bert", 3)
    _, task = build("bert")
    for parameter in model.bert.parameters():
        parameter.requires_grad_(False)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    train(
        tmp_path, model=model, task=task, batches=Rows(task), evaluate=None, epochs=2.0,
        precision="bfloat16",
    )  # fmt: skip
    for name, weight in model.named_parameters():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, before[name]) == name.startswith("bert."), name
