"""The page on metrics names every metric and only settings that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tinyforge.config.names import settings_table
from tinyforge.metrics import METRICS, TASK_METRICS

TEXT = (Path(__file__).resolve().parents[2] / "docs/explain/metrics.md").read_text("utf-8")


def test_every_metric_is_named() -> None:
    assert set(METRICS) == {name for names in TASK_METRICS.values() for name in names}
    assert set(METRICS) <= set(re.findall(r"`(\w+)`", TEXT))


def test_settings_exist() -> None:
    named = set(re.findall(r"\b(?:evaluate|data)\.[a-z_]+\b", TEXT))
    assert named <= set(settings_table())
    assert "evaluate.stride" in named


def test_files_exist() -> None:
    root = Path(__file__).resolve().parents[2]
    for file in re.findall(r"`((?:src|tests)/[\w/.]+)`", TEXT):
        assert (root / file).is_file(), file
