"""The model card: valid for the hub, honest, and without surprises for Markdown."""

from __future__ import annotations

import copy

import yaml
from report_fakes import EVIL, REPORT, score

from tinyforge.artifacts.report import model_card


def test_model_card_is_valid_and_escapes() -> None:
    report = copy.deepcopy(REPORT)
    report["model"] |= {"name": "distilbert-base-uncased", "disk_bytes": 91_000_000}
    report["data"] |= {"fingerprint": "abc", "labels": {"train": {"ham": 5, EVIL: 3}},
                       "files": [{"source": "/home/someone/my file.jsonl", "part": "all",
                                  "read": 10, "kept": 9}]}  # fmt: skip
    card = model_card(report)
    head = yaml.safe_load(card.split("---")[1])
    assert head["base_model"] == "distilbert-base-uncased"
    assert head["pipeline_tag"] == "text-classification"
    metric = head["model-index"][0]["results"][0]["metrics"][0]
    assert metric == {"type": "accuracy", "name": "Accuracy", "value": 0.9}
    for line in ("licence of the rows: not given", "Bias between groups of people: not tested.",
                 "energy: 2.5 Wh (estimate); ", "time: 75 s", "Its 2 labels: ", "on disk",
                 "SHA-256 of rows and split: `abc`", "- source: my file.jsonl"):  # fmt: skip
        assert line in card, line
    body = card.split("---", 2)[2]
    assert "<script" not in body
    assert "| this model | 90.0 % (a to b) |" in body
    assert 'pipeline("text-classification"' in body
    report["settings"]["data"] = {"licence": "cc-by-4.0"}
    assert "licence of the rows: cc-by-4.0" in model_card(report)
    report["model"] = {"name": "scratch:t5-tiny", "family": "encoder-decoder"}
    card = model_card(report | {"task": "text2text"})
    assert "base_model" not in card
    assert "AutoModelForSeq2SeqLM" in card
    assert "may be fluent and false" in card
    assert "trained from nothing" in card


def test_the_hub_reads_the_model_card() -> None:
    from huggingface_hub import ModelCard

    report = copy.deepcopy(REPORT)
    report["metrics"]["macro_f1"] = {**report["metrics"]["accuracy"], "title": "Macro F1"}
    report["evaluation"]["scores"]["macro_f1"] = score(0.8)
    card = ModelCard(model_card(report))
    results = card.data.eval_results
    assert results is not None
    assert [(r.metric_type, r.metric_value) for r in results] == [("accuracy", 0.9), ("f1", 0.8)]
    assert results[1].metric_args == {"average": "macro"}
    assert results[0].dataset_split == "test"
    assert card.data.license == "unknown"
