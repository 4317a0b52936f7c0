"""Where a training step's time goes, with and without our speed-ups, for one case.

The model has random weights and the batch random tokens, of the case's usual sizes; the step is
that of the training loop. Times are each operation's own (``torch.profiler``, processor).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.speed import machine, table
from benchmarks.speed.harness import write_json
from benchmarks.speed.report import RESULTS

KINDS = (
    # The first whose words occur in an operation's name has its time.
    ("attention", ("attention",)),
    ("dropout", ("dropout", "bernoulli")),
    ("optimizer", ("adamw", "optimizer", "linalg_vector_norm", "foreach")),
    ("matrix products", ("aten::mm", "addmm", "matmul", "aten::linear")),
    ("small products", ("bmm",)),
    ("norms", ("norm",)),
    ("softmax, loss and head", ("softmax", "nll", "crossentropy", "cross_entropy")),
    ("activations", ("gelu", "silu", "gated", "relu", "threshold")),
    ("embedding", ("embedding", "lookup", "sort", "unique")),
    ("copies and conversions", ("copy", "_to", "clone", "contiguous", "cat")),
    ("zeros", ("fill", "zero")),
)
Step = Callable[[], None]
Loss = Callable[[Any], torch.Tensor]
Case = tuple[Any, Loss]


def main() -> None:
    """Profile both ways."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("case", choices=sorted(MODELS))
    flags.add_argument("--threads", type=int, default=2)
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--save", action="store_true")
    chosen = flags.parse_args()
    torch.set_num_threads(chosen.threads)
    result: dict[str, Any] = {
        "case": "profile", "variant": chosen.case, "title": MODELS[chosen.case].__doc__,
        "machine": machine.describe(chosen.threads), "sides": {},
    }  # fmt: skip
    for name, left_out in (("plain", ("all",)), ("ours", ())):
        result["sides"][name] = measure(chosen.case, left_out)
    if chosen.save:
        write_json(RESULTS / f"profile-{chosen.case}.json", result)
    sys.stdout.write((json.dumps(result) if chosen.json else table.profile(result)) + "\n")


def measure(case: str, left_out: tuple[str, ...]) -> dict[str, Any]:
    """Milliseconds of a step, whole (median of 9) and by kind (mean of 5, profiled)."""
    from tinyforge.config.train import TrainSettings
    from tinyforge.train.optimizers import Optimizer, clip_factor
    from tinyforge.train.precision import choose_precision
    from tinyforge.train.speedups import fast
    from tinyforge.train.weights import Weights

    torch.manual_seed(0)
    model, loss = MODELS[case]()
    model.train()
    settings = TrainSettings(
        without_speedups=left_out,  # type: ignore[arg-type]
        optimizer="muon" if case in MUON else "adamw",
    )
    precision, weights = choose_precision(settings, model), Weights(model)
    with fast(model, weights, settings, precision) as speedups:
        optimizer = Optimizer(
            model, settings, weights,
            native=speedups.native_adamw, row_gradients=speedups.row_gradients,
            stacked_muon=speedups.stacked_muon,
        )  # fmt: skip

        def step() -> None:
            with precision.forward():
                value = loss(model)
            torch.autograd.backward(value)
            with torch.profiler.record_function("optimizer"):  # a kernel of ours is no operation
                optimizer.step(1e-5, clip_factor(optimizer.norm(), 1.0))
            optimizer.zero_grad()

        for _ in range(3):
            step()
        whole = [_seconds(step) * 1e3 for _ in range(9)]
        kinds = _kinds(step)
    return {
        "milliseconds": {
            "median": statistics.median(whole), "min": min(whole), "max": max(whole),
        },
        "kinds": kinds,
        "speedups": list(speedups.names),
        "precision": precision.name,
    }  # fmt: skip


def _seconds(step: Step) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def _kinds(step: Step, repeat: int = 5) -> dict[str, float]:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(repeat):
            step()
    found = dict.fromkeys((*(name for name, _ in KINDS), "other"), 0.0)
    for event in profile.key_averages():
        key = event.key.lower()
        kind = next((name for name, words in KINDS if any(w in key for w in words)), "other")
        found[kind] += event.self_cpu_time_total / repeat / 1e3
    return found


def _minilm() -> Case:
    """MiniLM-sized BERT, 77 labels, 32 rows of 14 tokens"""
    return _bert(labels=77, tokens=14)


def _sms() -> Case:
    """MiniLM-sized BERT, 2 labels, 32 rows of 24 tokens"""
    return _bert(labels=2, tokens=24)


def _bert(*, labels: int, tokens: int) -> Case:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536,
        num_labels=labels,
    )  # fmt: skip
    return BertForSequenceClassification(config), _label_loss(labels, tokens)


def _distilbert() -> Case:
    """DistilBERT, 77 labels, 32 rows of 16 tokens"""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(num_labels=77)
    return DistilBertForSequenceClassification(config), _label_loss(77, 16)


def _label_loss(labels: int, tokens: int) -> Loss:
    ids, wanted = torch.randint(5, 3_000, (32, tokens)), torch.randint(0, labels, (32,))

    def loss(model: Any) -> torch.Tensor:
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        return torch.nn.functional.cross_entropy(logits.float(), wanted)

    return loss


def _t5() -> Case:
    """T5-small, 32 rows of 16 and 14 tokens"""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8, decoder_start_token_id=0
    )
    ids, wanted = torch.randint(5, 30_000, (32, 16)), torch.randint(5, 30_000, (32, 14))
    inputs = {
        "input_ids": ids, "attention_mask": torch.ones_like(ids),
        "decoder_input_ids": torch.nn.functional.pad(wanted[:, :-1], (1, 0)),
    }  # fmt: skip
    return T5ForConditionalGeneration(config), _token_loss(inputs, wanted)


def _llama() -> Case:
    """Llama of 110 million weights, 8 rows of 112 tokens, 62 of them answers"""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=32_000, hidden_size=768, num_hidden_layers=12, num_attention_heads=12,
        intermediate_size=2_048, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config), _next_token_loss(30_000, rows=8, tokens=112, asked=50)


def _llama_lora() -> Case:
    """Adapters of rank 16 in that Llama, same rows"""
    from tinyforge.config.model import LoraSettings
    from tinyforge.models.lora import add_adapters

    model, loss = _llama()
    return add_adapters(model, LoraSettings(enabled=True), "decoder"), loss


def _characters() -> Case:
    """GPT of nanoGPT's small CPU recipe, 24 windows of 64 characters, Muon"""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=70, hidden_size=128, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=352, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config), _next_token_loss(70, rows=24, tokens=64, asked=0)


def _next_token_loss(vocabulary: int, *, rows: int, tokens: int, asked: int) -> Loss:
    """Of random tokens, of which the first ``asked`` are a question without a loss."""
    ids = torch.randint(5, vocabulary, (rows, tokens))
    wanted = torch.nn.functional.pad(ids[:, 1:], (0, 1), value=-100)
    wanted[:, :asked] = -100
    return _token_loss({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, wanted)


def _token_loss(inputs: dict[str, torch.Tensor], wanted: torch.Tensor) -> Loss:
    from tinyforge.tasks.losses import token_loss

    return lambda model: token_loss(model, inputs, wanted) / int((wanted != -100).sum())


MODELS = {
    "characters": _characters, "distilbert": _distilbert, "llama": _llama,
    "llama-lora": _llama_lora, "minilm": _minilm, "sms": _sms, "t5": _t5,
}  # fmt: skip
MUON = {"characters"}
"""The cases that learn with Muon; the others take AdamW."""

if __name__ == "__main__":
    main()
