"""The report of a pretraining run: that of ``train``, with its plan, its cost and its samples."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from tinyforge.artifacts.run_folder import RunFolder
from tinyforge.config.names import explicit, value_of
from tinyforge.config.pretrain import PretrainRunSettings
from tinyforge.config.train import TrainSettings
from tinyforge.corpus.token_shards import total_tokens
from tinyforge.evaluate.report import build_report, to_plain
from tinyforge.models.sizes import parameters
from tinyforge.recipes.cost import disk_bytes
from tinyforge.recipes.energy import Energy
from tinyforge.recipes.machine import describe_machine
from tinyforge.recipes.pretrain_cost import Cost, rows
from tinyforge.recipes.pretrain_judge import JudgedText
from tinyforge.recipes.pretrain_model import Pretraining
from tinyforge.recipes.pretrain_plan import Plan, windows_of
from tinyforge.recipes.pretrain_setup import Text

if TYPE_CHECKING:
    from tinyforge.train.hooks import Outcome

TASKS = {"gpt": "language-model", "t5": "span-corruption", "bert": "masked-words"}


@dataclass(frozen=True)
class Ended:
    """Everything that a report tells of."""

    text: Text
    plan: Plan
    train: TrainSettings
    ready: Pretraining
    outcome: Outcome
    judged: JudgedText
    energy: Energy
    costs: list[Cost]
    seconds: float


def make_report(
    ended: Ended, settings: PretrainRunSettings, folder: RunFolder, line: str
) -> dict[str, Any]:
    """The content of ``report.json``."""
    plan, outcome, judged = ended.plan, ended.outcome, ended.judged
    shown = {**settings.model_dump(mode="json"), "train": ended.train.model_dump(mode="json")}
    report = build_report(
        task=TASKS[plan.architecture],
        output_dir=str(folder.path),
        model={
            "name": f"{plan.architecture}-{plan.size}", "family": ended.ready.task.family,
            "parameters": parameters(ended.ready.model), "pretrained": False,
            "architecture": plan.architecture, "size": plan.size,
            "max_length": ended.ready.context or None, "seed": ended.train.seed,
            "vocabulary": len(ended.text.tokenizer), "disk_bytes": disk_bytes(folder.path),
        },
        settings=shown,
        data=_data(ended),
        training=dataclasses.asdict(outcome) | {"train_examples": ended.text.documents("train")},
        evaluation=judged.evaluation,
        baselines=judged.baselines,
        verdict=judged.verdict,
        energy=ended.energy.to_json(),
        timings={"training": outcome.seconds, "total": ended.seconds},
        machine=describe_machine(),
        reasons=[*ended.text.reasons, *plan.reasons, *ended.ready.notes],
        command=line,
    )  # fmt: skip
    report["advice"] = _advice(ended, folder)
    report["plan"] = to_plain(plan.to_json())
    report["costs"] = [cost.to_json() for cost in ended.costs]
    report["cost_table"] = [list(row) for row in rows(ended.costs)]
    report["samples"] = samples(folder)
    report["result"] |= {
        "architecture": plan.architecture, "size": plan.size,
        "parameters": report["model"]["parameters"], "tokens": outcome.tokens,
        "epochs": outcome.epochs, "validation_loss": to_plain(outcome.best_value),
    }  # fmt: skip
    return report


def samples(folder: RunFolder) -> list[dict[str, Any]]:
    """What was written at each validation: step and text."""
    found: dict[int, str] = {}
    with folder.metrics.open("rb") as file:
        for line in file:
            record = orjson.loads(line)
            if "texts" in record:
                found[record["step"]] = record["texts"].get("text", "")
    return [{"step": step, "text": found[step]} for step in sorted(found)]


def command(sources: list[str], settings: PretrainRunSettings) -> str:
    """The command line that repeats the run."""
    chosen = [
        f"--set {shlex.quote(f'{name}={value_of(settings, name)}')}" for name in explicit(settings)
    ]
    words = ["tinyforge pretrain", *map(shlex.quote, sources), "--output NEW-FOLDER"]
    return " ".join([*words, *chosen])


def _data(ended: Ended) -> dict[str, Any]:
    text, plan = ended.text, ended.plan
    done = min(ended.outcome.steps, plan.steps)
    epochs = ended.ready.mix.epochs(windows_of(plan.stages, done))
    return {
        "training_tokens": text.unique_tokens,
        "validation_tokens": total_tokens(text.validation),
        "split": {
            "train": text.documents("train"), "validation": text.documents("validation"),
        },
        "fingerprint": text.corpus.fingerprint,
        "held_out": text.held_out,
        "epochs": epochs,
        "notes": [
            f"{name}: {text.training.documents(name):,} documents, "
            f"{text.training.tokens(name):,} tokens, seen {epochs.get(name, 0):.2g} times"
            for name in text.training.sources
        ],
    }  # fmt: skip


def _advice(ended: Ended, folder: RunFolder) -> list[str]:
    """Next steps after the run."""
    plan, word = ended.plan, ended.judged.verdict.word
    seen = ended.outcome.tokens / max(1, ended.text.unique_tokens)
    said = [ended.judged.advice] if ended.judged.advice else []
    if word != "better" and seen < 1:
        said.append(
            f"Only {seen:.1%} of the text was seen: give it more time (--max-minutes) or a faster "
            "machine."
        )
    said += plan.advice
    if word != "better" and not said:
        said.append("More text, or a pretrained model that is fine-tuned on it, would help most.")
    use = {
        "gpt": "language-model, instruct or classify", "t5": "text2text", "bert": "classify",
    }[plan.architecture]  # fmt: skip
    said.append(f"Go on from it: tinyforge train ROWS --model {folder.path} ({use}).")
    return said
