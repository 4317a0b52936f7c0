"""The model card: what this model is, how good, on what, and how to use it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyforge.artifacts.report_page import systems
from tinyforge.artifacts.words import bytes_text, count_text, energy_text, seconds_text

_PIPELINES = {
    "classify": "text-classification",
    "text2text": "text-generation",
    "instruct": "text-generation",
    "preference": "text-generation",
    "language-model": "text-generation",
    "span-corruption": "text-generation",
    "masked-words": "fill-mask",
}
_CLASSES = {
    "encoder": "AutoModelForSequenceClassification",
    "encoder-decoder": "AutoModelForSeq2SeqLM",
    "decoder": "AutoModelForCausalLM",
}
_FILLING = {"span-corruption": "AutoModelForSeq2SeqLM", "masked-words": "AutoModelForMaskedLM"}
"""What pretraining leaves besides language models, and the class that loads it."""

_HUB_METRICS: dict[str, dict[str, Any]] = {
    f"{average}_f1": {"type": "f1", "args": {"average": average}}
    for average in ("macro", "micro", "weighted")
}
"""What the hub calls a metric, where it has another name for it."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def model_card(report: Mapping[str, Any]) -> str:
    """A README for the Hugging Face hub and for whoever finds the folder (Mitchell et al. 2019).

    Everything in it follows from the report. The model's licence is left "unknown": it follows
    from the data and from the model it started from, and that is for the user to say.
    """
    parts = [
        f"---\n{_front_matter(report)}---",
        f"# {_plain(_title(report))}",
        _opening(report),
        "## How good it is\n\n" + _results(report),
        "## How to use it\n\n" + _usage(report),
        "## What it learnt from\n\n" + _data(report),
        "## Intended use\n\n" + _intended(report),
        "## Limits\n\n" + _limits(report),
        "## What it cost\n\n" + _cost(report),
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
    new = report["model"].get("pretrained") is False
    if _HUB_ID.fullmatch(name) and name != "auto" and not new and not Path(name).exists():
        card["base_model"] = name
    if report["evaluation"]:
        metrics = [
            {**_HUB_METRICS.get(metric, {"type": metric}),
             "name": report["metrics"][metric]["title"], "value": score["value"]}
            for metric, score in report["evaluation"]["scores"].items()
            if score["value"] is not None
        ]  # fmt: skip
        result = {
            "task": {"type": card["pipeline_tag"]},
            "dataset": {
                "type": "private", "name": "held-out rows of the user's data", "split": "test",
            },
            "metrics": metrics,
        }  # fmt: skip
        card["model-index"] = [{"name": _title(report), "results": [result]}]
    text: str = yaml.safe_dump(card, sort_keys=False, allow_unicode=True)
    return text


def _opening(report: Mapping[str, Any]) -> str:
    start = _plain(report["model"].get("name") or "a model")
    new = start.startswith("scratch:") or report["model"].get("pretrained") is False
    kind = "trained from nothing as" if new else "fine-tuned from"
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
    if report["task"] in _FILLING:
        return (
            "It fills gaps in text and is made to be trained on: "
            f"`tinyforge train ROWS --model {folder} --output DIR`, or in plain transformers "
            f"`{_FILLING[report['task']]}.from_pretrained({folder!r})`."
        )
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
    names = dict.fromkeys(Path(str(row["source"])).name for row in data.get("files") or ())
    if names:
        lines.append(f"- source: {_plain(', '.join(names))}")
    if data.get("read") is not None:
        lines.append(f"- {data['read']:,} rows read, {data.get('rejected', 0):,} rejected")
    if split:
        lines.append("- " + ", ".join(f"{value:,} {name}" for name, value in split.items()))
    if data.get("fingerprint"):
        lines.append(f"- SHA-256 of rows and split: `{data['fingerprint']}`")
    licence = (report["settings"].get("data") or {}).get("licence")
    lines.append(f"- licence of the rows: {_plain(licence) if licence else 'not given'}")
    lines += [f"- {_plain(str(note))}" for note in data.get("notes") or ()]
    if training.get("steps") is not None:
        lines.append(f"- {training['steps']:,} optimizer steps")
    lines.append("- everything needed to repeat the run is in `tinyforge/run.json`")
    return "\n".join(lines)


def _intended(report: Mapping[str, Any]) -> str:
    labels = (report["data"].get("labels") or {}).get("train") or {}
    does = {
        "classify": "sorts texts like its training rows by label",
        "text2text": "turns texts like its training rows' inputs into texts like their answers",
        "instruct": "answers prompts like those in its training rows",
        "preference": "answers prompts more as the chosen answers of its training rows do, and "
        "less as the rejected ones",
        "language-model": "continues text like its training rows",
        "span-corruption": "fills gaps in text like that which it learnt from",
        "masked-words": "fills gaps in text like that which it learnt from",
    }.get(report["task"], "answers texts like its training rows")
    lines = [f"It {does}."]
    if labels:
        some = ", ".join(_plain(label) for label in list(labels)[:20])
        more = f" and {len(labels) - 20:,} more" if len(labels) > 20 else ""
        lines.append(f"Its {len(labels):,} labels: {some}{more}.")
    if report["verdict"]["word"] != "better" and report["evaluation"]:
        lines.append(
            "It was not shown to be better than the simple alternatives above; consider those "
            "first."
        )
    return " ".join(lines)


def _limits(report: Mapping[str, Any]) -> str:
    found = report.get("findings") or {}
    lines = [
        "On text unlike its training rows the numbers above do not hold.",
        "It repeats what is wrong or one-sided in those rows.",
    ]
    if report["task"] == "classify":
        if not found.get("out_of_scope"):
            lines.append("It names a label also where none fits; that was not tested.")
    else:
        lines.append("What it writes may be fluent and false; check it before relying on it.")
    if report["model"].get("max_length"):
        lines.append(f"Inputs longer than {report['model']['max_length']:,} tokens are cut.")
    for row in ((found.get("slices") or {}).get("found") or ())[:3]:
        lines.append(
            f"Weaker on rows {row['name']}: {row['inside_text']}, against "
            f"{row['outside_text']} on the others ({row['rows']:,} rows)."
        )
    for name in ("out_of_scope", "abstention", "leaks", "label_errors", "forgetting", "gap"):
        if found.get(name):
            lines.append(found[name]["sentence"])
    bias = found.get("bias")
    lines.append(bias["sentence"] if bias else "Bias between groups of people: not tested.")
    lines += report["advice"]
    return "\n".join(f"- {_plain(line)}" for line in dict.fromkeys(lines))


def _cost(report: Mapping[str, Any]) -> str:
    lines = []
    if report["timings"].get("total") is not None:
        training = report["timings"].get("training")
        of_it = f", {seconds_text(training)} of it training" if training is not None else ""
        lines.append(f"- time: {seconds_text(report['timings']['total'])}{of_it}")
    energy = report.get("energy")
    if energy and energy_text(energy):
        lines.append(f"- energy: {energy_text(energy)}; {_plain(energy['how'])}")
    machine = report["machine"]
    if machine.get("system"):
        gpu = f", {machine['gpu']}" if machine.get("gpu") else ", no GPU"
        lines.append(
            f"- machine: {_plain(str(machine['system']))}, {machine.get('threads', '?')} threads"
            + _plain(gpu)
        )
    if report["model"].get("parameters"):
        size = report["model"].get("disk_bytes")
        on_disk = f", {bytes_text(size)} on disk" if size else ""
        lines.append(f"- size: {count_text(report['model']['parameters'])} parameters{on_disk}")
    return "\n".join(lines) or "Not measured."


def _plain(text: str) -> str:
    """One line of text without a meaning in Markdown or HTML."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", line)
