"""The model card: what this model is, how good, on what, and how to use it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyforge.artifacts.report_page import systems

_PIPELINES = {
    "classify": "text-classification",
    "text2text": "text-generation",
    "instruct": "text-generation",
    "language-model": "text-generation",
}
_CLASSES = {
    "encoder": "AutoModelForSequenceClassification",
    "encoder-decoder": "AutoModelForSeq2SeqLM",
    "decoder": "AutoModelForCausalLM",
}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def model_card(report: Mapping[str, Any]) -> str:
    """A README for the Hugging Face hub and for whoever finds the folder (Mitchell et al. 2019).

    The licence is left "unknown": it follows from the data and from the model it started from,
    and that is for the user to say.
    """
    parts = [
        f"---\n{_front_matter(report)}---",
        f"# {_plain(_title(report))}",
        _opening(report),
        "## How good it is\n\n" + _results(report),
        "## How to use it\n\n" + _usage(report),
        "## What it learnt from\n\n" + _data(report),
        "## Intended use and limits\n\n" + _limits(report),
    ]
    return "\n\n".join(parts) + "\n"


def _title(report: Mapping[str, Any]) -> str:
    return Path(report["output_dir"]).name or "model"


def _front_matter(report: Mapping[str, Any]) -> str:
    import yaml

    name = report["model"].get("name") or ""
    card: dict[str, Any] = {
        "license": "unknown",
        "library_name": "transformers",
        "pipeline_tag": _PIPELINES.get(report["task"], "text-generation"),
        "tags": ["tinyforge"],
    }
    if _HUB_ID.fullmatch(name) and name != "auto" and not Path(name).exists():
        card["base_model"] = name
    if report["evaluation"]:
        metrics = [
            {"type": metric, "name": report["metrics"][metric]["title"], "value": score["value"]}
            for metric, score in report["evaluation"]["scores"].items()
            if score["value"] is not None
        ]
        result = {
            "task": {"type": card["pipeline_tag"]},
            "dataset": {"type": "private", "name": "held-out rows of the user's data"},
            "metrics": metrics,
        }
        card["model-index"] = [{"name": _title(report), "results": [result]}]
    text: str = yaml.safe_dump(card, sort_keys=False, allow_unicode=True)
    return text


def _opening(report: Mapping[str, Any]) -> str:
    start = _plain(report["model"].get("name") or "a model")
    kind = "trained from nothing as" if start.startswith("scratch:") else "fine-tuned from"
    return f"A model for the task {report['task']}, {kind} `{start}` with TinyForge."


def _results(report: Mapping[str, Any]) -> str:
    lines = [f"**{_plain(report['verdict']['sentence'])}**"]
    rows = systems(report)
    if not rows:
        return lines[0]
    titles = [(name, kind["title"]) for name, kind in report["metrics"].items()]
    lines += ["", "| | " + " | ".join(title for _, title in titles) + " |"]
    lines.append("|---|" + "---:|" * len(titles))
    for row in rows:
        cells = []
        for name, _ in titles:
            score = row["scores"].get(name)
            cells.append(f"{score['text']} ({score['interval']})" if score else "–")
        lines.append(f"| {_plain(row['title'])} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "In brackets: 95 % bootstrap intervals. All on the same rows, unseen in training.",
    ]
    return "\n".join(lines)


def _usage(report: Mapping[str, Any]) -> str:
    folder = _title(report)
    generates = report["task"] != "classify"
    code = [
        "```python",
        "import tinyforge",
        "",
        f"model = tinyforge.load({folder!r})",
        'print(model.predict("your text").output)',
        "```",
        "",
        "or with plain transformers"
        + (" (put the same prefix or chat template before the text):" if generates else ":"),
        "",
        "```python",
    ]
    if not generates:
        code += [
            "from transformers import pipeline",
            "",
            f'classify = pipeline("text-classification", model={folder!r})',
            'print(classify("your text"))',
        ]
    else:
        name = _CLASSES.get(str(report["model"].get("family")), "AutoModelForCausalLM")
        code += [
            f"from transformers import {name}, AutoTokenizer",
            "",
            f"tokenizer = AutoTokenizer.from_pretrained({folder!r})",
            f"model = {name}.from_pretrained({folder!r})",
            'inputs = tokenizer("your text", return_tensors="pt")',
            "print(tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True))",
        ]
    return "\n".join([*code, "```"])


def _data(report: Mapping[str, Any]) -> str:
    data, training = report["data"], report["training"]
    split = data.get("split") or {}
    lines = []
    if data.get("read") is not None:
        lines.append(f"- {data['read']:,} rows read, {data.get('rejected', 0):,} rejected")
    if split:
        lines.append("- " + ", ".join(f"{value:,} {name}" for name, value in split.items()))
    lines += [f"- {_plain(str(note))}" for note in data.get("notes") or ()]
    if training.get("steps") is not None:
        lines.append(f"- {training['steps']:,} optimizer steps")
    lines.append("- everything needed to repeat the run is in `tinyforge/run.json`")
    return "\n".join(lines)


def _limits(report: Mapping[str, Any]) -> str:
    lines = [
        "- Made for text like its training rows; on other text the numbers above do not hold.",
        "- It repeats what is wrong or one-sided in those rows.",
    ]
    if report["task"] != "classify":
        lines.append("- What it writes may be fluent and false; check it before relying on it.")
    lines += [f"- {_plain(line)}" for line in report["advice"]]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """One line of text without a meaning in Markdown or HTML."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", line)
