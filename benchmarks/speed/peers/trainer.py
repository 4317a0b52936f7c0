"""Hugging Face's Trainer at its best on a processor.

bfloat16 where the processor has a unit for it, rows tokenized once and held in memory, padding to
the longest of a batch, like lengths together, the fused AdamW, and nothing logged, saved or
evaluated on the way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from benchmarks.speed.encoding import encode
from benchmarks.speed.harness import read_lines, read_spec
from benchmarks.speed.peak import has_bfloat16_unit
from benchmarks.speed.peers.recording import Clock, finish, recorded


def best_arguments(spec: dict[str, Any]) -> dict[str, Any]:
    """What every run shares; also TRL's configuration is made of it."""
    return {
        "output_dir": str(Path(spec["folder"]) / "trainer"),
        "per_device_train_batch_size": spec["batch"],
        "max_steps": spec["steps"],
        "learning_rate": spec["learning_rate"],
        "lr_scheduler_type": spec["schedule"],
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "bf16": has_bfloat16_unit(),
        "train_sampling_strategy": "group_by_length",
        "seed": spec["seed"],
        "use_cpu": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "logging_strategy": "no",
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def load_model(spec: dict[str, Any]) -> Any:
    """The start's weights, in float32; frozen ones, beside adapters, in bfloat16."""
    classes = {
        "seq2seq": "AutoModelForSeq2SeqLM",
        "causal": "AutoModelForCausalLM",
        "classify": "AutoModelForSequenceClassification",
    }
    options: dict[str, Any] = {}
    if spec["kind"] == "classify":
        names = dict(enumerate(spec["labels"]))
        options = {
            "num_labels": len(names), "id2label": names,
            "label2id": {name: number for number, name in names.items()},
        }  # fmt: skip
        torch.manual_seed(spec["seed"])  # the classifier is new
    model_class = getattr(transformers, classes[spec["kind"]])
    half = spec["rank"] and has_bfloat16_unit()
    dtype = torch.bfloat16 if half else torch.float32
    return model_class.from_pretrained(spec["model"], dtype=dtype, **options)


def adapters(spec: dict[str, Any]) -> Any:
    """The same adapters as TinyForge's ``--lora``; None without."""
    if not spec["rank"]:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=spec["rank"], lora_alpha=2 * spec["rank"], lora_dropout=0.0,
        target_modules="all-linear", task_type="CAUSAL_LM",
    )  # fmt: skip


def main() -> None:
    """Train."""
    spec = read_spec()
    torch.set_num_threads(spec["threads"])
    tokenizer = AutoTokenizer.from_pretrained(spec["model"])
    kind = spec["kind"]
    model = load_model(spec)
    if spec["rank"]:
        from peft import get_peft_model

        torch.manual_seed(spec["seed"])
        model = get_peft_model(model, adapters(spec))
    rows = [
        encode(kind, tokenizer, row, labels=spec["labels"], longest=spec["longest"])
        for row in read_lines(Path(spec["train"]))
    ]
    if kind == "classify":
        collator: Any = DataCollatorWithPadding(tokenizer)
    else:
        collator = DataCollatorForSeq2Seq(tokenizer, model=model if kind == "seq2seq" else None)
    clock = Clock()
    clock.both_sides = kind == "seq2seq"
    trainer = recorded(Trainer)(
        model=model,
        args=TrainingArguments(**best_arguments(spec)),
        train_dataset=rows,
        data_collator=collator,
        processing_class=tokenizer,
        clock=clock,
    )
    trainer.train()
    finish(model, tokenizer, clock, Path(spec["folder"]))


if __name__ == "__main__":
    main()
