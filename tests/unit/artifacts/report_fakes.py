"""A report with everything in it, hostile texts everywhere, and a reader for its page."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

EVIL = "<script>alert('x')</script>\"&<img src=x onerror=alert(1)>"


def score(value: float) -> dict[str, Any]:
    return {
        "value": value, "low": value - 0.05, "high": value + 0.04, "rows": 200,
        "text": f"{100 * value:.1f} %", "interval": "a to b",
    }  # fmt: skip


def scored(value: float, name: str) -> dict[str, Any]:
    scores = {"accuracy": score(value)}
    return {"name": name, "scores": scores, "notes": [EVIL], "seconds": 0.5, "fit_seconds": 1.0}


MISTAKE = {
    "source": "f.jsonl:3", "input": EVIL, "expected": EVIL, "answered": EVIL, "confidence": 0.99,
    "score": 0.0,
}  # fmt: skip
REPORT: dict[str, Any] = {
    "format": 1, "created": "2025-01-02T03:04:05+00:00", "output_dir": "runs/my-model",
    "task": "classify",
    "verdict": {
        "word": "better", "sentence": f"Better: 90.0 % right, against 80.0 % for {EVIL}.",
        "metric": "accuracy", "best_baseline": "tfidf", "difference": 0.1, "low": 0.05,
        "high": 0.15, "texts": {"tfidf": "+10.0 (+5.0 to +15.0)"},
        "comparisons": [{"name": "tfidf", "p_value": 0.0005, "rows": 120, "groups": 110}],
    },
    "advice": [EVIL],
    "metrics": {"accuracy": {
        "title": "Accuracy", "definition": "share right", "higher_is_better": True,
        "scale": "share", "unit": "points",
    }},
    "evaluation": {
        **scored(0.9, "this model"), "task": "classify",
        "primary": {"name": "accuracy", "why": EVIL},
        "sample": {"rows": 200, "groups": 190, "draws": 2000}, "signatures": {},
        "labels": [{"label": EVIL, "precision": 1.0, "recall": 0.5, "f1": 0.667, "support": 4,
                    "answered": 2}],
        "confusion": {"labels": [EVIL, "b"], "counts": [[1, 2], [0, 3]]},
        "confusions": [{"true": EVIL, "answered": "b", "rows": 2}],
        "mistakes": [MISTAKE],
        "reliability": [
            {"low": 0.4, "high": 0.5, "confidence": 0.45, "accuracy": 0.5, "rows": 20},
            {"low": 0.9, "high": 1.0, "confidence": 0.97, "accuracy": 0.9, "rows": 180},
        ],
    },
    "findings": {
        "power": {"sentence": "The power sentence."},
        "slices": {
            "tested": 40, "rows": 200, "quality": 0.9, "measure": "share right",
            "method": "Benjamini-Hochberg", "sentence": "The slices sentence.",
            "found": [{"name": EVIL, "kind": "word", "rows": 30, "inside": 0.5, "outside": 0.95,
                       "difference": -0.45, "low": -0.6, "high": -0.3, "p": 0.0004, "excess": 13.0,
                       "also": [EVIL], "where": [EVIL], "inside_text": "50.0 %",
                       "outside_text": "95.0 %"}],
        },
        "errors": {"worst": [MISTAKE], "confident": [{**MISTAKE, "source": "g.jsonl:9"}]},
        "leaks": {"sentence": "The leaks sentence.", "found": [
            {"where": EVIL, "like": EVIL, "similarity": 1.0, "input": EVIL, "kind": "exact"}]},
        "label_errors": {"sentence": "The labels sentence.", "suspected": 1_234, "suspects": [
            {"row": 1, "where": EVIL, "text": EVIL, "given": EVIL, "suggested": EVIL,
             "score": 0.9}]},
        "abstention": {"sentence": "The abstention sentence.",
                       "curve": [[0.1, 0.0], [0.5, 0.02], [1.0, 0.1]],
                       "table": [{"coverage": 0.8, "accuracy": 0.97, "low": 0.94, "high": 0.99,
                                  "threshold": 0.7, "answered": 160}]},
        "out_of_scope": {"sentence": "The scope sentence.", "scores": [
            {"name": "msp", "title": EVIL, "auroc": 0.91, "low": 0.85, "high": 0.96,
             "fpr95": 0.4}]},
        "gap": {"sentence": "The gap sentence."},
        "forgetting": {"sentence": "The forgetting sentence.",
                       "worst": [{"text": EVIL, "before": 2.0, "after": 3.5}]},
        "learning_curve": {"sentence": "The curve sentence.", "metric": "accuracy",
                           "points": [{"rows": 1000 * i, "value": 0.7 + 0.05 * i,
                                       "low": 0.68 + 0.05 * i, "high": 0.72 + 0.05 * i}
                                      for i in (1, 2, 4)],
                           "doubled": {"rows": 8000, "value": 0.92, "low": 0.9, "high": 0.94}},
    },
    "energy": {"joules": 9000.0, "watt_hours": 2.5, "measured": False, "how": EVIL,
               "cpu_seconds": 900.0, "seconds": 500.0},
    "baselines": {"tfidf": {"title": EVIL, **scored(0.8, EVIL)}},
    "model": {"name": EVIL, "parameters": 22_000_000, "family": "encoder", "pretrained": True},
    "data": {
        "read": 10, "rejected": 1, "split": {"train": 8}, "reasons": {EVIL: 1}, "notes": [EVIL],
        "files": [{"source": EVIL, "part": "all", "read": 10, "kept": 9}],
        "conflicts": {"examples": [{"input": EVIL, "labels": [EVIL]}]},
    },
    "training": {
        "steps": 30, "best_step": 20, "stopped_because": EVIL, "events": [EVIL],
        "history": {
            "train": [{"step": i, "loss": 3 / i} for i in range(1, 31)],
            "validation": [{"step": i, "loss": 2.0, "accuracy": 0.5} for i in (10, 20, 30)],
        },
    },
    "settings": {"train": {"epochs": 3, "name": EVIL}}, "reasons": [EVIL],
    "timings": {"total": 75.0}, "machine": {"cpu": EVIL}, "command": EVIL,
}  # fmt: skip


class Page(HTMLParser):
    """Tags and attributes of a page, and whether every tag is closed."""

    VOID = frozenset({"meta", "br", "path", "circle", "rect", "img", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.tables_without_caption = 0
        self.svgs_without_text = 0
        self.attributes: list[tuple[str, str | None]] = []
        self._open: list[str] = []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.tags and self.tags[-1] == "table" and tag != "caption":
            self.tables_without_caption += 1
        named = dict(attrs)
        if tag == "svg" and (named.get("role") != "img" or not named.get("aria-label")):
            self.svgs_without_text += 1
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self._open.append(tag)

    def values(self, *names: str) -> list[str]:
        """All values of some attributes."""
        return [value or "" for name, value in self.attributes if name in names]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag
